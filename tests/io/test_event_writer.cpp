// Event files, read with a reader of our own: frames, checksums, and the fields inside.

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/processes.hpp"

#include "base/crc.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>

using namespace xtape;
using namespace xtape::test;
namespace fs = std::filesystem;

namespace {

template <class Number> Number number(const std::string& bytes, std::size_t at = 0) {
  Number value;
  if (at + sizeof value > bytes.size()) throw std::runtime_error("too short for a number");
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t unmasked(std::uint32_t c) {
  c -= 0xA282EAD8U;
  return (c >> 17U) | (c << 15U);
}

/// The records of a file; what is torn at the end is left out, as TensorBoard does.
std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> out;
  for (std::size_t at = 0; file.size() - at >= 12;) {
    const auto length = number<std::uint64_t>(file, at);
    if (unmasked(number<std::uint32_t>(file, at + 8)) !=
        detail::crc32c(as_bytes(file.substr(at, 8)))) {
      throw std::runtime_error("wrong checksum of a length");
    }
    if (file.size() - at < length + 16) break;
    const std::string record = file.substr(at + 12, length);
    if (unmasked(number<std::uint32_t>(file, at + 12 + length)) !=
        detail::crc32c(as_bytes(record))) {
      throw std::runtime_error("wrong checksum of a record");
    }
    out.push_back(record);
    at += length + 16;
  }
  return out;
}

/// A message's fields, in order: numbers of varints as their eight bytes.
using Message = std::vector<std::pair<int, std::string>>;
Message message(const std::string& bytes) {
  Message out;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= std::uint64_t{byte & 127U} << shift;
      if (byte < 128) return value;
    }
    throw std::runtime_error("a varint without end");
  };
  while (at < bytes.size()) {
    const std::uint64_t key = varint();
    std::string value;
    switch (key & 7U) {
      case 0: {
        const std::uint64_t n = varint();
        value.assign(reinterpret_cast<const char*>(&n), 8);
        break;
      }
      case 1: value = bytes.substr(at, 8), at += 8; break;
      case 5: value = bytes.substr(at, 4), at += 4; break;
      case 2: {
        const std::uint64_t length = varint();
        value = bytes.substr(at, length);
        if (value.size() != length) throw std::runtime_error("a field beyond its message");
        at += length;
        break;
      }
      default: throw std::runtime_error("a field of no known kind");
    }
    out.emplace_back(static_cast<int>(key >> 3U), value);
  }
  return out;
}

/// The only field of this number, "(none)" without one.
std::string field(const Message& m, int wanted) {
  std::string found = "(none)";
  for (const auto& [number, value] : m) {
    if (number == wanted) found = found == "(none)" ? value : "(several)";
  }
  return found;
}

std::vector<double> doubles(const std::string& packed) {
  std::vector<double> out;
  for (std::size_t at = 0; at < packed.size(); at += 8) out.push_back(number<double>(packed, at));
  return out;
}

/// The value of an event's summary.
Message value_of(const std::string& record) {
  return message(field(message(field(message(record), 5)), 1));
}

std::int64_t step_of(const std::string& record) {
  return number<std::int64_t>(field(message(record), 2));
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string png(unsigned char kind) {
  std::string bytes("\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\1\3\0\0\0\2\x08", 25);
  bytes += static_cast<char>(kind);
  return bytes + "the rest is not looked at";
}

struct Histogram {
  double least, most, count, sum, squares;
  std::vector<double> limits, buckets;
};

Histogram histogram_of(const Array<double>& values) {
  const Directory folder;
  EventWriter events(folder.path());
  events.histogram("h", values, 1);
  const Message h = message(field(value_of(records(read_text(events.path())).at(1)), 5));
  return {number<double>(field(h, 1)), number<double>(field(h, 2)), number<double>(field(h, 3)),
          number<double>(field(h, 4)), number<double>(field(h, 5)), doubles(field(h, 6)),
          doubles(field(h, 7))};
}

}  // namespace

TEST_CASE("the file's name and first record, and scalars") {
  const Directory folder;
  const double before = now();
  EventWriter events(folder / "logs/run");
  events.scalar("loss/train", 0.25, 7);
  events.scalar("l\u00e9", 1e300, 1'000'000'000'000);
  events.scalar("x", -1e300, -3);
  events.scalar("x", std::numeric_limits<double>::quiet_NaN(), 0);
  const double after = now();
  const std::string name = fs::path(events.path()).filename().string();
  CHECK(events.path() == folder / "logs/run/" + name);
  REQUIRE(name.starts_with("events.out.tfevents."));
  const std::string seconds = name.substr(20, 10);
  CHECK(std::stod(seconds) >= std::floor(before));
  CHECK(std::stod(seconds) <= after);
  CHECK(name[30] == '.');
  CHECK(name.size() > 31);

  const auto all = records(read_text(events.path()));
  REQUIRE(all.size() == 5);
  CHECK(field(message(all[0]), 3) == "brain.Event:2");
  for (const std::string& record : all) {
    const auto time = number<double>(field(message(record), 1));
    CHECK(time >= before);
    CHECK(time <= after);
  }
  CHECK(step_of(all[1]) == 7);
  CHECK(field(value_of(all[1]), 1) == "loss/train");
  CHECK(number<float>(field(value_of(all[1]), 2)) == 0.25F);
  CHECK(step_of(all[2]) == 1'000'000'000'000);
  CHECK(field(value_of(all[2]), 1) == "l\u00e9");
  CHECK(number<float>(field(value_of(all[2]), 2)) == std::numeric_limits<float>::infinity());
  CHECK(step_of(all[3]) == -3);
  CHECK(number<float>(field(value_of(all[3]), 2)) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(number<float>(field(value_of(all[4]), 2))));
}

