// Checkpoints that are cut short, altered, or made by someone else: a typed error, and nothing loaded.

#include "support/catch.hpp"
#include "support/tiny_run.hpp"

#include "base/crc.hpp"
#include "run/checkpoint_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr const char* kBefore = R"({"__metadata__":{"crc32c":")";

/// A file that is on no disk: 20'000 of them take a second.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("checkpoint", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw std::runtime_error("no file in memory");
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  void write(const std::string& text) const {
    if (::ftruncate(descriptor_, 0) != 0 ||
        ::pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      throw std::runtime_error("a file in memory cannot be written");
    }
  }

 private:
  int descriptor_;
  std::string path_;
};

/// A small checkpoint's bytes.
std::string small_checkpoint() {
  const Directory folder;
  TinyRun<float> run(5, 1);
  run.steps(2);
  run.progress.texts["note"] = "text";
  run.save(folder / "a");
  return read_text(folder / "a");
}

/// The file with the right checksum in its place.
std::string sealed(std::string file) {
  const std::size_t at = 8 + std::string(kBefore).size();
  file.replace(at, 8, "00000000");
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", detail::crc32c(as_bytes(file)));
  return file.replace(at, 8, digits);
}

/// A file with these notes and further header entries.
std::string with_notes(const std::string& notes, const std::string& entries = "",
                       const std::string& data = "") {
  std::string quoted;
  for (const char c : notes) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return sealed(safetensors(
      kBefore + std::string(R"(00000000","xtape.checkpoint":")") + quoted + "\"}" + entries + "}",
      data));
}

std::string refusal(const std::string& file) {
  return error_of<FormatError>([&] { io::parse_checkpoint(as_bytes(file), io::Source("f")); });
}

std::string notes(const std::string& numbers = "{}", const std::string& texts = "{}",
                  const std::string& optimizer = "{}") {
  return R"({"version":1,"epoch":1,"batch":2,"step":3,"tape_seed":4,"random_index":5,"numbers":)" +
         numbers + ",\"texts\":" + texts + ",\"optimizer\":" + optimizer + "}";
}

}  // namespace

TEST_CASE("every truncation and every flipped bit is noticed, and nothing is loaded") {
  const MemoryFile file;
  const std::string& path = file.path();
  const std::string good = small_checkpoint();
  TinyRun<float> run(9, 1);
  run.steps(1);
  const Snapshot<float> before(run);
  int accepted = 0;
  int others = 0;
  int changed = 0;
  const auto refused = [&](const std::string& text) {
    file.write(text);
    try {
      run.load(path);
      ++accepted;
    } catch (const FormatError& e) {
      others += !std::string(e.what()).starts_with(path + ": ");
    } catch (const std::exception&) {
      ++others;
    }
    changed += !(Snapshot(run) == before);
  };
  int count = 0;
  for (std::size_t length = 0; length < good.size(); ++length, ++count) {
    refused(good.substr(0, length));
  }
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit, ++count) {
    std::string text = good;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    refused(text);
  }
  // The rest became zeros, as after a power failure; bytes behind; two bits.
  for (std::size_t length = 0; length < good.size(); ++length) {
    std::string text = good.substr(0, length) + std::string(good.size() - length, '\0');
    if (text != good) refused(text), ++count;
  }
  for (const std::string& more : {std::string(1, '\0'), std::string(" "), good}) {
    refused(good + more), ++count;
  }
  RandomStream stream(1, 1);
  for (int i = 0; i < 5000; ++i, ++count) {
    const std::size_t one = stream.below(8 * good.size());
    const std::size_t two = (one + 1 + stream.below(8 * good.size() - 1)) % (8 * good.size());
    std::string text = good;
    for (const std::size_t bit : {one, two}) {
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    }
    refused(text);
  }
  std::cout << good.size() << " bytes, " << count << " damaged files\n";
  CHECK(count > 15'000);
  CHECK(accepted == 0);
  CHECK(others == 0);
  CHECK(changed == 0);
  file.write(good);
  CHECK(run.load(path).step == 2);
}

