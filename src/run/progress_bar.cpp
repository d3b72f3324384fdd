#include <xtape/run/progress_bar.hpp>

#include "base/check.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ostream>

namespace xtape {

namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool no_color() {
  const char* value = std::getenv("NO_COLOR");
  return value != nullptr && *value != '\0';
}

std::string printed(const char* format, double value) {
  char text[400];  // the largest double has 309 digits
  const int n = std::snprintf(text, sizeof text, format, value);
  return {text, static_cast<std::size_t>(std::max(n, 0))};
}

std::string repeated(const char* letter, std::int64_t times) {
  std::string out;
  for (std::int64_t i = 0; i < times; ++i) out += letter;
  return out;
}

std::string format_step(double seconds) {
  if (seconds >= 1 || seconds == 0) return printed(" %.0fs/step", seconds);
  if (seconds >= 1e-3) return printed(" %.0fms/step", seconds * 1e3);
  return printed(" %.0fus/step", seconds * 1e6);
}

/// Returns "step/total", with the step as wide as the total.
std::string count_of(std::int64_t current, std::int64_t total) {
  const std::string all = std::to_string(total);
  const std::string now = std::to_string(current);
  return std::string(all.size() - std::min(all.size(), now.size()), ' ') + now + '/' + all;
}

/// Counts the characters on the screen, without colours.
std::size_t letters(const std::string& text) {
  std::size_t n = 0;
  bool escape = false;
  for (const char c : text) {
    if (c == '\x1b') escape = true;
    if (!escape && (static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++n;
    if (escape && c == 'm') escape = false;
  }
  return n;
}

}  // namespace

std::string format_seconds(double seconds) {
  const auto whole = static_cast<long long>(std::clamp(seconds, 0.0, 1e15));
  char text[64];
  if (seconds > 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole % 3600 / 60,
                  whole % 60);
  } else if (seconds > 60) {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%llds", whole);
  }
  return text;
}

std::string format_number(double value) {
  return printed(std::abs(value) > 1e-3 ? "%.4f" : "%.4e", value);
}

ProgressBar::ProgressBar(ProgressOptions options) : options_(std::move(options)) {
  detail::check_option(options_.width > 0 && options_.width <= 1000, "ProgressBar", "width",
                       options_.width, "1 to 1000");
  detail::check_not_negative("ProgressBar", "interval", options_.interval);
  detail::check_not_negative("ProgressBar", "line_interval", options_.line_interval);
  if (!options_.clock) options_.clock = steady_seconds;
  if (options_.stream == nullptr && options_.file == nullptr) options_.style = ProgressStyle::none;
  if (options_.style == ProgressStyle::automatic) {
    const bool terminal = options_.stream == nullptr && ::isatty(::fileno(options_.file)) == 1;
    options_.style = terminal ? ProgressStyle::bar : ProgressStyle::lines;
  }
  if (!options_.color) options_.color = options_.style == ProgressStyle::bar && !no_color();
}

void ProgressBar::write(const std::string& text) const {
  if (options_.stream != nullptr) {
    *options_.stream << text << std::flush;
  } else {
    std::fwrite(text.data(), 1, text.size(), options_.file);
    std::fflush(options_.file);
  }
}

std::string ProgressBar::styled(const char* code, const std::string& text) const {
  if (!*options_.color) return text;
  return std::string("\x1b[") + code + 'm' + text + "\x1b[0m";
}

void ProgressBar::begin(const std::string& title, std::int64_t total, std::int64_t done) {
  title_ = title;
  total_ = std::max<std::int64_t>(total, 0);
  before_ = done;
  first_.reset();
  shown_ = 0;
  start_ = options_.clock();
  last_ = options_.style == ProgressStyle::lines ? start_ : start_ - options_.interval;
  if (options_.style == ProgressStyle::bar && !title_.empty()) write(title_ + '\n');
}

double ProgressBar::elapsed() const { return options_.clock() - start_; }

bool ProgressBar::due(std::int64_t current) {
  if (options_.style == ProgressStyle::none) return false;
  const double now = options_.clock();
  if (!first_ && current == before_ + 1) first_ = now;
  const bool is_bar = options_.style == ProgressStyle::bar;
  return now - last_ >= (is_bar ? options_.interval : options_.line_interval);
}

double ProgressBar::step_time(std::int64_t current, double now) const {
  const auto done = static_cast<double>(current - before_);
  if (done < 1) return 0;
  if (first_ && done > 1) return (now - *first_) / (done - 1);
  return (now - start_) / done;
}

std::string ProgressBar::bar(std::int64_t current) const {
  if (total_ == 0)
    return std::string(7 - std::min<std::size_t>(7, std::to_string(current).size()), ' ') +
           std::to_string(current) + "/Unknown";
  const auto share = static_cast<double>(current) / static_cast<double>(total_);
  const auto full = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(static_cast<double>(options_.width) * share), 0, options_.width);
  // Without colours another character shows the rest.
  const char* rest = *options_.color ? "━" : "─";
  const std::string done = full == 0 ? "" : styled("32", repeated("━", full));
  return styled("1", count_of(current, total_)) + ' ' + done +
         styled("37", repeated(rest, options_.width - full));
}

void ProgressBar::show(std::int64_t current, const Logs& values, const std::string& tail,
                       bool last) {
  const double now = options_.clock();
  const double per_step = step_time(current, now);
  std::string time = printed("%.0fs", now - start_);
  std::string numbers;
  for (const auto& [name, value] : values) numbers += " - " + name + ": " + format_number(value);
  numbers += tail;
  last_ = now;
  if (options_.style == ProgressStyle::lines) {
    std::string line = title_.empty() ? "" : title_ + " - ";
    line += total_ == 0 ? std::to_string(current) : count_of(current, total_);
    write(line + " - " + time + " -" + format_step(per_step) + numbers + '\n');
    return;
  }
  if (!last && total_ > 0) time = format_seconds(per_step * static_cast<double>(total_ - current));
  std::string line = bar(current) + ' ' + styled("1", time) + format_step(per_step) + numbers;
  const std::size_t wide = letters(line);
  if (shown_ > wide) line += std::string(shown_ - wide, ' ');
  shown_ = last ? 0 : wide;
  write('\r' + line + (last ? "\n" : ""));
}

void ProgressBar::update(std::int64_t current, const Logs& values, const std::string& tail) {
  if (due(current)) show(current, values, tail, false);
}

void ProgressBar::finish(std::int64_t current, const Logs& values, const std::string& tail) {
  if (options_.style != ProgressStyle::none) show(current, values, tail, true);
}

void ProgressBar::message(const std::string& text) {
  if (options_.style == ProgressStyle::none) return;
  const std::string end = shown_ > 0 ? "\n" : "";
  shown_ = 0;
  write(end + text + '\n');
}

}  // namespace xtape