TEST_CASE("two writers in the same second have a file each; steps can be purged") {
  const Directory folder;
  std::vector<std::unique_ptr<EventWriter>> writers;
  for (int i = 0; i < 5; ++i) {
    writers.push_back(
        std::make_unique<EventWriter>(folder.path(), EventWriterOptions{.purge_step = i}));
  }
  CHECK(folder.files().size() == 5);
  const auto all = records(read_text(writers[4]->path()));
  REQUIRE(all.size() == 2);
  CHECK(step_of(all[1]) == 4);
  CHECK(number<std::int64_t>(field(message(field(message(all[1]), 7)), 1)) == 1);
}

TEST_CASE("texts and pictures") {
  const Directory folder;
  EventWriter events(folder.path());
  const std::string long_text(1000, 'x');
  events.text("note", "**bold** \u4f60", 1);
  events.text("note", "", 2);
  events.text("note", long_text, 3);
  const std::pair<unsigned char, std::int64_t> kinds[] = {{0, 1}, {2, 3}, {3, 3}, {4, 2}, {6, 4}};
  for (const auto& [kind, channels] : kinds) events.image("map", as_bytes(png(kind)), 4);
  const auto all = records(read_text(events.path()));
  REQUIRE(all.size() == 9);
  const std::string texts[] = {"**bold** \u4f60", "", long_text};
  for (std::size_t i = 0; i < 3; ++i) {
    const Message value = value_of(all[1 + i]);
    CHECK(field(message(field(message(field(value, 9)), 1)), 1) == "text");
    const Message tensor = message(field(value, 8));
    CHECK(number<std::int64_t>(field(tensor, 1)) == 7);
    CHECK(field(tensor, 8) == texts[i]);
    CHECK(number<std::int64_t>(field(message(field(message(field(tensor, 2)), 2)), 1)) == 1);
  }
  for (std::size_t i = 0; i < 5; ++i) {
    const Message image = message(field(value_of(all[4 + i]), 4));
    CHECK(number<std::int64_t>(field(image, 1)) == 2);    // height
    CHECK(number<std::int64_t>(field(image, 2)) == 259);  // width
    CHECK(number<std::int64_t>(field(image, 3)) == kinds[i].second);
    CHECK(field(image, 4) == png(kinds[i].first));
  }
}

TEST_CASE("histograms count the finite elements") {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Histogram h = histogram_of(array<double>({6}, {0, 30, 29.5, 1, -kInf, std::nan("")}));
  CHECK(h.least == 0);
  CHECK(h.most == 30);
  CHECK(h.count == 4);
  CHECK(h.sum == 60.5);
  CHECK(h.squares == 900 + 29.5 * 29.5 + 1);
  REQUIRE(h.limits.size() == 30);
  REQUIRE(h.buckets.size() == 30);
  for (std::size_t i = 0; i < 30; ++i) {
    CHECK(h.limits[i] == Approx(static_cast<double>(i + 1)).epsilon(1e-14));
    CHECK(h.buckets[i] == (i < 2 ? 1 : i == 29 ? 2 : 0));
  }
  const Histogram equal = histogram_of(Array<double>(Shape{2, 3}, -4.0));
  CHECK(equal.limits == std::vector<double>{-4});
  CHECK(equal.buckets == std::vector<double>{6});
  for (const Array<double>& none : {Array<double>(Shape{0}), Array<double>(Shape{2}, kInf)}) {
    const Histogram empty = histogram_of(none);
    CHECK(empty.limits == std::vector<double>{0});
    CHECK(empty.buckets == std::vector<double>{0});
    CHECK(empty.count == 0);
  }
  constexpr double kMost = std::numeric_limits<double>::max();
  const Histogram wide = histogram_of(array<double>({3}, {-kMost, 0, kMost}));
  CHECK(wide.buckets[0] == 1);
  CHECK(wide.buckets[15] == 1);
  CHECK(wide.buckets[29] == 1);
  CHECK(std::is_sorted(wide.limits.begin(), wide.limits.end()));
  constexpr double kLeast = std::numeric_limits<double>::denorm_min();
  const Histogram tiny = histogram_of(array<double>({3}, {0, kLeast, kLeast}));
  CHECK(tiny.buckets.back() == 2);
  CHECK(std::accumulate(tiny.buckets.begin(), tiny.buckets.end(), 0.0) == 3);
  const Array<double> many = random_array<double>({1000}, 3, -1e-3, 5);
  const Histogram counted = histogram_of(many);
  for (std::size_t i = 0; i < 30; ++i) {
    const double low = i == 0 ? -1 : counted.limits[i - 1];
    double inside = 0;
    for (const double x : many) {
      inside += x >= low && (x < counted.limits[i] || (i == 29 && x <= counted.limits[i]));
    }
    CHECK(counted.buckets[i] == inside);
  }
}

