#pragma once
// Whole files: read at once, and replaced atomically.

#include "io/text.hpp"

#include <memory>
#include <new>
#include <string>
#include <vector>

namespace xtape::io {

/// An open file, or a negative number. The destructor closes it.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// Throws an IoError: the memory for a file of this size was refused.
[[noreturn]] void fail_no_memory(const std::string& path, std::size_t size);

/// The contents of a file.
class FileBytes {
 public:
  /// Reads the whole file. IoError also for anything but a regular file, for one that becomes shorter
  /// meanwhile, and for one larger than this machine's memory. FormatError for more than `most` bytes.
  explicit FileBytes(const std::string& path, std::size_t most = ~std::size_t{0});
  [[nodiscard]] Bytes bytes() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> data_;
  std::size_t size_ = 0;
};

/// A file that appears under its name complete, or not at all. Without commit() nothing remains.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(Bytes bytes);
  /// Flushes to the disk and renames. IoError.
  void commit();

 private:
  void flush();
  void put(Bytes bytes);
  [[noreturn]] void fail(const char* what, int code) const;

  std::string asked_;      // as the caller named it, for messages
  std::string target_;     // after symbolic links
  std::string temporary_;  // empty once renamed
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
};

/// Returns fn(), which reads a file of this size. Turns std::bad_alloc and MemoryError into an IoError with
/// the path, but for a small file: memory has then run out elsewhere.
template <class F> auto reading(const std::string& path, std::size_t size, F&& fn) {
  constexpr std::size_t kSmall = std::size_t{1} << 20U;
  try {
    return fn();
  } catch (const std::bad_alloc&) {
    if (size < kSmall) throw;
  } catch (const MemoryError&) {
    if (size < kSmall) throw;
  }
  fail_no_memory(path, size);
}

/// Writes a file as an AtomicFile: write(sink) gives its bytes to the sink.
void write_file(const std::string& path, const std::function<void(const Sink&)>& write);
void write_file(const std::string& path, const std::string& text);

/// Writes all bytes to an open file; calls failed(errno) after an error.
void write_all(int descriptor, Bytes bytes, const std::function<void(int)>& failed);

/// Moves an open descriptor above those of the standard streams, which a process may have closed. Otherwise its reports
/// would go into the file. Returns the descriptor; -1 and errno when that fails, or for -1.
int above_standard(int descriptor);

/// Opens a new file for writing under the first free name of `base`, `base`.1, `base`.2, ..., which
/// becomes `path`; -1 and errno when that fails.
int create_new(const std::string& base, std::string& path, int flags);

/// Makes a folder and those above it, unless they exist. IoError.
void make_folder(const std::string& folder);

/// Locks a folder against other processes until the returned handle is gone. Returns null where this
/// process has the lock already, and where the file system has none. IoError naming the process.
std::shared_ptr<const void> lock_folder(const std::string& folder);

/// Returns the names in a folder, sorted. IoError.
std::vector<std::string> list_folder(const std::string& folder);

/// Removes the file `name` in `folder` when it is the temporary of an AtomicFile whose process is gone,
/// and `ours` accepts the name it was written for.
void remove_if_left_over(const std::string& folder, const std::string& name,
                         const std::function<bool(std::string_view)>& ours);

/// Throws IoError "path: what: cause, expected then"; `code` is errno, or 0.
/// Returns the path. Throws IoError if a NUL would end it early.
const std::string& checked_path(const std::string& path);

[[noreturn]] void fail_io(const std::string& path, const std::string& what, int code,
                          const std::string& then);

}  // namespace xtape::io
