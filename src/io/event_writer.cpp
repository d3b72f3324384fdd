// TensorBoard's event files: protocol buffers, written by hand, in the frames of a TFRecord file.

#include <xtape/io/event_writer.hpp>

#include "base/crc.hpp"
#include "io/file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

namespace xtape {
namespace {

template <class Number> std::string raw(Number value) {
  std::string out(sizeof(value), '\0');
  std::memcpy(out.data(), &value, sizeof(value));
  return out;
}

// The wire format: a key of field number and kind, and then the value.
enum class Wire : std::uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7U) out += static_cast<char>((value & 127U) | 128U);
  return out + static_cast<char>(value);
}

std::string key(std::uint64_t field, Wire wire) {
  return varint(field << 3U | static_cast<std::uint64_t>(wire));
}

std::string integer(std::uint64_t field, std::int64_t value) {
  return key(field, Wire::varint) + varint(static_cast<std::uint64_t>(value));
}

std::string real(std::uint64_t field, double value) {
  return key(field, Wire::fixed64) + raw(value);
}

/// Encodes a text, bytes, or a message inside a message.
std::string bytes(std::uint64_t field, std::string_view value) {
  return key(field, Wire::bytes) + varint(value.size()) + std::string(value);
}

std::string doubles(std::uint64_t field, const std::vector<double>& values) {
  std::string packed;
  for (const double v : values) packed += raw(v);
  return bytes(field, packed);
}

/// The checksum of TFRecord files: masked, as checksums of data with checksums inside are weak.
std::string masked_checksum(std::string_view data) {
  const std::uint32_t c = detail::crc32c(io::bytes_of(data));
  return raw(((c >> 15U) | (c << 17U)) + 0xA282EAD8U);
}

std::string frame(const std::string& record) {
  const std::string length = raw(std::uint64_t{record.size()});
  return length + masked_checksum(length) + record + masked_checksum(record);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  std::string out(name.data());
  for (char& c : out) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.') c = '_';
  }
  return out;
}

float as_float(double value) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (value > kMost) return std::numeric_limits<float>::infinity();
  if (value < -kMost) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(value);
}

template <class T> std::string histogram_fields(const Array<T>& values) {
  constexpr std::size_t kBuckets = 30;
  double least = std::numeric_limits<double>::infinity();
  double most = -least;
  double count = 0;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = values.data()[i];
    if (!std::isfinite(x)) continue;
    least = std::min(least, x);
    most = std::max(most, x);
    count += 1;
    sum += x;
    squares += x * x;
  }
  if (count == 0) least = most = 0;
  std::vector<double> limits{most};
  std::vector<double> buckets{count};
  if (least < most) {
    limits.clear();
    for (std::size_t b = 1; b <= kBuckets; ++b) {
      limits.push_back(std::lerp(least, most, static_cast<double>(b) / kBuckets));
    }
    buckets.assign(kBuckets, 0.0);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x = values.data()[i];
      if (!std::isfinite(x)) continue;
      // The largest belongs to the last bucket, not behind it.
      const auto bucket = std::upper_bound(limits.begin(), limits.end() - 1, x) - limits.begin();
      buckets[static_cast<std::size_t>(bucket)] += 1;
    }
  }
  return real(1, least) + real(2, most) + real(3, count) + real(4, sum) + real(5, squares) +
         doubles(6, limits) + doubles(7, buckets);
}

/// Reads a number of a PNG, which is big-endian.
std::uint32_t number_at(std::span<const std::byte> png, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8U | static_cast<std::uint32_t>(png[at + i]);
  return value;
}

}  // namespace

EventWriter::EventWriter(const std::string& folder, EventWriterOptions options) {
  io::make_folder(folder);
  const double now = wall_time();
  std::string seconds = std::to_string(static_cast<std::int64_t>(now));
  seconds.insert(0, 10 - std::min<std::size_t>(10, seconds.size()), '0');
  const std::string base = folder + "/events.out.tfevents." + seconds + "." + host();
  descriptor_ = io::create_new(base, path_, O_APPEND);
  if (descriptor_ < 0) fail("cannot be created", errno);
  try {
    write_event(real(1, now) + bytes(3, "brain.Event:2"));
    if (options.purge_step) {
      constexpr std::int64_t kStart = 1;
      write_event(real(1, now) + integer(2, *options.purge_step) + bytes(7, integer(1, kStart)));
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

EventWriter::~EventWriter() { ::close(descriptor_); }

void EventWriter::fail(const char* what, int code) const {
  io::fail_io(path_, what, code, "a folder to write to, with room");
}

void EventWriter::write_event(const std::string& fields) {
  const std::string record = frame(fields);
  io::write_all(descriptor_, io::bytes_of(record), [this](int code) {
    // Readers find nothing behind half a record.
    static_cast<void>(::ftruncate(descriptor_, static_cast<off_t>(size_)));
    fail("cannot be written", code);
  });
  size_ += record.size();
}

void EventWriter::write_value(const std::string& tag, const std::string& fields,
                              std::int64_t step) {
  if (tag.empty() || !io::valid_utf8(tag)) {
    detail::fail<ValueError>("EventWriter", "tag out of form: tag is ", io::printable(tag),
                             ", expected UTF-8 that is not empty");
  }
  write_event(real(1, wall_time()) + integer(2, step) + bytes(5, bytes(1, bytes(1, tag) + fields)));
}

void EventWriter::scalar(const std::string& tag, double value, std::int64_t step) {
  write_value(tag, key(2, Wire::fixed32) + raw(as_float(value)), step);
}

void EventWriter::text(const std::string& tag, std::string_view text, std::int64_t step) {
  if (!io::valid_utf8(text)) {
    detail::fail<ValueError>("EventWriter", "text out of form: that of ", io::printable(tag),
                             " is not UTF-8, expected UTF-8");
  }
  constexpr std::int64_t kString = 7;
  const std::string shape = bytes(2, integer(1, 1));
  const std::string tensor = integer(1, kString) + bytes(2, shape) + bytes(8, text);
  write_value(tag, bytes(9, bytes(1, bytes(1, "text"))) + bytes(8, tensor), step);
}

template <class T>
void EventWriter::histogram(const std::string& tag, const Array<T>& values, std::int64_t step) {
  write_value(tag, bytes(5, histogram_fields(values)), step);
}

void EventWriter::image(const std::string& tag, std::span<const std::byte> png, std::int64_t step) {
  constexpr std::string_view kStart("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
  const std::string_view data = io::text_of(png);
  if (!data.starts_with(kStart) || data.size() < 26) {
    detail::fail<ValueError>("EventWriter", "not a picture: ", io::printable(tag), " has ",
                             png.size(), " bytes that do not begin as a PNG, expected a PNG file");
  }
  // Width, height, depth, kind of colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
  const unsigned kind = static_cast<unsigned>(png[25]);
  const std::int64_t channels = kind == 0 ? 1 : kind == 4 ? 2 : kind == 6 ? 4 : 3;
  write_value(tag,
              bytes(4, integer(1, number_at(png, 20)) + integer(2, number_at(png, 16)) +
                           integer(3, channels) + bytes(4, data)),
              step);
}

void EventWriter::flush() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail("cannot be flushed to the disk", errno);
}

template void EventWriter::histogram<float>(const std::string&, const Array<float>&, std::int64_t);
template void EventWriter::histogram<double>(const std::string&, const Array<double>&,
                                             std::int64_t);

}  // namespace xtape
