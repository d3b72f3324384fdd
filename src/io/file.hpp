#pragma once
// Whole files: read at once, and replaced atomically.

#include "io/tensors.hpp"

#include <memory>

namespace xtape::io {

/// A file's contents.
class FileBytes {
 public:
  /// Reads all of it. IoError also for what is no regular file, and for a file that changes meanwhile.
  explicit FileBytes(const std::string& path);
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
  void write_all(Bytes bytes);
  [[noreturn]] void fail(const char* what, int code) const;

  std::string asked_;      // as the caller named it, for messages
  std::string target_;     // after symbolic links
  std::string temporary_;  // empty once renamed
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
};

/// Makes a folder and those above it, if they are not there. IoError.
void make_folder(const std::string& folder);

/// Names of what is in a folder, sorted. IoError.
std::vector<std::string> list_folder(const std::string& folder);

/// When `name` in `folder` is what an AtomicFile was writing for a name that `ours` accepts, and its
/// writer is gone: removes it.
void remove_if_left_over(const std::string& folder, const std::string& name,
                         const std::function<bool(std::string_view)>& ours);

/// Throws IoError "path: what: cause, expected then"; `code` is errno, or 0.
[[noreturn]] void fail_io(const std::string& path, const std::string& what, int code,
                          const std::string& then);

}  // namespace xtape::io
