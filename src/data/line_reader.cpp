#include <xtape/data/line_reader.hpp>

#include "data/gzip.hpp"
#include "data/lines.hpp"
#include "io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

namespace xtape {

constexpr static std::size_t kMost = std::size_t{1} << 40U;  // bytes of a line that are kept

struct LineReader::State {
  State(int descriptor, std::string text_name, std::size_t longest)
      : own(-1), file(descriptor), name(std::move(text_name)), max_line(std::min(longest, kMost)) {}
  State(const std::string& path, std::size_t longest, std::size_t most)
      : own(::open(io::checked_path(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)),
        file(own.get()),
        name(path),
        max_line(std::min(longest, kMost)) {
    if (file < 0) {
      io::fail_io(path, "cannot be opened", errno,
                  "a readable file; check the path and permissions");
    }
    struct stat status {};
    if (::fstat(file, &status) != 0) unreadable(errno);
    if (!S_ISREG(status.st_mode)) {
      io::fail_io(path, "not a regular file", S_ISDIR(status.st_mode) ? EISDIR : 0,
                  "a file; name the file itself");
    }
    // A sparse file may claim more than anybody could read.
    if (static_cast<std::size_t>(status.st_size) > most) {
      io::Source(path).fail(most, "too large: it has ", status.st_size, " bytes, expected at most ",
                            most, "; split it, or give it as standard input");
    }
  }

  [[noreturn]] void unreadable(int code) const {
    io::fail_io(name, "cannot be read", code, "readable text; check what it is connected to");
  }

  /// Reads what the system has; 0 at the end.
  std::size_t read_file(std::span<std::byte> out) const {
    ssize_t got = 0;
    do {
      got = ::read(file, out.data(), out.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) unreadable(errno);
    return static_cast<std::size_t>(got);
  }

  /// Decides whether the text is gzip and skips the byte order mark. It waits for no more bytes than that takes:
  /// at a terminal somebody may have typed only two.
  void begin() {
    begun = true;
    const auto looks_like = [this](std::string_view mark) {
      return end < mark.size() && mark.starts_with(io::text_of(std::span(buffer).first(end)));
    };
    constexpr std::string_view gzip = "\x1F\x8B";
    do {
      const std::size_t got = read_file(std::span(buffer).subspan(end));
      if (got == 0) break;
      end += got;
    } while (looks_like(gzip) || looks_like(data::kByteOrderMark));
    if (data::is_gzip(std::span(buffer).first(end))) {
      held.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(end));
      unzip.emplace(name, [this, used = std::size_t{0}](std::span<std::byte> out) mutable {
        if (used == held.size()) return read_file(out);
        const std::size_t count = std::min(out.size(), held.size() - used);
        std::copy_n(held.begin() + static_cast<std::ptrdiff_t>(used), count, out.begin());
        used += count;
        return count;
      });
      end = 0;
      do {
        const std::size_t got = unzip->read(std::span(buffer).subspan(end));
        if (got == 0) break;
        end += got;
      } while (looks_like(data::kByteOrderMark));
    }
    const std::string_view text = io::text_of(std::span(buffer).first(end));
    if (text.starts_with(data::kByteOrderMark)) at = data::kByteOrderMark.size();
  }

  /// Makes sure that a byte is in the buffer; false at the end of the text.
  bool more() {
    if (!begun) begin();
    if (at < end) return true;
    at = 0;
    end = unzip ? unzip->read(buffer) : read_file(buffer);
    return end != 0;
  }

  bool next() {
    line.clear();
    fault.clear();
    std::size_t size = 0;  // of the line, of which only max_line + 2 bytes are kept
    bool ended = false;
    char last = 0;
    while (!ended && more()) {
      const std::string_view rest = io::text_of(std::span(buffer).first(end)).substr(at);
      const std::size_t length = std::min(rest.find('\n'), rest.size());
      ended = length < rest.size();
      size += length;
      if (length > 0) last = rest[length - 1];
      line += rest.substr(0, std::min(length, max_line + 2 - line.size()));
      at += length + (ended ? 1 : 0);
    }
    if (!ended && size == 0) return false;
    ++number;
    if (ended && last == '\r') {
      if (size == line.size()) line.pop_back();
      --size;
    }
    fault = data::find_fault(line, size, max_line).what;
    if (!fault.empty()) {
      fault = place() + ": " + fault;
      line.clear();
    }
    return true;
  }

  [[nodiscard]] std::string place() const { return name + ": line " + std::to_string(number); }

  io::Descriptor own;  // of a path
  int file;
  std::string name;
  std::size_t max_line;
  std::array<std::byte, 65536> buffer{};
  std::size_t at = 0, end = 0;  // of what is left in the buffer
  bool begun = false;
  std::vector<std::byte> held;  // what begin() read of a gzip stream
  std::optional<data::GzipReader> unzip;
  std::string line, fault;
  std::size_t number = 0;
};

LineReader::LineReader(const std::string& path, const TextOptions& options)
    : state_(std::make_unique<State>(path, options.max_line, options.max_bytes)) {}
LineReader::LineReader(int descriptor, const std::string& name, const TextOptions& options)
    : state_(std::make_unique<State>(descriptor, name, options.max_line)) {}
LineReader::~LineReader() = default;

bool LineReader::next() { return state_->next(); }
const std::string& LineReader::line() const noexcept { return state_->line; }
const std::string& LineReader::fault() const noexcept { return state_->fault; }
std::size_t LineReader::number() const noexcept { return state_->number; }
std::string LineReader::place() const { return state_->place(); }

}  // namespace xtape
