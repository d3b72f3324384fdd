#pragma once
// Answers of a model to questions in JSON, one after the other: what `serve` sends its page.

#include "decode.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace seq2seq {

/// A question that cannot be answered, with its status of HTTP.
struct Refusal : std::runtime_error {
  Refusal(int http_status, const std::string& why) : std::runtime_error(why), status(http_status) {}
  int status;
};

/// Returns {"error": why} as text.
std::string error_text(const std::string& why);

/// Starts a thread of `serve`. IoError if the system gives none.
std::thread start_thread(std::function<void()> work);

/// A sentence to translate.
struct Question {
  std::string source;
  std::vector<std::int64_t> ids;
  std::size_t beam = 1, n_best = 1;
  bool attention = false;  // of all layers and heads
  bool stream = false;     // tells the text while it is written
};

/// A part of an Answer: "text" while it is written, then "result" or "error". The data are JSON.
struct Event {
  std::string name, data;
  int status = 200;  // of HTTP
};

/// The answer to a question, between the thread that makes it and the one that sends it.
class Answer {
 public:
  explicit Answer(Question what) : question(std::move(what)) {}
  /// Waits half a second for the next event. Texts that nobody has taken are replaced by longer ones.
  std::optional<Event> next();
  /// Adds an event.
  void tell(Event event);
  /// Says that nobody waits any more.
  void leave();
  [[nodiscard]] bool left() const;

  const Question question;
  const std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Event> text_, last_;
  bool left_ = false;
};

/// A model and the thread that translates. Questions wait in a queue.
class Answers {
 public:
  /// Loads the model. IoError, FormatError, ParameterError.
  explicit Answers(const ServeSettings& settings);
  ~Answers();
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  /// Returns what the page tells of the model, as JSON.
  [[nodiscard]] std::string about() const;
  /// Reads a question from JSON. Refusal for one that is malformed or out of the limits.
  [[nodiscard]] Question question(const std::string& body) const;
  /// Puts a question into the queue. Refusal after stop(). A caller limits how many wait.
  std::shared_ptr<Answer> ask(Question question);
  /// Ends all answers with an error. May be called twice.
  void stop();

 private:
  void work();
  void answer(Answer& to);
  [[nodiscard]] std::vector<xp::Hypothesis> search(Answer& to) const;
  void go_on(const Answer& to) const;

  const ServeSettings& settings_;
  const Bundle bundle_;
  const std::size_t most_;  // tokens of a source
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Answer>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace seq2seq
