#pragma once
/// \file
/// ProgressBar: the progress of an epoch, in Keras's format.
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

/// How progress is reported.
enum class ProgressStyle : std::uint8_t {
  automatic,  ///< a bar on a terminal, lines otherwise
  none,
  bar,   ///< one line, overwritten
  lines  ///< one line per report
};

/// Options of ProgressBar.
struct ProgressOptions {
  ProgressStyle style = ProgressStyle::automatic;  ///< bar, lines or none
  std::FILE* file = stdout;                        ///< the output
  std::ostream* stream = nullptr;                  ///< instead of the file; no terminal
  std::optional<bool> color = {};      ///< unset: for bars, unless NO_COLOR is set and not empty
  std::int64_t width = 20;             ///< of the bar, in letters; positive
  std::int64_t columns = 0;            ///< of the terminal; 0: asked for at each output
  double interval = 0.05;              ///< seconds between two updates of a bar; 0 or more
  double line_interval = 30;           ///< seconds between two lines before the last; 0 or more
  std::function<double()> clock = {};  ///< the time in seconds; unset: a steady clock
};

/// Shows step/total, the bar, the time left (after the last step: the time taken), the time per step (without
/// the slow first one), and numbers with four decimals, or as %.4e when small. A bar takes one row of a
/// terminal and leaves out the numbers that have no room; finish() shows them all, in further rows.
/// Ignores write errors.
class ProgressBar {
 public:
  /// ValueError for options out of range.
  explicit ProgressBar(ProgressOptions options = {});
  /// Ends the row of a bar that is not finished.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Starts after `done` of `total` steps; an unknown total is 0. A bar's title has its own line, other
  /// lines begin with it. An empty title is left out.
  void begin(const std::string& title, std::int64_t total, std::int64_t done = 0);
  /// Whether update() would write now. Call it or update() after the first step, to measure that.
  [[nodiscard]] bool due(std::int64_t current);
  /// Shows the progress when due() says so.
  void update(std::int64_t current, const Logs& values, const std::string& tail = "");
  /// Shows the final state and ends the line.
  void finish(std::int64_t current, const Logs& values, const std::string& tail = "");
  /// A line of text, in place of the bar.
  void message(const std::string& text);
  /// Clears the row of the bar, before others write to the terminal. The next update() shows it again.
  void clear();

  /// Returns the style in use.
  [[nodiscard]] ProgressStyle style() const noexcept { return options_.style; }
  /// Seconds since begin().
  [[nodiscard]] double elapsed() const;

 private:
  void show(std::int64_t current, const Logs& values, const std::string& tail, bool last);
  [[nodiscard]] std::string bar(std::int64_t current, std::size_t room) const;
  [[nodiscard]] std::size_t columns() const;
  [[nodiscard]] std::string styled(const char* code, const std::string& text) const;
  [[nodiscard]] double step_time(std::int64_t current, double now) const;
  void write(const std::string& text) const;

  ProgressOptions options_;
  std::string title_;
  std::int64_t total_ = 0;
  std::int64_t before_ = 0;  // steps done before begin()
  double start_ = 0;
  double last_ = 0;                   // the time of the last output
  std::optional<double> first_ = {};  // the time of the first step
  std::size_t shown_ = 0;             // characters of the line to overwrite
};

/// Returns a time as Keras writes it: "7s", "1:05", "2:00:09".
std::string format_seconds(double seconds);
/// Returns a number as reports show it: "0.1235", "1.2346e-04".
std::string format_number(double value);

}  // namespace xtape
