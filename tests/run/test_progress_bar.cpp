// The progress bar: when and where it writes. What it looks like is compared with Keras's in
// test_callbacks_golden.cpp.
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/training.hpp"

#include <cstdlib>
#include <sstream>

using namespace xtape;
using namespace xtape::test;

namespace {

struct Shown {
  std::ostringstream out;
  double now = 0;
  ProgressOptions options(ProgressStyle style) {
    return {.style = style, .stream = &out, .clock = [this] { return now; }};
  }
};

}  // namespace

TEST_CASE("numbers and times as Keras writes them") {
  CHECK(format_number(0.12345) == "0.1235");
  CHECK(format_number(0.001) == "1.0000e-03");
  CHECK(format_number(-0.001) == "-1.0000e-03");
  CHECK(format_number(-0.0011) == "-0.0011");
  CHECK(format_number(0) == "0.0000e+00");
  CHECK(format_number(std::nan("")) == "nan");
  CHECK(format_seconds(60) == "60s");
  CHECK(format_seconds(61) == "1:01");
  CHECK(format_seconds(3600) == "60:00");
  CHECK(format_seconds(7209.9) == "2:00:09");
}

TEST_CASE("a bar is written every 50 ms and at the end") {
  Shown s;
  ProgressBar bar(s.options(ProgressStyle::bar));
  bar.begin("Epoch 1/2", 100);
  for (std::int64_t step = 1; step < 100; ++step) {
    s.now += 0.01;
    bar.update(step, {{"loss", 1.0}});
  }
  bar.finish(100, {{"loss", 1.0}});
  const std::string text = s.out.str();
  CHECK(text.starts_with("Epoch 1/2\n\r"));
  const auto times = std::count(text.begin(), text.end(), '\r');
  CHECK(times >= 18);
  CHECK(times <= 22);
  CHECK(text.back() == '\n');
}

TEST_CASE("the first step is left out of the estimate") {
  Shown s;
  ProgressOptions options = s.options(ProgressStyle::bar);
  options.color = false;
  ProgressBar bar(options);
  bar.begin("", 10, 4);  // four were done before an interruption
  s.now = 100;
  bar.update(5, {});
  s.now = 102;
  bar.update(6, {});
  const std::string text = s.out.str();
  CHECK(contains(text, " 5/10 ━━━━━━━━━━────────── 8:20 100s/step"));
  CHECK(contains(text, " 6/10 ━━━━━━━━━━━━──────── 8s 2s/step"));
}

TEST_CASE("NO_COLOR takes the colours away, and an unknown total the bar") {
  for (const char* value : {"1", ""}) {
    ::setenv("NO_COLOR", value, 1);
    Shown s;
    ProgressBar bar(s.options(ProgressStyle::bar));
    ::unsetenv("NO_COLOR");
    bar.begin("", 2);
    bar.finish(2, {});
    CHECK(contains(s.out.str(), "\x1b[") == (*value == '\0'));
  }
  Shown s;
  ProgressOptions options = s.options(ProgressStyle::bar);
  options.color = false;
  ProgressBar bar(options);
  bar.begin("", 0);
  bar.finish(7, {});
  CHECK(s.out.str() == "\r      7/Unknown 0s 0s/step\n");
}

TEST_CASE("where there is no terminal there are lines, and none when none are wanted") {
  Directory d;
  std::FILE* file = std::fopen((d / "out").c_str(), "w");
  ProgressBar bar({.file = file});
  CHECK(bar.style() == ProgressStyle::lines);
  bar.begin("Epoch 1/1", 12);
  bar.update(1, {});
  bar.message("hello");
  bar.finish(12, {{"loss", 2.0}}, " - tail");
  std::fclose(file);
  const std::string text = read_text(d / "out");
  CHECK(text.starts_with("hello\nEpoch 1/1 - 12/12 - 0s - "));
  CHECK(text.ends_with("/step - loss: 2.0000 - tail\n"));

  Shown s;
  ProgressOptions slow = s.options(ProgressStyle::lines);
  slow.line_interval = 10;
  ProgressBar lines(slow);
  lines.begin("E", 100);
  for (s.now = 1; s.now < 35; ++s.now) lines.update(static_cast<std::int64_t>(s.now), {});
  const std::string written = s.out.str();
  CHECK(std::count(written.begin(), written.end(), '\n') == 3);

  Shown quiet;
  ProgressBar none(quiet.options(ProgressStyle::none));
  none.begin("Epoch", 1);
  none.update(1, {});
  none.message("x");
  none.finish(1, {});
  CHECK(quiet.out.str().empty());
}

TEST_CASE("options of the bar out of range are refused") {
  CHECK_THROWS_AS(ProgressBar({.width = 0}), ValueError);
  CHECK_THROWS_AS(ProgressBar({.interval = -1}), ValueError);
  CHECK_THROWS_AS(ProgressBar({.line_interval = std::nan("")}), ValueError);
}
