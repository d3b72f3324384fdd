#pragma once
// The page of `serve` and its answers over HTTP, by the library cpp-httplib, an optional dependency of the program.

#include "answers.hpp"

#include <memory>
#include <string>

namespace seq2seq {

/// A server of one page and of answers, on a loopback address. Limits: a question has 16 KiB, a request 64 KiB, which
/// must arrive within 10 s; 32 requests are read or answered at once, and 256 more wait.
class Web {
 public:
  /// Throws ValueError if the program was built without cpp-httplib.
  static void check_built();

  /// Opens a port; 0 is any. ValueError for an address that is not a loopback one; IoError if the port is in use or a
  /// thread cannot be started. Clients wait until start().
  Web(const std::string& address, int port);
  ~Web();
  Web(const Web&) = delete;
  Web& operator=(const Web&) = delete;

  /// Returns the address of the page.
  [[nodiscard]] std::string url() const;
  /// Begins to answer, on threads of its own. The answers must live longer than this. IoError.
  void start(Answers& answers);
  /// Returns whether it still answers. Throws what ended the thread that accepts connections.
  [[nodiscard]] bool running() const;
  /// Ends all answers and threads.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace seq2seq
