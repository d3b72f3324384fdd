#include "data/gzip.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#ifdef XTAPE_ZLIB
#include <climits>
#include <new>

#include <zlib.h>
#endif

namespace xtape::data {

bool is_gzip(io::Bytes bytes) noexcept {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

#ifdef XTAPE_ZLIB

struct GzipReader::State {
  State(const std::string& name, Read from) : source(name), read(std::move(from)) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&z, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~State() { inflateEnd(&z); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// Reads more behind what is left of the input. Returns false at its end.
  bool refill() {
    std::memmove(input.data(), z.next_in, z.avail_in);
    const std::size_t got = read(std::span(input).subspan(z.avail_in));
    z.next_in = reinterpret_cast<Bytef*>(input.data());
    z.avail_in += static_cast<uInt>(got);
    given += got;
    return got != 0;
  }

  io::Source source;
  Read read;
  std::array<std::byte, 65536> input{};
  std::size_t given = 0, unpacked = 0;
  bool over = false;  // the last member has ended
  z_stream z{};
};

GzipReader::GzipReader(const std::string& name, Read read)
    : state_(std::make_unique<State>(name, std::move(read))) {
  state_->z.next_in = reinterpret_cast<Bytef*>(state_->input.data());
}

std::size_t GzipReader::consumed() const { return state_->given - state_->z.avail_in; }

std::size_t GzipReader::read(std::span<std::byte> out) {
  State& s = *state_;
  s.z.next_out = reinterpret_cast<Bytef*>(out.data());
  s.z.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size(), UINT_MAX));
  const uInt room = s.z.avail_out;
  while (!s.over && s.z.avail_out == room) {
    const bool more = s.z.avail_in != 0 || s.refill();
    switch (inflate(&s.z, Z_NO_FLUSH)) {
      case Z_OK: break;
      case Z_STREAM_END: {  // of one member; concatenated gzip files are a gzip file
        while (s.z.avail_in < 2 && s.refill()) {
        }
        s.over = s.z.avail_in == 0;
        const auto* next = reinterpret_cast<const std::byte*>(s.z.next_in);
        if (!s.over && !is_gzip({next, s.z.avail_in})) {
          s.source.fail(consumed(), "bytes behind the end of gzip: there are ", s.z.avail_in,
                        " or more, expected none or a further gzip member");
        }
        if (!s.over) inflateReset(&s.z);
        break;
      }
      case Z_MEM_ERROR: throw std::bad_alloc();
      case Z_BUF_ERROR:
        if (more) break;
        s.source.fail(consumed(), "truncated gzip: the file has ", s.given,
                      " bytes, expected more; copy it again");
      default:
        s.source.fail(consumed(),
                      "damaged gzip: ", s.z.msg == nullptr ? "a preset dictionary" : s.z.msg,
                      ", expected a file as gzip writes it; copy it again");
    }
  }
  const std::size_t got = room - s.z.avail_out;
  s.unpacked += got;
  constexpr std::size_t kSuspect = std::size_t{1} << 26U;
  constexpr std::size_t kRatio = 200;  // the most of deflate is 1032, of text about 10
  if (s.unpacked > kSuspect && s.unpacked / kRatio > consumed()) {
    s.source.fail(consumed(), "unpacks to too much: ", consumed(), " bytes give more than ",
                  s.unpacked, ", expected at most ", kRatio,
                  " times as many; decompress the file yourself if it is text");
  }
  return got;
}

#else

struct GzipReader::State {};

GzipReader::GzipReader(const std::string& name, Read /*read*/) {
  throw IoError(name +
                    ": compressed with gzip: this xtape was built without zlib, expected plain "
                    "text; decompress the file, or build xtape where zlib is found",
                name);
}

std::size_t GzipReader::consumed() const { return 0; }
std::size_t GzipReader::read(std::span<std::byte> /*out*/) { return 0; }

#endif

GzipReader::~GzipReader() = default;

std::string gunzip(io::Bytes bytes, const std::string& name, std::size_t max_bytes) {
  GzipReader reader(name, [&bytes](std::span<std::byte> out) {
    const std::size_t count = std::min(out.size(), bytes.size());
    std::copy_n(bytes.begin(), count, out.begin());
    bytes = bytes.subspan(count);
    return count;
  });
  std::string text;
  std::array<std::byte, 65536> buffer{};
  while (const std::size_t got = reader.read(buffer)) {
    if (got > max_bytes - text.size()) {
      io::Source(name).fail(reader.consumed(), "text too long: it has more than ", max_bytes,
                            " bytes once decompressed, expected at most that; split the file");
    }
    text += io::text_of(std::span(buffer).first(got));
  }
  return text;
}

}  // namespace xtape::data
