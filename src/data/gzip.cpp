#include "data/gzip.hpp"

#ifdef XTAPE_ZLIB
#include <algorithm>
#include <array>
#include <climits>
#include <new>

#include <zlib.h>
#endif

namespace xtape::data {

bool is_gzip(io::Bytes bytes) noexcept {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

#ifdef XTAPE_ZLIB

namespace {

class Inflater {
 public:
  Inflater() {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& operator*() { return stream_; }

 private:
  z_stream stream_{};
};

}  // namespace

std::string gunzip(io::Bytes bytes, const std::string& name, std::size_t max_bytes) {
  const io::Source source(name);
  Inflater inflater;
  z_stream& z = *inflater;
  std::string text;
  std::array<char, 65536> buffer{};
  std::size_t given = 0;
  const auto consumed = [&] { return given - z.avail_in; };
  for (bool more = true; more;) {
    if (z.avail_in == 0) {
      const std::size_t next = std::min<std::size_t>(bytes.size() - given, UINT_MAX);
      // zlib reads only; its interface has no const.
      z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data() + given));  // NOLINT
      z.avail_in = static_cast<uInt>(next);
      given += next;
    }
    z.next_out = reinterpret_cast<Bytef*>(buffer.data());
    z.avail_out = static_cast<uInt>(buffer.size());
    const int status = inflate(&z, Z_NO_FLUSH);
    const std::size_t got = buffer.size() - z.avail_out;
    if (got > max_bytes - text.size()) {
      source.fail(
          consumed(), "text too long: it has more than ", max_bytes,
          " bytes once decompressed, expected at most max_bytes; raise it or split the file");
    }
    text.append(buffer.data(), got);
    switch (status) {
      case Z_OK: break;
      case Z_STREAM_END:  // of one member; concatenated gzip files are a gzip file
        more = consumed() < bytes.size();
        if (more && !is_gzip(bytes.subspan(consumed()))) {
          source.fail(consumed(), "bytes behind the end of gzip: there are ",
                      bytes.size() - consumed(), ", expected none or a further gzip member");
        }
        if (more) inflateReset(&z);
        break;
      case Z_MEM_ERROR: throw std::bad_alloc();
      case Z_BUF_ERROR:
        source.fail(consumed(), "truncated gzip: the file has ", bytes.size(),
                    " bytes, expected more; copy it again");
      default:
        source.fail(consumed(), "damaged gzip: ", z.msg == nullptr ? "a preset dictionary" : z.msg,
                    ", expected a file as gzip writes it; copy it again");
    }
  }
  return text;
}

#else

std::string gunzip(io::Bytes /*bytes*/, const std::string& name, std::size_t /*max_bytes*/) {
  throw IoError(name +
                    ": compressed with gzip: this xtape was built without zlib, expected plain "
                    "text; decompress the file, or build xtape where zlib is found",
                name);
}

#endif

}  // namespace xtape::data
