// Saving under bad conditions: the previous file still loads, and nothing is left behind.

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/processes.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <thread>

using namespace xtape;
using namespace xtape::test;
namespace fs = std::filesystem;

namespace {

Params<float> model(std::size_t size, std::uint64_t seed) {
  Params<float> params({.seed = seed});
  const Parameter<float> p = (params.scope() / "layer").reserve("kernel");
  p.build({size}, Initializer("glorot_uniform"), {1, 1});
  return params;
}

bool loads(const std::string& path, const Params<float>& expected) {
  Params<float> params = model(expected.count(), 77);
  load(params, path);
  return same_bits(params.at("layer/kernel").value(), expected.at("layer/kernel").value());
}

}  // namespace

TEST_CASE("a disk that is full at any 4 KiB: the previous file loads, no temporary stays") {
  const Directory directory;
  const Params<float> before = model(100, 1);
  const Params<float> after = model(20'000, 2);  // 80 kB
  for (const char* name : {"w.safetensors", "w.npz"}) {
    const std::string path = directory / name;
    save(before, path);
    const std::size_t size = 80'000;
    int failures = 0;
    for (std::size_t limit = 0; limit < size; limit += 4096) {
      const int result = in_child([&] {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit most{limit, limit};
        if (::setrlimit(RLIMIT_FSIZE, &most) != 0) return 1;
        const std::string text = error_of<IoError>([&] { save(after, path); });
        return contains(text, path + ": cannot be written: File too large") ? 0 : 2;
      });
      INFO(name << " limited to " << limit);
      CHECK(result == 0);
      failures += result == 0 ? 1 : 0;
      CHECK(fs::file_size(path) < 1000);
      CHECK(loads(path, before));
    }
    CHECK(failures == 20);
    save(after, path);
    CHECK(loads(path, after));
  }
  CHECK(directory.files() == std::vector<std::string>{"w.npz", "w.safetensors"});
}

TEST_CASE("directories that are missing, read-only, or files") {
  const Directory directory;
  const Params<float> params = model(10, 1);
  const auto refused = [&](const std::string& path, const char* cause) {
    const std::string text = error_of<IoError>([&] { save(params, path); });
    INFO(text);
    CHECK(contains(text, path + ": "));
    CHECK(contains(text, cause));
  };
  refused(directory / "missing/w.npz", "cannot be created: No such file or directory");
  write_file(directory / "file", "");
  refused(directory / "file/w.npz", "Not a directory");
  refused(directory / std::string(300, 'n').append(".npz"), "File name too long");
  fs::create_directory(directory / "d.npz");
  refused(directory / "d.npz", "not a regular file");
  save(params, directory / "w.npz");
  const int result = in_child([&] {  // permissions do not bind the superuser
    if (::chmod(directory.path().c_str(), 0555) != 0) return 1;
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 77;
    return contains(error_of<IoError>([&] { save(params, directory / "w.npz"); }),
                    "cannot be created: Permission denied")
               ? 0
               : 2;
  });
  CHECK((result == 0 || result == 77));
  CHECK(loads(directory / "w.npz", params));
  CHECK(directory.files() == std::vector<std::string>{"d.npz", "file", "w.npz"});
}

TEST_CASE("devices are neither replaced nor read, and pipes not waited for") {
  const Directory directory;
  Params<float> params = model(10, 1);
  fs::create_symlink("/dev/full", directory / "full.npz");
  CHECK(contains(error_of<IoError>([&] { save(params, directory / "full.npz"); }),
                 "full.npz: not a regular file"));
  CHECK(fs::is_character_file("/dev/full"));
  fs::create_symlink("/dev/zero", directory / "zero.npz");
  CHECK(contains(error_of<IoError>([&] { load(params, directory / "zero.npz"); }),
                 "not a regular file"));
  REQUIRE(::mkfifo((directory / "pipe.npz").c_str(), 0600) == 0);
  CHECK(contains(error_of<IoError>([&] { load(params, directory / "pipe.npz"); }),
                 "not a regular file"));
  fs::create_directory(directory / "d.npz");
  CHECK(contains(error_of<IoError>([&] { load(params, directory / "d.npz"); }),
                 "not a regular file: Is a directory"));
}

TEST_CASE("a path that a NUL would cut is refused, in every reader and writer") {
  const Directory directory;
  const std::string path = directory / std::string("cut\0.npz", 8);
  Params<float> params = model(10, 1);
  for (const std::string& text : {error_of<IoError>([&] { save(params, path); }),
                                  error_of<IoError>([&] { load(params, path); }),
                                  error_of<IoError>([&] { static_cast<void>(read_lines(path)); }),
                                  error_of<IoError>([&] { const LineReader reader(path); })}) {
    CHECK(contains(text, "cut: not a path: a NUL follows"));
  }
  CHECK(directory.files().empty());
}

TEST_CASE("links stay links, and permissions stay") {
  const Directory directory;
  const Params<float> params = model(10, 1);
  fs::create_directory(directory / "store");
  save(model(10, 2), directory / "store/1.npz");
  fs::permissions(directory / "store/1.npz", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("store/1.npz", directory / "latest.npz");
  save(params, directory / "latest.npz");
  CHECK(fs::is_symlink(directory / "latest.npz"));
  CHECK(loads(directory / "store/1.npz", params));
  CHECK(fs::status(directory / "store/1.npz").permissions() ==
        (fs::perms::owner_read | fs::perms::owner_write));
  fs::create_symlink("store/2.npz", directory / "next.npz");  // names a file that is not there yet
  fs::create_symlink("next.npz", directory / "chain.npz");
  save(params, directory / "chain.npz");
  CHECK(fs::is_symlink(directory / "chain.npz"));
  CHECK(fs::is_symlink(directory / "next.npz"));
  CHECK(loads(directory / "store/2.npz", params));
  fs::create_symlink("circle.npz", directory / "circle.npz");
  CHECK_THROWS_AS(save(params, directory / "circle.npz"), IoError);
  const fs::path here = fs::current_path();
  fs::current_path(directory.path());
  save(params, "plain.npz");  // no directory in the name
  CHECK(loads("plain.npz", params));
  fs::current_path(here);
}

TEST_CASE("temporaries of a crashed process do not stand in the way") {
  const Directory directory;
  const Params<float> params = model(10, 1);
  const std::string left = "w.npz.tmp." + std::to_string(::getpid());
  write_file(directory / left, "torn");
  save(params, directory / "w.npz");
  CHECK(loads(directory / "w.npz", params));
  CHECK(read_text(directory / left) == "torn");
  CHECK(directory.files() == std::vector<std::string>{"w.npz", left});
}

TEST_CASE("threads that write the same file leave one of their files", "[threads]") {
  const Directory directory;
  const Params<float> one = model(5'000, 1);
  const Params<float> two = model(5'000, 2);
  const auto writer = [&](const Params<float>& params) {
    for (int i = 0; i < 20; ++i) save(params, directory / "w.safetensors");
  };
  std::thread first(writer, std::cref(one));
  std::thread second(writer, std::cref(two));
  first.join();
  second.join();
  CHECK((loads(directory / "w.safetensors", one) || loads(directory / "w.safetensors", two)));
  CHECK(directory.files() == std::vector<std::string>{"w.safetensors"});
}
