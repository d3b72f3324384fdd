// Writes that fail: the error names path and cause, the checkpoint before still loads, and no
// temporary stays. The system calls of this program can be made to fail, and are written down.

#include "support/catch.hpp"
#include "support/processes.hpp"
#include "support/tiny_run.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <csignal>
#include <cstdarg>
#include <filesystem>
#include <iostream>

namespace {

bool watching = false;
int calls_left = -1;  // until one fails; negative: none does
int failure = 0;      // its errno
std::vector<std::string>* written_down = nullptr;

/// Whether this call is to fail.
bool fails(const char* name) {
  if (!watching) return false;
  written_down->push_back(name);
  if (calls_left < 0 || calls_left-- > 0) return false;
  errno = failure;
  return true;
}

}  // namespace

extern "C" int open(const char* path, int flags, ...) {
  if (fails((flags & O_CREAT) == 0  ? "open folder"
            : (flags & O_EXCL) == 0 ? "open any"
                                    : "open new")) {
    return -1;
  }
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
extern "C" ssize_t write(int fd, const void* data, size_t size) {
  if (fails("write")) {
    // Half of it, as on a disk that becomes full; the next call says so.
    if (failure != ENOSPC || size < 2) return -1;
    calls_left = 0;
    size /= 2;
  }
  return ::syscall(SYS_write, fd, data, size);
}
extern "C" int fsync(int fd) {
  struct stat status {};
  ::fstat(fd, &status);
  if (fails(S_ISDIR(status.st_mode) ? "fsync folder" : "fsync file")) return -1;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  if (fails("rename")) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

using namespace xtape;
using namespace xtape::test;
namespace fs = std::filesystem;
using Names = std::vector<std::string>;

namespace {

/// Returns the text of the IoError that fn throws while the n-th call fails. `calls` gets the calls it made.
template <class F> std::string with_failure(int n, int code, Names& calls, F&& fn) {
  calls.clear();
  written_down = &calls;
  calls_left = n;
  failure = code;
  watching = true;
  std::string text;
  try {
    fn();
  } catch (const IoError& e) {
    text = e.what();
    if (e.code != code) text = "another errno: " + text;
  }
  watching = false;
  return text;
}

std::int64_t step_in(const std::string& path) {
  TinyRun<float> run(44);
  return run.load(path).step;
}

}  // namespace

TEST_CASE("the order of the system calls: complete on the disk before it has its name") {
  const Directory folder;
  TinyRun<float> run;
  run.steps(1);
  Names calls;
  CHECK(with_failure(-1, 0, calls, [&] { run.save(folder / "a"); }).empty());
  CHECK(calls == Names{"open new", "write", "fsync file", "open folder", "rename", "fsync folder"});
}

TEST_CASE("any system call fails: the file before stays, and no temporary") {
  const Directory folder;
  const std::string path = folder / "a";
  TinyRun<float> first;
  first.steps(1);
  TinyRun<float> second(5, 10'000);  // several writes
  second.steps(2);
  const char* causes[] = {"No space left on device", "Input/output error", "Disk quota exceeded"};
  const int codes[] = {ENOSPC, EIO, EDQUOT};
  int tried = 0;
  for (int c = 0; c < 3; ++c) {
    for (int n = 0; n < 100; ++n) {
      first.save(path);
      Names calls;
      const std::string text = with_failure(n, codes[c], calls, [&] { second.save(path); });
      if (text.empty()) {
        CHECK(calls_left >= 0);  // there were no more calls
        CHECK(calls.back() == "fsync folder");
        break;
      }
      ++tried;
      const bool last = calls.back() == "fsync folder";
      INFO(calls.back() << " failed: " << text);
      CHECK(text.starts_with(path + ": "));
      CHECK(contains(text, causes[c]));
      CHECK(contains(
          text, last ? "the new file is in place" : "the previous file, if any, is unchanged"));
      CHECK(fs::file_size(path) > 1000);
      if (last) {
        CHECK(fs::file_size(path) > 100'000);
      } else {
        CHECK(step_in(path) == 1);
      }
      CHECK(folder.files() == Names{"a"});
    }
  }
  CHECK(tried > 20);
}

TEST_CASE("a disk that is full at any 4 KiB: the checkpoint before loads, no temporary stays") {
  const Directory folder;
  TinyRun<float> run(5, 2000);  // 12'002 parameters and twice as much of Adam: 142 KiB
  Checkpoints checkpoints(folder.path(), {.keep = 2});
  run.step();
  checkpoints.save(run.params, run.adam, run.progress, true);
  run.step();
  const Names before = folder.files();
  const std::size_t size = fs::file_size(checkpoints.best_file());
  int boundaries = 0;
  for (std::size_t limit = 0; limit < size; limit += 4096, ++boundaries) {
    const int result = in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit most{limit, limit};
      if (::setrlimit(RLIMIT_FSIZE, &most) != 0) return 1;
      const std::string text = error_of<IoError>(
          [&] { checkpoints.save(run.params, run.adam, run.progress, boundaries % 2 == 0); });
      const std::string path = boundaries % 2 == 0 ? checkpoints.best_file()
                                                   : folder / "checkpoint-00000002.safetensors";
      return text.starts_with(path + ": cannot be written: File too large") ? 0 : 2;
    });
    INFO("limited to " << limit);
    CHECK(result == 0);
    CHECK(folder.files() == before);
    TinyRun<float> other(44, 2000);
    CHECK(checkpoints.restore(other.params, other.adam)->step == 1);
    CHECK(checkpoints.skipped().empty());
    CHECK(checkpoints.restore_best(other.params, other.adam)->step == 1);
  }
  std::cout << size << " bytes, failed at " << boundaries << " boundaries of 4 KiB\n";
  CHECK(boundaries == 36);
}

TEST_CASE("whoever has the file before mapped or open keeps seeing it whole") {
  const Directory folder;
  const std::string path = folder / "a";
  TinyRun<float> run;
  run.steps(1);
  run.save(path);
  const std::string before = read_text(path);
  const int file = ::open(path.c_str(), O_RDONLY);
  void* mapped = ::mmap(nullptr, before.size(), PROT_READ, MAP_SHARED, file, 0);
  REQUIRE(mapped != MAP_FAILED);
  run.steps(1);
  run.save(path);
  CHECK(std::memcmp(mapped, before.data(), before.size()) == 0);
  CHECK(read_text(path) != before);
  ::munmap(mapped, before.size());
  ::close(file);
}

TEST_CASE("folders that cannot be made, read or written to") {
  const Directory folder;
  write_file(folder / "file", "");
  const auto refused = [](const std::string& path, const std::string& named, const char* cause) {
    const std::string text = error_of<IoError>([&] { Checkpoints checkpoints(path); });
    INFO(text);
    CHECK(text.starts_with(named + ": cannot be made: "));
    CHECK(contains(text, cause));
  };
  refused(folder / "file", folder / "file", "File exists");
  refused(folder / "file/run", folder / "file", "File exists");
  refused(folder / std::string(300, 'n'), folder / std::string(300, 'n'), "File name too long");
  refused("", "", "No such file or directory");

  TinyRun<float> run;
  run.steps(1);
  Checkpoints checkpoints(folder / "run");
  checkpoints.save(run.params, run.adam, run.progress);
  const int result = in_child([&] {  // permissions do not bind the superuser
    if (::chmod((folder / "run").c_str(), 0555) != 0 || ::chmod(folder.path().c_str(), 0755) != 0)
      return 1;
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 77;
    const std::string saved =
        error_of<IoError>([&] { checkpoints.save(run.params, run.adam, run.progress); });
    const std::string made = error_of<IoError>([&] { Checkpoints(folder / "run/deeper"); });
    return contains(saved,
                    "checkpoint-00000002.safetensors: cannot be created: Permission denied") &&
                   contains(made, "run/deeper: cannot be made: Permission denied")
               ? 0
               : 2;
  });
  if (result == 77) std::cout << "read-only folder skipped: the superuser cannot become another\n";
  CHECK((result == 0 || result == 77));
  TinyRun<float> other(44);
  CHECK(checkpoints.restore(other.params, other.adam)->step == 1);
  CHECK(checkpoints.files().size() == 1);
  fs::remove_all(folder / "run");
  CHECK_THROWS_AS(checkpoints.restore(other.params, other.adam), IoError);
  CHECK(contains(error_of<IoError>([&] { checkpoints.save(run.params, run.adam, run.progress); }),
                 "run: cannot be listed: No such file or directory"));
}

TEST_CASE("checkpoints that the system does not let be read are passed over and told") {
  const Directory folder;
  TinyRun<float> run;
  run.steps(1);
  Checkpoints checkpoints(folder.path());
  checkpoints.save(run.params, run.adam, run.progress);
  fs::create_directory(folder / "checkpoint-00000002.safetensors");
  TinyRun<float> other(44);
  CHECK(checkpoints.restore(other.params, other.adam)->step == 1);
  REQUIRE(checkpoints.skipped().size() == 1);
  CHECK(contains(checkpoints.skipped()[0].reason, "not a regular file: Is a directory"));
  fs::remove(folder / "checkpoint-00000001.safetensors");
  CHECK(contains(error_of<IoError>([&] { checkpoints.restore(other.params, other.adam); }),
                 "none of its 1 checkpoints can be loaded"));
}
