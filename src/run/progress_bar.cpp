#include <xtape/run/progress_bar.hpp>

#include "base/check.hpp"
#include "base/numbers.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <ostream>
#include <utility>
#include <vector>

namespace xtape {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool no_color() {
  const char* value = std::getenv("NO_COLOR");
  return value != nullptr && *value != '\0';
}

std::string repeated(const char* letter, std::int64_t times) {
  std::string out;
  for (std::int64_t i = 0; i < times; ++i) out += letter;
  return out;
}

std::string format_step(double seconds) {
  if (seconds >= 1 || seconds == 0) return " " + detail::fixed(seconds, 0) + "s/step";
  if (seconds >= 1e-3) return " " + detail::fixed(seconds * 1e3, 0) + "ms/step";
  return " " + detail::fixed(seconds * 1e6, 0) + "us/step";
}

/// Returns "step/total", with the step as wide as the total.
std::string count_of(std::int64_t current, std::int64_t total) {
  const std::string all = std::to_string(total);
  const std::string now = std::to_string(current);
  return std::string(all.size() - std::min(all.size(), now.size()), ' ') + now + '/' + all;
}

/// Leaves the first `room` characters on the screen, and all colours. Returns their number.
std::size_t fit_letters(std::string& text, std::size_t room) {
  std::size_t n = 0;
  bool escape = false;
  std::string kept;
  for (const char c : text) {
    if (c == '\x1b') escape = true;
    if (!escape && (static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++n;
    if (escape || n <= room) kept += c;
    if (escape && c == 'm') escape = false;
  }
  text = std::move(kept);
  return std::min(n, room);
}

/// Counts the characters on the screen, without colours.
std::size_t letters(std::string text) { return fit_letters(text, text.size()); }

/// Cuts " - a: 1 - b: 2" in front of each " - ".
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = std::min(text.find(" - ", at + 1), text.size());
    parts.push_back(text.substr(at, next - at));
    at = next;
  }
  return parts;
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
  return detail::number_text(
      value, std::abs(value) > 1e-3 ? std::chars_format::fixed : std::chars_format::scientific, 4);
}

ProgressBar::ProgressBar(ProgressOptions options) : options_(std::move(options)) {
  detail::check_option(options_.width > 0 && options_.width <= 1000, "ProgressBar", "width",
                       options_.width, "1 to 1000");
  detail::check_whole("ProgressBar", "columns", options_.columns);
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

ProgressBar::~ProgressBar() {
  try {
    if (shown_ > 0) write("\n");
  } catch (...) {  // the stream's exceptions are the user's, but not here
  }
}

std::size_t ProgressBar::columns() const {
  if (options_.columns > 0) return static_cast<std::size_t>(options_.columns);
  winsize size{};
  if (options_.stream != nullptr || ::ioctl(::fileno(options_.file), TIOCGWINSZ, &size) != 0) {
    return std::numeric_limits<std::size_t>::max();
  }
  return size.ws_col == 0 ? 80 : size.ws_col;
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

std::string ProgressBar::bar(std::int64_t current, std::size_t room) const {
  if (total_ == 0)
    return std::string(7 - std::min<std::size_t>(7, std::to_string(current).size()), ' ') +
           std::to_string(current) + "/Unknown";
  const std::string count = count_of(current, total_);
  const auto width = static_cast<std::int64_t>(std::min<std::size_t>(
      static_cast<std::size_t>(options_.width), room - std::min(room, count.size() + 1)));
  const auto share = static_cast<double>(current) / static_cast<double>(total_);
  const auto full = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(static_cast<double>(width) * share), 0, width);
  // Without colours another character shows the rest.
  const char* rest = *options_.color ? "━" : "─";
  const std::string done = full == 0 ? "" : styled("32", repeated("━", full));
  return styled("1", count) + ' ' + done + styled("37", repeated(rest, width - full));
}

void ProgressBar::show(std::int64_t current, const Logs& values, const std::string& tail,
                       bool last) {
  const double now = options_.clock();
  const double per_step = step_time(current, now);
  std::string time = detail::fixed(now - start_, 0) + "s";
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
  // The cursor stands behind the row, and in the last column some terminals begin the next row.
  const std::size_t room = columns() - 1;
  const std::string step = format_step(per_step);
  const std::size_t beside = time.size() + step.size() + 1;
  std::string line = bar(current, room - std::min(room, beside)) + ' ' + styled("1", time) + step;
  std::size_t wide = fit_letters(line, room);
  std::string below;
  for (const std::string& part : parts_of(numbers)) {
    const std::size_t more = letters(part);
    if (wide + more > room && !last) break;
    if (wide + more > room && wide > 0) {
      below += std::exchange(line, "") + '\n';
      wide = 0;
    }
    line += part;
    wide += more;
  }
  if (!below.empty()) clear();
  const std::size_t rest = std::min(shown_, room);
  const std::string over = rest > wide ? std::string(rest - wide, ' ') : "";
  shown_ = last ? 0 : wide;
  write('\r' + below + line + over + (last ? "\n" : ""));
}

void ProgressBar::update(std::int64_t current, const Logs& values, const std::string& tail) {
  if (due(current)) show(current, values, tail, false);
}

void ProgressBar::finish(std::int64_t current, const Logs& values, const std::string& tail) {
  if (options_.style != ProgressStyle::none) show(current, values, tail, true);
}

void ProgressBar::message(const std::string& text) {
  if (options_.style == ProgressStyle::none) return;
  clear();
  write(text + '\n');
}

void ProgressBar::clear() {
  if (shown_ == 0) return;
  write('\r' + std::string(std::min(std::exchange(shown_, 0), columns() - 1), ' ') + '\r');
}

}  // namespace xtape