TEST_CASE("what is no checkpoint is told apart from a damaged one") {
  const std::string good = small_checkpoint();
  CHECK(refusal(good).empty());
  CHECK(refusal(sealed(good)).empty());
  CHECK(
      contains(refusal(safetensors("{}")), "f: not a checkpoint: its header does not begin with"));
  CHECK(contains(refusal(safetensors(R"({"__metadata__":{"crc32c":"0000000"}})")),
                 "not a checkpoint"));
  CHECK(contains(refusal(safetensors(R"({"__metadata__": {"crc32c":"00000000"}})")),
                 "not a checkpoint"));
  CHECK(contains(refusal(safetensors(R"({"__metadata__":{"crc32c":"00000000"}})")),
                 "f: damaged: checksum is "));
  // Eight characters that take more bytes in the file.
  CHECK(contains(
      refusal(safetensors(
          R"({"__metadata__":{"crc32c":"\u0030\u0030\u0030\u0030\u0030\u0030\u0030\u0030"}})")),
      "damaged"));
  CHECK(contains(refusal(sealed(safetensors(R"({"__metadata__":{"crc32c":"00000000"}})"))),
                 "metadata has 1 texts, expected crc32c and xtape.checkpoint"));
  CHECK(contains(refusal(sealed(safetensors(
                     R"({"__metadata__":{"crc32c":"00000000","a":"","xtape.checkpoint":"{}"}})"))),
                 "metadata has 3 texts"));
  std::string upper = good;
  for (std::size_t i = 0; i < 8; ++i) {
    char& c = upper[8 + std::string(kBefore).size() + i];
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  CHECK((upper == good || contains(refusal(upper), "damaged")));
  const Directory folder;
  TinyRun<float> run;
  run.build();
  save(run.params, folder / "w.safetensors");
  CHECK(contains(
      error_of<FormatError>([&] { load_checkpoint(folder / "w.safetensors", run.params); }),
      "w.safetensors: not a checkpoint: "));
  CHECK(contains(error_of<IoError>([&] { load_checkpoint(folder / "none", run.params); }),
                 "none: cannot be opened: No such file"));
  CHECK(contains(error_of<IoError>([&] { load_checkpoint(folder.path(), run.params); }),
                 "not a regular file"));
}

TEST_CASE("notes with the right checksum must be those that xtape writes") {
  CHECK(refusal(with_notes(notes())).empty());
  CHECK(refusal(with_notes(notes(R"({"a":1.5,"b":"inf","c":"nan:7ff8000000000001"})",
                                 R"({"x":"y"})", R"({"adam/steps":3.0})")))
            .empty());
  const auto replaced = [](const std::string& from, const std::string& to) {
    std::string text = notes();
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK(contains(refusal(with_notes(replaced("\"version\":1", "\"version\":2"))),
                 "another version: the checkpoint's is 2, expected 1"));
  int count = 0;
  for (const std::string& bad : {std::string(),
                                 std::string("{}"),
                                 std::string("[]"),
                                 std::string("1"),
                                 std::string("null"),
                                 notes() + " ",
                                 " " + notes(),
                                 notes() + notes(),
                                 notes().substr(0, 40),
                                 std::string(1000, '['),
                                 replaced("\"numbers\":{}", "\"numbers\":[]"),
                                 replaced("\"texts\":{}", "\"texts\":1"),
                                 replaced("\"texts\":{}", "\"texts\":{\"a\":1}"),
                                 replaced("\"epoch\":1", "\"epoch\":-1"),
                                 replaced("\"epoch\":1", "\"epoch\":1.0"),
                                 replaced("\"epoch\":1", "\"epoch\":1e300"),
                                 replaced("\"epoch\":1", "\"epoch\":\"1\""),
                                 replaced("\"epoch\":1", "\"epoch\":01"),
                                 replaced("\"epoch\":1,", ""),
                                 replaced("\"epoch\":1", "\"epoch\":9223372036854775808"),
                                 replaced("\"step\":3", "\"step\":18446744073709551616"),
                                 replaced("\"step\":3", "\"step\":3,\"step\":4"),
                                 replaced("\"tape_seed\":4", "\"tape_seed\":-4"),
                                 replaced("{\"version\":1", "{\"more\":0,\"version\":1"),
                                 replaced("\"version\":1", "\"version\":\"1\""),
                                 notes(R"({"a":1})"),
                                 notes(R"({"a":1.50})"),
                                 notes(R"({"a":true})"),
                                 notes(R"({"a":null})"),
                                 notes(R"({"a":"1.5"})"),
                                 notes(R"({"a":"nan"})"),
                                 notes(R"({"a":"nan:7ff0000000000000"})"),
                                 notes(R"({"a":"nan:7FF8000000000000"})"),
                                 notes(R"({"a":"nan:xxxxxxxxxxxxxxxx"})"),
                                 notes(R"({"a":{"b":1.5}})"),
                                 notes(R"({"a":1e999})"),
                                 notes(R"({"a":-0})"),
                                 notes(R"({"a":1.5,"a":1.5})"),
                                 notes(R"({"b":1.5,"a":1.5})"),
                                 notes("{}", R"({"a":"\u0041"})"),
                                 notes("{}", "{}", R"({"a":"b"})"),
                                 notes("{}", "{}", R"({"a":[[1.5]]})")}) {
    const std::string said = refusal(with_notes(bad));
    INFO(bad << " -> " << said);
    CHECK(said.starts_with("f: "));
    CHECK(contains(said, "expected"));
    ++count;
  }
  CHECK(count == 42);
}

TEST_CASE("tensors with the right checksum must be those of a checkpoint") {
  const auto tensor = [](const std::string& name, const std::string& dtype) {
    return ",\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[1],\"data_offsets\":[0,8]}";
  };
  const std::string data(8, '\1');
  CHECK(refusal(with_notes(notes(), tensor("params/a", "F64"), data)).empty());
  CHECK(refusal(with_notes(notes(), tensor("optimizer/a", "F64"), data)).empty());
  CHECK(contains(refusal(with_notes(notes(), tensor("other/a", "F64"), data)),
                 "name out of form: tensor 'other/a', expected params/... or optimizer/..."));
  CHECK(contains(refusal(with_notes(notes(), tensor("params/a", "I64"), data)),
                 "dtype out of form: tensor 'params/a' is I64"));
  const std::string two = R"(,"params/a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                          R"("params/b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})";
  CHECK(contains(refusal(with_notes(notes(), two.substr(0, two.size() - 1), data + "1234")),
                 "dtype out of form: tensor 'params/b' is F32"));
}

TEST_CASE("an optimizer's numbers out of range are refused, and nothing is loaded") {
  const Directory folder;
  const std::string path = folder / "a";
  TinyRun<float> run;
  run.steps(1);
  run.save(path);
  std::string text = read_text(path);
  const std::string from = "adam/steps\\\":1.0";
  REQUIRE(contains(text, from));
  write_file(path, sealed(text.replace(text.find(from), from.size(), "adam/steps\\\":1.5")));
  TinyRun<float> other(8);
  other.build();
  const Snapshot<float> before(other);
  CHECK(contains(error_of<ValueError>([&] { other.load(path); }),
                 path + ": load_state: out of range: 'adam/steps' is 1.5"));
  CHECK(Snapshot(other) == before);
}