TEST_CASE("what an event file cannot hold is refused, and nothing is written") {
  const Directory folder;
  EventWriter events(folder.path());
  const std::string before = read_text(events.path());
  CHECK(contains(error_of<ValueError>([&] { events.scalar("", 1, 1); }),
                 "EventWriter: tag out of form: tag is ''"));
  CHECK(contains(error_of<ValueError>([&] { events.scalar("\xFF", 1, 1); }), "tag is '\\xff'"));
  CHECK(contains(error_of<ValueError>([&] { events.text("t", "\xC0\x80", 1); }),
                 "that of 't' is not UTF-8"));
  for (const std::string& bad :
       {std::string(), std::string("GIF89a"), png(2).substr(0, 25), "x" + png(2)}) {
    CHECK(contains(error_of<ValueError>([&] { events.image("i", as_bytes(bad), 1); }),
                   "not a picture: 'i' has " + std::to_string(bad.size()) + " bytes"));
  }
  CHECK(read_text(events.path()) == before);
  write_file(folder / "file", "");
  CHECK(contains(error_of<IoError>([&] { EventWriter(folder / "file"); }),
                 "file: cannot be made: File exists"));
}

TEST_CASE("a disk that is full: the error names the file, and what was written before is whole") {
  const Directory folder;
  for (rlim_t limit = 0; limit < 400; limit += 7) {
    fs::remove_all(folder / "logs");
    const int result = in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit most{limit, limit};
      if (::setrlimit(RLIMIT_FSIZE, &most) != 0) return 1;
      std::unique_ptr<EventWriter> events;
      const std::string made =
          error_of<IoError>([&] { events = std::make_unique<EventWriter>(folder / "logs"); });
      if (!events) return contains(made, "cannot be written: File too large") ? 0 : 2;
      int refused = 0;
      for (int i = 0; i < 10; ++i) {
        const std::string text = error_of<IoError>([&] { events->scalar("a", i, i); });
        if (!text.empty() &&
            !text.starts_with(events->path() + ": cannot be written: File too large"))
          return 3;
        refused += !text.empty();
      }
      return refused > 0 ? 0 : 4;
    });
    INFO(limit);
    CHECK(result == 0);
    for (const auto& entry : fs::directory_iterator(folder / "logs")) {
      const std::string text = read_text(entry.path());
      std::size_t whole = 0;
      for (const std::string& record : records(text)) whole += record.size() + 16;
      CHECK(text.size() == whole);
    }
  }
}

TEST_CASE("a killed writer loses nothing that it has written, and a torn record hides nothing") {
  const Directory folder;
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& written = *new (memory) std::atomic<std::int64_t>(0);
  const pid_t child = begin_child([&] {
    EventWriter events(folder.path());
    for (std::int64_t i = 1;; ++i) {
      events.scalar("a", static_cast<double>(i), i);
      written = i;
    }
    return 0;
  });
  for (int i = 0; written < 1000 && i < 300'000; ++i) ::usleep(100);
  ::kill(child, SIGKILL);
  CHECK(end_of(child) == -SIGKILL);
  const std::string text = read_text(folder / folder.files().at(0));
  const auto all = records(text);
  CHECK(static_cast<std::int64_t>(all.size()) - 1 >= written);
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (step_of(all[i]) != static_cast<std::int64_t>(i)) FAIL_CHECK("record " << i);
  }
  const std::string few = text.substr(0, 200);
  std::size_t last = 0;
  for (std::size_t length = 0; length <= few.size(); ++length) {
    const std::size_t count = records(few.substr(0, length)).size();
    CHECK(count >= last);
    last = count;
  }
  CHECK(last > 3);
  ::munmap(memory, 4096);
}

TEST_CASE("no file takes the number of a standard stream that is closed") {
  const Directory folder;
  CHECK(in_child([&] {
          for (int descriptor = 0; descriptor < 3; ++descriptor) ::close(descriptor);
          EventWriter events(folder.path());
          events.scalar("x", 1.0, 1);
          write_text(folder / "text", "text\n");
          for (int descriptor = 0; descriptor < 3; ++descriptor) {
            if (::write(descriptor, "report", 6) >= 0) return 1;
          }
          events.flush();
          return contains(read_text(events.path()), "report") ? 2 : 0;
        }) == 0);
  CHECK(read_text(folder / "text") == "text\n");
}

TEST_CASE("flush, and floats") {
  const Directory folder;
  EventWriter events(folder.path());
  events.histogram("h", Array<float>(Shape{2}, 1.5F), 1);
  events.flush();
  const Message h = message(field(value_of(records(read_text(events.path())).at(1)), 5));
  CHECK(number<double>(field(h, 2)) == 1.5);
}
