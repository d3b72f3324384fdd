#include "io/file.hpp"

#include <xtape/io/tensors.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

namespace xtape::io {

constexpr std::size_t kBuffer = std::size_t{1} << 16U;
constexpr std::size_t kMostPerCall = std::size_t{1} << 30U;  // Linux moves below 2 GiB at a time

void fail_io(const std::string& path, const std::string& what, int code, const std::string& then) {
  const std::string cause = code == 0 ? "" : ": " + std::generic_category().message(code);
  throw IoError(path + ": " + what + cause + ", expected " + then, path, code);
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

void fail_no_memory(const std::string& path, std::size_t size) {
  fail_io(path, "memory ran out: it has " + std::to_string(size) + " bytes", ENOMEM,
          "a file that fits; split it, or give the process more memory");
}

const std::string& checked_path(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    throw IoError(
        std::string(path.c_str()) + ": not a path: a NUL follows, expected a name without one",
        path, EINVAL);
  }
  return path;
}

FileBytes::FileBytes(const std::string& path, std::size_t most) {
  checked_path(path);
  // Not blocking: opening a pipe would wait for a writer.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    fail_io(path, "cannot be opened", errno, "a readable file; check the path and permissions");
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    fail_io(path, "cannot be read", errno, "a readable file; check the disk");
  }
  if (!S_ISREG(status.st_mode)) {
    fail_io(path, "not a regular file", S_ISDIR(status.st_mode) ? EISDIR : 0,
            "a file; name the file itself");
  }
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ > most) {
    Source(path).fail(most, "too large: it has ", size_, " bytes, expected at most ", most,
                      "; split the file, or look whether it is the right one");
  }
  // Claims of a sparse file cost its author nothing.
  if (size_ / static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) >=
      static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES))) {
    fail_no_memory(path, size_);
  }
  data_ = reading(path, size_, [&] { return std::make_unique_for_overwrite<std::byte[]>(size_); });
  for (std::size_t done = 0; done < size_;) {
    const ssize_t got =
        ::read(file.get(), data_.get() + done, std::min(size_ - done, kMostPerCall));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io(path, "cannot be read", errno, "a readable file; check the disk");
    if (got == 0) {
      fail_io(path, "became shorter while it was read", 0,
              std::to_string(size_) + " bytes; wait until it is written, and try again");
    }
    done += static_cast<std::size_t>(got);
  }
}

/// Returns the path that a symbolic link names, also one of a file that is not there yet. IoError for links in a circle.
static std::string named_by(const std::string& link) {
  constexpr int kMostLinks = 40;  // Linux's limit, too
  std::filesystem::path path = link;
  std::error_code error;
  for (int i = 0; std::filesystem::is_symlink(path, error); ++i) {
    if (i == kMostLinks) fail_io(link, "cannot be followed", ELOOP, "a link to a file");
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / next;  // an absolute path replaces the folder
  }
  return path.string();
}

