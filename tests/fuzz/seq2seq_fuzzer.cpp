// Bytes become files of the program seq2seq, and the program runs as from a shell: main() with arguments.
// The first byte chooses what they are: a file of a model's folder, edits to one, a recipe, a table, sentences.
// Whatever they are, the program ends with a status, and with at most one short line on standard error for it.

#include "reader_fuzzer.hpp"

#include <xtape/xtape.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#if __has_include(<sanitizer/common_interface_defs.h>)
#include <sanitizer/common_interface_defs.h>
#endif

int seq2seq_main(int argc, char** argv);  // main() of examples/seq2seq/main.cpp

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary)
      .write(text.data(), static_cast<std::streamsize>(text.size()));
}

/// A folder in memory with a small model, and standard error in a file.
class Sandbox {
 public:
  Sandbox() {
    std::string name =
        fs::exists("/dev/shm") ? "/dev/shm/xtape-fuzz-XXXXXX" : "/tmp/xtape-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) fuzz::fail("no temporary folder");
    folder_ = name;
    said_ = ::memfd_create("said", 0);
    error_ = ::dup(STDERR_FILENO);
    output_ = ::dup(STDOUT_FILENO);
    null_ = ::open("/dev/null", O_WRONLY);
#if __has_include(<sanitizer/common_interface_defs.h>) && defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_report_fd(
        reinterpret_cast<void*>(static_cast<std::intptr_t>(error_)));  // NOLINT
#endif
    write_file(folder_ / "pairs.tsv", "ab\tb a\nba\ta b\tb\nabc\tc b a\n");
    write_file(folder_ / "lines.txt", "abc\n\nba\n");
    if (train("pairs.tsv", "model") != 0) fuzz::fail("the model cannot be trained");
    fs::remove_all(folder_ / "model/checkpoints");
    for (const char* file : kFiles) contents_.push_back(read_file(folder_ / "model" / file));
  }
  ~Sandbox() { fs::remove_all(folder_); }
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] const std::string& original(std::size_t file) const { return contents_[file]; }
  static constexpr std::array<const char*, 4> kFiles{"options.json", "source.vocab", "target.vocab",
                                                     "weights.safetensors"};

  int run(std::vector<std::string> arguments) {
    xtape::set_num_threads(1);  // a recipe may have asked for a thousand
    arguments.insert(arguments.begin(), "seq2seq");
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    static_cast<void>(::ftruncate(said_, 0));
    ::lseek(said_, 0, SEEK_SET);
    std::fflush(stdout);
    ::dup2(said_, STDERR_FILENO);
    ::dup2(null_, STDOUT_FILENO);
    const int status = seq2seq_main(static_cast<int>(arguments.size()), pointers.data());
    std::fflush(stdout);
    std::cout.flush();
    ::dup2(error_, STDERR_FILENO);
    ::dup2(output_, STDOUT_FILENO);
    check(status);
    return status;
  }

  int train(const std::string& table, const std::string& model) {
    return run({"train",     "--train",     path(table),       "--dev", path(table),    "--model",
                path(model), "--overwrite", "--target-tokens", "space", "--width",      "4",
                "--heads",   "1",           "--hidden",        "4",     "--layers",     "1",
                "--epochs",  "1",           "--max-length",    "12",    "--batch-size", "16",
                "--limit",   "64"});
  }

 private:
  void check(int status) const {
    std::string text(static_cast<std::size_t>(::lseek(said_, 0, SEEK_END)), '\0');
    const ssize_t got = ::pread(said_, text.data(), text.size(), 0);
    if (got != static_cast<ssize_t>(text.size())) fuzz::fail("standard error cannot be read");
    const auto refuse = [&](const char* what) {
      std::fprintf(stderr, "%s\n", xtape::io::escaped(text, 4000).c_str());
      fuzz::fail(what);
    };
    if (status != 0 && text.size() < 20) refuse("an error without a message");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.size() > 2100) refuse("an error of more than 2000 characters");
      if (!xtape::io::valid_utf8(line)) refuse("an error that is not UTF-8");
      for (const char c : line) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t')
          refuse("an error with control characters");
      }
    }
  }

  fs::path folder_;
  int said_, error_, output_, null_;
  std::vector<std::string> contents_;
};

/// Returns the text with some bytes replaced, removed or inserted: groups of five bytes say which.
std::string edited(std::string text, std::string_view edits) {
  for (; edits.size() >= 5; edits.remove_prefix(5)) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(edits[i]); };
    const std::size_t at = (byte(0) * 256U + byte(1)) % (text.size() + 1);
    const std::string with(byte(2) % 4, edits[4]);
    text.replace(at, byte(3) % 4, with);
  }
  return text;
}

void run(std::string_view input) {
  static Sandbox sandbox;
  if (input.size() < 2) return;
  const auto kind = static_cast<unsigned char>(input[0]) % 8U;
  const std::size_t which = static_cast<unsigned char>(input[1]) % Sandbox::kFiles.size();
  const fs::path file = sandbox.path("model/") + Sandbox::kFiles[which];
  const std::string_view rest = input.substr(2);
  switch (kind) {
    case 0:
    case 1:
    case 2:
      write_file(file, kind == 0 ? std::string(rest) : edited(sandbox.original(which), rest));
      sandbox.run(
          {"translate", sandbox.path("model"), sandbox.path("lines.txt"), "--max-length", "8"});
      write_file(file, sandbox.original(which));
      return;
    case 3:
    case 4:  // the run ends where its table is missing
      write_file(sandbox.path("recipe.ini"), rest);
      sandbox.run({"train", "--config", sandbox.path("recipe.ini"), "--train", sandbox.path("none"),
                   "--dev", sandbox.path("none"), "--model", sandbox.path("other")});
      return;
    case 5:
      write_file(sandbox.path("table.tsv"), rest);
      sandbox.train("table.tsv", "other");
      return;
    case 6:
      write_file(sandbox.path("table.tsv"), rest);
      sandbox.run(
          {"evaluate", sandbox.path("model"), sandbox.path("table.tsv"), "--max-length", "8"});
      return;
    default:
      write_file(sandbox.path("sentences.txt"), rest);
      sandbox.run(
          {"translate", sandbox.path("model"), sandbox.path("sentences.txt"), "--max-length", "8"});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run({reinterpret_cast<const char*>(data), size});
  return 0;
}
