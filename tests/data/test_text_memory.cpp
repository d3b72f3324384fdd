// The memory of readers of text is bounded by a small multiple of the text, and a file that only claims to be large
// is refused.

#include "support/catch.hpp"
#include "support/files.hpp"

#include <malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> held{0}, peak{0};

void* take(std::size_t bytes) {
  void* p = std::malloc(bytes == 0 ? 1 : bytes);
  if (p == nullptr) throw std::bad_alloc();
  const std::size_t now = held += ::malloc_usable_size(p);
  if (now > peak) peak = now;
  return p;
}
void give(void* p) noexcept {
  held -= ::malloc_usable_size(p);
  std::free(p);
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) { return take(bytes); }
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return take(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* p) noexcept { give(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { give(p); }

using namespace xtape;
using namespace xtape::test;

namespace {

/// Returns the most bytes that fn() holds at once.
template <class F> std::size_t peak_of(F&& fn) {
  const std::size_t before = held;
  peak = before;
  const auto result = fn();
  static_cast<void>(result);
  return peak - before;
}

std::string repeated(const std::string& line, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += line;
  return text;
}

}  // namespace

TEST_CASE("lines and tables take at most four times their text, however short their rows are") {
  const Directory folder;
  constexpr std::size_t kBytes = std::size_t{1} << 20U;
  for (const std::string line :
       {"\n", "a\n", "ab\n", "\r\n", "a long line of text that is not short at all\n"}) {
    INFO("lines of " << line.size());
    const std::string text = repeated(line, kBytes);
    write_file(folder / "text", text);
    CHECK(peak_of([&] { return read_lines(folder / "text"); }) < 4 * text.size());
    CHECK(read_lines(folder / "text").size() == text.size() / line.size());
  }
  for (const std::string row : {"a\tb\n", "a\tb\tc\td\te\tf\tg\th\n", "\t\n", "ab\tcd\r\n"}) {
    INFO("rows of " << row.size());
    const std::string text = repeated(row, kBytes);
    write_file(folder / "table", text);
    const auto read = [&] { return read_tsv(folder / "table", {.empty_fields = true}); };
    CHECK(peak_of(read) < 4 * text.size());
    CHECK(read().size() == text.size() / row.size());
  }
}

TEST_CASE("rows and lines are found, wherever they stand") {
  std::string text;
  std::vector<std::string> lines;
  std::vector<std::vector<std::string>> rows;
  for (int i = 0; i < 100; ++i) {
    rows.push_back({std::to_string(i), "", std::string(static_cast<std::size_t>(i % 7), 'x')});
    lines.push_back(rows.back()[0] + "\t\t" + rows.back()[2]);
    text += lines.back() + "\n";
  }
  const TextLines read = parse_lines(as_bytes(text));
  CHECK(read == lines);
  CHECK(std::vector<std::string>(read) == lines);
  CHECK(read.at(99) == lines[99]);
  CHECK_THROWS_AS(read[100], ValueError);
  const TextTable table = parse_tsv(as_bytes(text), "table", {.empty_fields = true});
  CHECK(table == rows);
  CHECK(std::vector<std::vector<std::string>>(table) == rows);
  CHECK(table[31] == rows[31]);
  CHECK_THROWS_AS(table.at(100), ValueError);
  CHECK(TextLines().empty());
}

TEST_CASE("what is no file, or claims more than there is, is refused before it is read") {
  const Directory folder;
  std::filesystem::create_directory(folder / "directory");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::snprintf(name.sun_path, sizeof name.sun_path, "%s", (folder / "socket").c_str());
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  write_file(folder / "sparse", "");
  std::filesystem::resize_file(folder / "sparse", std::uintmax_t{1} << 40U);
  for (const std::string kind : {"directory", "pipe", "socket", "sparse"}) {
    const std::string path = folder / kind;
    // The readers of weights look at the ending first.
    for (const std::string ending : {".safetensors", ".npz"}) {
      std::filesystem::remove(folder / (kind + ending));
      std::filesystem::create_symlink(path, folder / (kind + ending));
    }
    Params<float> params;
    const std::vector<std::function<void()>> readers{
        [&] { static_cast<void>(read_lines(path)); },
        [&] { static_cast<void>(read_tsv(path)); },
        [&] { static_cast<void>(Vocabulary::load(path)); },
        [&] { static_cast<void>(read_safetensors(path)); },
        [&] { static_cast<void>(read_npz(path)); },
        [&] { static_cast<void>(load_checkpoint(path, params)); },
        [&] { load(params, path + ".safetensors"); },
        [&] { load(params, path + ".npz"); },
    };
    for (std::size_t i = 0; i < readers.size(); ++i) {
      INFO(kind << ", reader " << i);
      peak = held.load();
      const std::size_t before = held;
      CHECK(error_of<Error>(readers[i]).starts_with(path));
      CHECK(peak - before < (std::size_t{1} << 20U));
    }
  }
  ::close(socket);
}