AtomicFile::AtomicFile(const std::string& path)
    : asked_(checked_path(path)),
      target_(named_by(path)) {  // a link stays; what it names is replaced
  struct stat previous {};
  const bool exists = ::stat(target_.c_str(), &previous) == 0;
  if (exists && !S_ISREG(previous.st_mode)) {  // a rename would replace a device
    fail_io(asked_, "not a regular file", S_ISDIR(previous.st_mode) ? EISDIR : 0,
            "the name of a file, new or to be replaced; choose another name");
  }
  buffer_.reserve(kBuffer);
  // The name may be taken: by another thread, or by a process of this number that was killed.
  descriptor_ = create_new(target_ + ".tmp." + std::to_string(::getpid()), temporary_, 0);
  if (descriptor_ < 0) {
    const int code = errno;
    temporary_.clear();
    fail("cannot be created", code);
  }
  // The lock tells others that it is being written, until this process closes it or dies.
  static_cast<void>(::flock(descriptor_, LOCK_EX | LOCK_NB));
  if (exists && ::fchmod(descriptor_, previous.st_mode & 0777U) != 0) {
    const int code = errno;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
    fail("permissions cannot be set", code);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what, int code) const {
  fail_io(asked_, what, code,
          "a directory to write to, with room; the previous file, if any, is unchanged");
}

void AtomicFile::write(Bytes bytes) {
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() >= kBuffer) {
    put(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void AtomicFile::flush() {
  put(buffer_);
  buffer_.clear();
}

void AtomicFile::put(Bytes bytes) {
  write_all(descriptor_, bytes, [this](int code) { fail("cannot be written", code); });
}

void AtomicFile::commit() {
  flush();
  if (::fsync(descriptor_) != 0) fail("cannot be flushed to the disk", errno);
  // Keeps the lock until the file has its name, or another thread that cleans up may take it for a left-over.
  const Descriptor lock(::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0));
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 && errno != EINTR) fail("cannot be written", errno);
  // The directory is opened first: once the file has its name, nothing may need memory.
  const std::string directory = std::filesystem::path(target_).parent_path().string();
  const Descriptor folder(
      ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool unreadable = folder.get() < 0 && errno == EACCES;  // may write there, but not look
  if (folder.get() < 0 && !unreadable) fail("its directory cannot be opened", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be renamed", errno);
  temporary_.clear();
  // The name, too, must survive a power loss. Some file systems cannot do this, and say EINVAL.
  if (!unreadable && ::fsync(folder.get()) != 0 && errno != EINVAL) {
    fail_io(asked_, "written, but its directory cannot be flushed to the disk", errno,
            "a local disk; the new file is in place and may be lost in a power failure");
  }
}

void write_file(const std::string& path, const std::function<void(const Sink&)>& write) {
  AtomicFile file(path);
  write([&](Bytes bytes) { file.write(bytes); });
  file.commit();
}

void write_file(const std::string& path, const std::string& text) {
  write_file(path, [&](const Sink& sink) { sink(bytes_of(text)); });
}

void write_all(int descriptor, Bytes bytes, const std::function<void(int)>& failed) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMostPerCall));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return failed(put < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

int above_standard(int descriptor) {
  if (descriptor < 0 || descriptor > 2) return descriptor;
  const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  const int code = errno;
  ::close(descriptor);
  errno = code;
  return moved;
}

int create_new(const std::string& base, std::string& path, int flags) {
  for (int attempt = 0;; ++attempt) {
    path = attempt == 0 ? base : base + "." + std::to_string(attempt);
    const int descriptor =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0666);
    if (descriptor >= 0) return above_standard(descriptor);
    if (errno != EEXIST || attempt == 999) return -1;
  }
}

void make_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  const char* expected = "a folder that can be made; check the path and permissions";
  const fs::path path(folder);
  std::error_code error;
  if (fs::is_directory(path, error)) return;
  const std::string parent = path.parent_path().string();
  if (!parent.empty() && parent != folder) make_folder(parent);
  fs::create_directory(path, error);
  if (!error && !fs::is_directory(path, error))
    error = std::make_error_code(std::errc::not_a_directory);
  if (error) fail_io(folder, "cannot be made", error.value(), expected);
  // The folder's name, too, must survive a power loss.
  const Descriptor above(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (above.get() >= 0 && ::fsync(above.get()) != 0 && errno != EINVAL) {
    fail_io(folder, "made, but not flushed to the disk", errno, "a local disk");
  }
}

namespace {

/// Returns the process that holds a lock on this file, by the kernel's list; 0 for one it does not name.
long holder_of(const struct stat& file) {
  std::ifstream list("/proc/locks");
  for (std::string line; std::getline(list, line);) {
    // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:11061482 0 EOF"
    std::istringstream words(line);
    std::string number, kind, advisory, access, place;
    long process = 0;
    words >> number >> kind >> advisory >> access >> process >> place;
    const std::size_t colon = place.rfind(':');
    if (kind == "FLOCK" && colon != std::string::npos &&
        place.substr(colon + 1) == std::to_string(file.st_ino)) {
      return process;
    }
  }
  return 0;
}

}  // namespace

// The lock is on the folder itself, so it needs no file of its own, and the kernel names its holder.
std::shared_ptr<const void> lock_folder(const std::string& folder) {
  auto descriptor = std::make_shared<const Descriptor>(
      ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor->get() < 0) {
    fail_io(folder, "cannot be opened", errno, "a readable folder; check the path and permissions");
  }
  struct stat status {};
  if (::fstat(descriptor->get(), &status) != 0) return nullptr;
  long process = 0;
  // A holder that ends meanwhile is in the list no more: then the lock is free, or somebody else's.
  for (int attempt = 0; attempt < 10 && process == 0; ++attempt) {
    if (::flock(descriptor->get(), LOCK_EX | LOCK_NB) == 0) return descriptor;
    if (errno != EWOULDBLOCK) return nullptr;
    process = holder_of(status);
    if (process == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  if (process == ::getpid()) return nullptr;
  throw IoError(folder + ": in use: process " +
                    (process > 0 ? std::to_string(process) : "of another machine or container") +
                    " writes here, expected one at a time; wait until it ends, or choose another "
                    "folder",
                folder, EWOULDBLOCK);
}

// std::filesystem's iterator ends the program when memory runs out.
std::vector<std::string> list_folder(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  std::vector<std::string> names;
  while (open != nullptr) {
    errno = 0;
    const dirent* at = ::readdir(open.get());
    if (at == nullptr) break;
    const std::string_view name = at->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) {
    fail_io(folder, "cannot be listed", errno, "a readable folder; check the path and permissions");
  }
  std::sort(names.begin(), names.end());
  return names;
}

void remove_if_left_over(const std::string& folder, const std::string& name,
                         const std::function<bool(std::string_view)>& ours) {
  constexpr std::string_view mark = ".tmp.";
  const std::size_t at = name.rfind(mark);
  if (at == std::string::npos || !ours(std::string_view(name).substr(0, at))) return;
  const std::string writer = name.substr(at + mark.size());
  if (writer.empty() || writer.find_first_not_of("0123456789.") != std::string::npos) return;
  const std::string path = folder + "/" + name;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (file.get() < 0) return;
  const bool unlocked = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
  if (!unlocked && errno == EWOULDBLOCK) return;
  // A living process of this number may be about to lock it, or the file system may have no locks. The
  // number of this process may have been a dead one's before: in a container it is always the same.
  const auto process = static_cast<pid_t>(std::strtol(writer.c_str(), nullptr, 10));
  const bool lives = process <= 0 || ::kill(process, 0) == 0 || errno != ESRCH;
  if (lives && !(unlocked && process == ::getpid())) return;
  ::unlink(path.c_str());
}

}  // namespace xtape::io

void xtape::remove_temporaries(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string parent = file.parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  for (const std::string& name : io::list_folder(folder)) {
    io::remove_if_left_over(folder, name,
                            [&](std::string_view target) { return target == file.filename(); });
  }
}
