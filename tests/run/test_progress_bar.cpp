// The progress bar: when and where it writes. What it looks like is compared with Keras's in
// test_callbacks_golden.cpp.
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/training.hpp"

#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <locale>
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

/// The rows that a terminal would show, those overwritten too, without colours.
std::vector<std::string> rows_of(const std::string& text) {
  std::vector<std::string> rows(1);
  bool escape = false;
  for (const char c : text) {
    if (c == '\r' || c == '\n') {
      rows.emplace_back();
      continue;
    }
    if (c == '\x1b') escape = true;
    if (!escape) rows.back() += c;
    if (escape && c == 'm') escape = false;
  }
  return rows;
}

std::size_t width_of(const std::string& row) {
  return static_cast<std::size_t>(std::count_if(row.begin(), row.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::size_t widest(const std::string& text) {
  std::size_t most = 0;
  for (const std::string& row : rows_of(text)) most = std::max(most, width_of(row));
  return most;
}

const Logs kNumbers{{"loss", 1.23456},     {"val_loss", 0.5},    {"val_exact", 12.5},
                    {"val_bleu", 33.3333}, {"gradient_norm", 7}, {"learning_rate", 1e-4}};

}  // namespace

TEST_CASE("a bar fits the terminal at every width, and the end shows every number") {
  for (const bool color : {false, true}) {
    for (std::int64_t columns = 1; columns <= 200; ++columns) {
      INFO(columns);
      Shown s;
      ProgressOptions options = s.options(ProgressStyle::bar);
      options.columns = columns;
      options.color = color;
      ProgressBar bar(options);
      bar.begin("", 1000);
      for (std::int64_t step = 1; step < 1000; step += 99) {
        s.now += 1;
        bar.update(step, kNumbers, " - 123456 tokens/s");
      }
      CHECK(widest(s.out.str()) < static_cast<std::size_t>(columns));
      s.out.str("");
      bar.finish(1000, kNumbers, " - 123456 tokens/s");
      const std::string end = s.out.str();
      for (const auto& [name, value] : kNumbers) {
        CHECK(contains(end, name + ": " + format_number(value)));
      }
      CHECK(contains(end, "123456 tokens/s"));
      // A number that is wider than the terminal has a row of its own.
      if (columns > 28) CHECK(widest(end) < static_cast<std::size_t>(columns));
      CHECK(end.back() == '\n');
    }
  }
}

TEST_CASE("the last row covers what the bar has written before") {
  Shown s;
  ProgressOptions options = s.options(ProgressStyle::bar);
  options.columns = 80;
  options.color = false;
  ProgressBar bar(options);
  bar.begin("", 10);
  bar.update(1, kNumbers);
  const std::size_t shown = widest(s.out.str());
  s.out.str("");
  bar.finish(10, {{"a_number_with_a_name_of_more_than_forty_letters", 1.0}});
  CHECK(width_of(rows_of(s.out.str()).at(1)) >= shown);
}

TEST_CASE("a bar follows the size of its terminal") {
  int main = -1, side = -1;
  winsize size{24, 80, 0, 0};
  REQUIRE(::openpty(&main, &side, nullptr, nullptr, &size) == 0);
  std::FILE* file = ::fdopen(side, "w");
  {
    ProgressBar bar({.file = file, .interval = 0});
    CHECK(bar.style() == ProgressStyle::bar);
    bar.begin("", 100);
    const auto written = [&](std::int64_t step) {
      bar.update(step, kNumbers);
      char text[4096];
      const ssize_t got = ::read(main, text, sizeof text);
      REQUIRE(got > 0);
      return widest(std::string(text, static_cast<std::size_t>(got)));
    };
    CHECK(written(1) < 80);
    for (const std::uint16_t columns : {std::uint16_t{40}, std::uint16_t{15}, std::uint16_t{120}}) {
      size.ws_col = columns;
      REQUIRE(::ioctl(side, TIOCSWINSZ, &size) == 0);
      INFO(columns);
      CHECK(written(2) < columns);
    }
    CHECK(written(3) > 60);
    size.ws_col = 0;  // some terminals do not tell
    REQUIRE(::ioctl(side, TIOCSWINSZ, &size) == 0);
    CHECK(written(4) < 80);
  }
  std::fclose(file);
  ::close(main);
}

TEST_CASE("a bar makes room for others, and ends its row when it is given up") {
  Shown s;
  ProgressOptions options = s.options(ProgressStyle::bar);
  options.color = false;
  {
    ProgressBar bar(options);
    bar.clear();
    CHECK(s.out.str().empty());
    bar.begin("", 10);
    bar.update(1, {});
    const std::size_t wide = widest(s.out.str());
    s.out.str("");
    bar.message("hello");
    CHECK(s.out.str() == '\r' + std::string(wide, ' ') + "\rhello\n");
    s.out.str("");
    bar.clear();
    CHECK(s.out.str().empty());
    s.now = 1;
    bar.update(2, {});
    s.out.str("");
  }
  CHECK(s.out.str() == "\n");
  s.out.str("");
  {
    ProgressBar bar(options);
    bar.begin("", 1);
    bar.finish(1, {});
    s.out.str("");
  }
  CHECK(s.out.str().empty());
}

TEST_CASE("messages of a run stand in rows of their own") {
  Shown s;
  struct Talks final : Callback {
    void on_train_batch_end(Run& run, std::int64_t, const Logs&) override { run.say("a word"); }
  } talks;
  Network<float> network;
  SGD<float> sgd({.learning_rate = 0.1});
  FitOptions<float> options;
  options.callbacks = {&talks};
  options.progress = s.options(ProgressStyle::bar);
  options.progress.interval = 0;
  options.message = [&](const std::string& text) { s.out << "[" << text << "]\n"; };
  const std::vector<Batch<float>> batches{make_batch<float>(1), make_batch<float>(2),
                                          make_batch<float>(3)};
  fit(
      network.params, sgd, batches,
      [&](Tape<float>& tape, const Batch<float>& b) { return network.step(tape, b); }, options);
  const std::string text = s.out.str();
  std::size_t words = 0;
  for (std::size_t at = text.find("[a word]"); at != std::string::npos;
       at = text.find("[a word]", at + 1)) {
    CHECK((at == 0 || text[at - 1] == '\n' || text[at - 1] == '\r'));
    ++words;
  }
  CHECK(words > 2);
}

TEST_CASE("no locale changes the numbers of reports") {
  struct Comma final : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::locale before = std::locale::global(std::locale(std::locale(), new Comma));
  const std::string c_before = std::setlocale(LC_NUMERIC, nullptr);
  // Where the system has none with a comma, the C++ locale alone is tried.
  for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8"}) {
    if (std::setlocale(LC_NUMERIC, name) != nullptr) break;
  }
  CHECK(format_number(1234.5) == "1234.5000");
  CHECK(format_number(0.0001) == "1.0000e-04");
  Shown s;
  ProgressOptions options = s.options(ProgressStyle::lines);
  ProgressBar bar(options);
  bar.begin("", 12345);
  s.now = 1.5;
  bar.finish(12345, {{"loss", 0.5}});
  CHECK(contains(s.out.str(), "12345/12345 - 2s"));
  CHECK(contains(s.out.str(), "loss: 0.5000"));
  std::setlocale(LC_NUMERIC, c_before.c_str());
  std::locale::global(before);
}

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
  CHECK_THROWS_AS(ProgressBar({.columns = -1}), ValueError);
  CHECK_THROWS_AS(ProgressBar({.interval = -1}), ValueError);
  CHECK_THROWS_AS(ProgressBar({.line_interval = std::nan("")}), ValueError);
}
