#pragma once
/// \file
/// ProgressBar: how far an epoch is, in Keras's format.
///
///     ProgressBar bar;
///     bar.begin("Epoch 1/3", steps);
///     for (...) bar.update(step, {{"loss", loss}});
///     bar.finish(steps, {{"loss", loss}});

#include <xtape/run/history.hpp>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

namespace xtape {

enum class ProgressStyle : std::uint8_t {
  automatic,  ///< a bar on a terminal, lines otherwise
  none,
  bar,   ///< one line that is written over and over
  lines  ///< one line per report
};

struct ProgressOptions {
  ProgressStyle style = ProgressStyle::automatic;
  std::FILE* file = stdout;            ///< where to
  std::ostream* stream = nullptr;      ///< instead of the file; no terminal
  std::optional<bool> color = {};      ///< unset: for bars, unless NO_COLOR is set and not empty
  std::int64_t width = 20;             ///< of the bar, in letters; positive
  double interval = 0.05;              ///< seconds between two updates of a bar; 0 or more
  double line_interval = 30;           ///< seconds between two lines before the last; 0 or more
  std::function<double()> clock = {};  ///< the time in seconds; unset: a steady clock
};

/// Shows step/total, the bar, the time left (at the end: the time taken), the time per step (without
/// the first, which is slow), and numbers with four decimals, or as %.4e where they are small. What
/// cannot be written is lost; no error is thrown.
class ProgressBar {
 public:
  /// ValueError for options out of range.
  explicit ProgressBar(ProgressOptions options = {});

  /// Starts: a bar's title has a line of its own, other lines begin with it. `done` steps of `total`
  /// were done before; an unknown total is 0. An empty title is left out.
  void begin(const std::string& title, std::int64_t total, std::int64_t done = 0);
  /// Whether update() would write now, to spare the work before it. It must be asked, or update()
  /// called, after the first step, so that the time of that is known.
  [[nodiscard]] bool due(std::int64_t current);
  /// Shows it, when it is time.
  void update(std::int64_t current, const Logs& values, const std::string& tail = "");
  /// Shows it for the last time, and ends the line.
  void finish(std::int64_t current, const Logs& values, const std::string& tail = "");
  /// A line of text, above the bar.
  void message(const std::string& text);

  [[nodiscard]] ProgressStyle style() const noexcept { return options_.style; }
  /// Seconds since begin().
  [[nodiscard]] double elapsed() const;

 private:
  void show(std::int64_t current, const Logs& values, const std::string& tail, bool last);
  [[nodiscard]] std::string bar(std::int64_t current) const;
  [[nodiscard]] std::string styled(const char* code, const std::string& text) const;
  [[nodiscard]] double step_time(std::int64_t current, double now) const;
  void write(const std::string& text) const;

  ProgressOptions options_;
  std::string title_;
  std::int64_t total_ = 0;
  std::int64_t before_ = 0;  // steps done before begin()
  double start_ = 0;
  double last_ = 0;                   // when it was shown
  std::optional<double> first_ = {};  // when the first step was done
  std::size_t shown_ = 0;             // letters of the line that is to be written over
};

/// A time as Keras writes it: "7s", "1:05", "2:00:09".
std::string format_seconds(double seconds);
/// A number as reports show it: "0.1235", "1.2346e-04".
std::string format_number(double value);

}  // namespace xtape
