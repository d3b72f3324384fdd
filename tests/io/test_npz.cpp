#include "support/catch.hpp"
#include "support/files.hpp"

#include "io/npy.hpp"
#include "io/zip.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

const std::string kArrays = golden_path("weights/arrays.npz");

std::string refusal(const std::string& file) {
  return error_of<FormatError>([&] { parse_npz(as_bytes(file), "some.npz"); });
}

void check_refused(const std::string& text, const std::string& part) {
  INFO("got: " << text);
  CHECK(contains(text, "some.npz: "));
  CHECK(contains(text, "expected"));
  CHECK(contains(text, "(at byte "));
  CHECK(contains(text, part));
}

std::string npy(const std::string& header, const std::string& data, char major = 1) {
  std::string out = "\x93NUMPY";
  out += major;
  out += '\0';
  const std::size_t length = header.size();
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i)
    out += static_cast<char>((length >> (8 * i)) & 255);
  return out + header + data;
}

std::string zip(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out;
  const io::Sink sink = [&](io::Bytes bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const std::string path = "test";
  io::ZipWriter writer(sink, path);
  for (const auto& [name, data] : members) writer.add(name, as_bytes(data), {});
  writer.finish();
  return out;
}

const std::string kHeader = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
const std::string kData(8, '\1');

std::string refusal_of(const std::string& header, const std::string& data = kData) {
  return refusal(zip({{"a.npy", npy(header, data)}}));
}

std::string with_shape(const std::string& shape) {
  return refusal_of("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n");
}

std::string with_descr(const std::string& descr) {
  return refusal_of("{'descr': " + descr + ", 'fortran_order': False, 'shape': (2,), }\n");
}

}  // namespace

TEST_CASE("reads what numpy wrote: the same arrays as in the safetensors file") {
  Tensors tensors = read_npz(kArrays);
  REQUIRE(tensors.count("fortran") == 1);
  CHECK(same_bits(to_array<double>(tensors.at("fortran")), golden_ramp<double>({3, 4, 2})));
  tensors.erase("fortran");
  CHECK(same(tensors, read_safetensors(golden_path("weights/arrays.safetensors")).tensors));
}

TEST_CASE("reads npy versions 1.0, 2.0 and 3.0") {
  const Tensors tensors = read_npz(golden_path("weights/versions.npz"));
  REQUIRE(tensors.size() == 3);
  for (const auto& [name, tensor] : tensors) {
    CHECK(same(tensor, to_tensor(golden_ramp<float>({2, 3}))));
  }
}

TEST_CASE("writes what it reads") {
  const Directory directory;
  const Tensors tensors = read_npz(kArrays);
  write_npz(directory / "copy.npz", tensors);
  CHECK(same(read_npz(directory / "copy.npz"), tensors));
  write_npz(directory / "none.npz", {});
  CHECK(read_npz(directory / "none.npz").empty());
  CHECK(directory.files() == std::vector<std::string>{"copy.npz", "none.npz"});
}

TEST_CASE("headers in other orders and quotes are read") {
  CHECK(refusal_of(kHeader).empty());
  CHECK(refusal_of("{\"shape\":(2,),'fortran_order':True,'descr':'<f4'}\n").empty());
  CHECK(refusal_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }      \n").empty());
  CHECK(refusal_of("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n").empty());
  CHECK(refusal_of("{'descr': '|u1', 'fortran_order': False, 'shape': (2,2,2), }\n").empty());
}

TEST_CASE("npy headers out of form are refused") {
  check_refused(refusal_of(""), "npy header out of form");
  check_refused(refusal_of("\n"), "no { where it should be");
  check_refused(refusal_of(kHeader.substr(0, kHeader.size() - 1)), "does not end its line");
  check_refused(refusal_of("{'descr': '<f4', 'fortran_order': False}\n"), "a key is missing");
  check_refused(refusal_of("{'descr': '<f4', 'descr': '<f4'}\n"), "key 'descr' twice");
  check_refused(refusal_of("{'x': 1}\n"), "unknown key 'x'");
  check_refused(refusal_of("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}\n"),
                "no True or False");
  check_refused(refusal_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x\n"),
                "text behind the dictionary");
  check_refused(refusal_of("{'descr: '<f4'}\n"), "expected");
  check_refused(refusal_of("{'descr\n"), "an open string");
  check_refused(refusal_of("{'de\\x73cr': '<f4'}\n"), "an escape");
  check_refused(refusal_of("{'descr' '<f4'}\n"), "no : where");
  check_refused(refusal_of("{\xFF}\n"), "not UTF-8");
  check_refused(refusal_of("{__import__('os').system('true')}\n"), "no ' where");
  check_refused(refusal_of(std::string(10'001, ' ') + kHeader), "npy header too long");
  check_refused(with_shape("(2)"), "not a tuple");
  check_refused(with_shape("2"), "no ( where");
  check_refused(with_shape("[2]"), "no ( where");
  check_refused(with_shape("(-2,)"), "no whole number");
  check_refused(with_shape("(2.0,)"), "expected");
  check_refused(with_shape("(2L,)"), "no comma");
  check_refused(with_shape("(02,)"), "leading zeros");
  check_refused(with_shape("(,)"), "no whole number");
  check_refused(with_shape("(18446744073709551616,)"), "beyond 64 bits");
  check_refused(with_shape("(4294967296,4294967296)"), "shape overflows");
  check_refused(with_shape("(0,4294967296,4294967296)"), "shape overflows");
  check_refused(with_shape("(4294967296,536870912)"), "shape overflows");
  check_refused(with_shape("(1000000000000,)"), "size and shape differ");
  check_refused(with_shape("(3,)"), "size and shape differ: member 'a.npy' has 8 bytes");
  check_refused(with_shape("(1,)"), "size and shape differ");
  std::string many = "(2,";
  for (int i = 0; i < 32; ++i) many += "1,";
  check_refused(with_shape(many + ")"), "more than 32 axes");
}

TEST_CASE("dtypes other than plain little-endian numbers are refused") {
  check_refused(with_descr("'|O'"), "array of Python objects");
  check_refused(with_descr("'O'"), "array of Python objects");
  check_refused(with_descr("'>f4'"), "big-endian");
  check_refused(with_descr("[('x', '<f4')]"), "a structured dtype");
  for (const char* descr : {"'<c8'", "'<f16'", "'|S4'", "'<U4'", "'<M8[ns]'", "'|V4'", "'f4'", "''",
                            "'<u4'", "'|i1'", "'=f4'"}) {
    check_refused(with_descr(descr), "unsupported dtype");
  }
}

TEST_CASE("npy magic and versions") {
  check_refused(refusal(zip({{"a.npy", ""}})), "no npy array");
  check_refused(refusal(zip({{"a.npy", "\x93NUMPZ\1\0\0\0"}})), "no npy array");
  check_refused(refusal(zip({{"a.npy", npy(kHeader, kData, 4)}})), "unknown npy version");
  check_refused(refusal(zip({{"a.npy", npy(kHeader, kData, 0)}})), "unknown npy version");
  CHECK(refusal(zip({{"a.npy", npy(kHeader, kData, 2)}})).empty());
  CHECK(refusal(zip({{"a.npy", npy(kHeader, kData, 3)}})).empty());
}

TEST_CASE("members: names") {
  const std::string good = npy(kHeader, kData);
  check_refused(refusal(zip({{"a.txt", good}})), "member that is no array");
  check_refused(refusal(zip({{"dir/", ""}})), "member that is no array");
  check_refused(refusal(zip({{"a.npy", good}, {"a.npy", good}})), "member twice");
  check_refused(refusal(zip({{std::string("a\0.npy", 6), good}})), "NUL");
  check_refused(refusal(zip({{"\xFF.npy", good}})), "not UTF-8");
  check_refused(refusal(zip({{std::string(4093, 'n') + ".npy", good}})), "4097 bytes");
  CHECK(parse_npz(as_bytes(zip({{".npy", good}}))).count("") == 1);
}

TEST_CASE("archives: one lie at a time") {
  const std::string good = zip({{"a.npy", npy(kHeader, kData)}, {"b.npy", npy(kHeader, kData)}});
  REQUIRE(refusal(good).empty());
  const std::size_t end = good.size() - 22;
  const std::size_t second = good.find("PK\3\4", 4);
  const std::size_t central = good.find("PK\1\2");
  const auto changed = [&](std::size_t at, std::uint64_t value, std::size_t bytes) {
    std::string file = good;
    std::memcpy(file.data() + at, &value, bytes);
    return refusal(file);
  };
  check_refused(changed(central + 8, 1, 2), "encrypted member");
  check_refused(changed(central + 8, 8, 2), "streamed member");
  check_refused(changed(central + 8, 64, 2), "unknown flags");
  check_refused(changed(central + 8, 2048, 2), "records differ");
  check_refused(changed(central + 10, 8, 2), "compressed member: 'a.npy' has method 8");
  check_refused(changed(central + 16, 1, 4), "records differ");
  check_refused(changed(central + 20, 0xFFFFFFFF, 4), "zip64 archive");
  check_refused(changed(central + 20, 3, 4), "sizes differ");
  check_refused(changed(central + 28, 65535, 2), "zip directory damaged");
  check_refused(changed(central + 34, 1, 2), "archive in parts");
  check_refused(changed(central + 42, 1, 4), "hole between members");
  check_refused(changed(central + 42, second, 4), "hole between members: 'a.npy'");
  check_refused(changed(central, 0, 4), "zip directory damaged");
  check_refused(changed(0, 0, 4), "no local record");
  check_refused(changed(6, 1, 2), "records differ");
  check_refused(changed(8, 8, 2), "records differ");
  check_refused(changed(18, 3, 4), "records differ");
  check_refused(changed(18, 0xFFFFFFFFFFFFFFFF, 8), "records differ");
  check_refused(changed(26, 65535, 2), "member beyond the archive");
  check_refused(changed(30, 'c', 1), "records differ");
  check_refused(changed(second - 1, 7, 1), "checksum differs");
  check_refused(changed(end, 0, 4), "no zip archive");
  check_refused(changed(end + 4, 1, 2), "archive in parts");
  check_refused(changed(end + 8, 1, 2), "archive in parts");
  check_refused(changed(end + 8, 0x00010001, 4), "behind its last record");
  check_refused(changed(end + 8, 0x00030003, 4), "no record of a member");
  check_refused(changed(end + 8, 0xFFFFFFFF, 4), "zip64 archive");
  check_refused(changed(end + 12, 1, 4), "zip directory misplaced");
  check_refused(changed(end + 16, 0xFFFFFFFF, 4), "zip64 archive");
  check_refused(changed(end + 20, 1, 2), "comment");
  check_refused(refusal(good + "x"), "no zip archive");
  check_refused(refusal("x" + good), "zip directory misplaced");
  check_refused(refusal(""), "no zip archive");

  std::string overlap = good;  // both names for the first member
  std::memset(overlap.data() + good.find("PK\1\2", central + 4) + 42, 0, 4);
  check_refused(refusal(overlap), "members overlap");
  std::string behind = good;  // bytes between the members and the directory
  behind.insert(central, "xyz");
  const auto moved = static_cast<std::uint32_t>(central + 3);
  std::memcpy(behind.data() + behind.size() - 6, &moved, 4);
  check_refused(refusal(behind), "bytes behind the last member: there are 3");
}

TEST_CASE("a file cut anywhere is refused, and a flipped bit is seen or does not matter") {
  const std::string whole = read_text(golden_path("weights/versions.npz"));
  const Tensors tensors = parse_npz(as_bytes(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK(!refusal(whole.substr(0, length)).empty());
  }
  int refused = 0;
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string file = whole;
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
    try {
      const Tensors other = parse_npz(as_bytes(file));
      INFO(bit);
      CHECK(same(other, tensors));
    } catch (const FormatError&) {
      ++refused;
    }
  }
  CHECK(refused > static_cast<int>(whole.size()) * 6);  // dates and attributes are not looked at
}

TEST_CASE("what an npz cannot hold is not written") {
  const Directory directory;
  const auto refused = [&](const Tensors& tensors, const char* part) {
    const std::string text = error_of<ValueError>([&] { write_npz(directory / "x.npz", tensors); });
    INFO(text);
    CHECK(contains(text, "x.npz: "));
    CHECK(contains(text, part));
    CHECK(directory.files().empty());
  };
  const StoredTensor one{DType::f32, {1}, std::vector<std::byte>(4)};
  refused({{"a", {DType::bf16, {1}, std::vector<std::byte>(2)}}}, "dtype .npz cannot hold");
  refused({{"a", {DType::u64, {1}, std::vector<std::byte>(8)}}}, "dtype is U64");
  refused({{"\xFF", one}}, "not UTF-8");
  refused({{std::string(4093, 'n'), one}}, "4093 bytes long");
  refused({{"a", {DType::f32, {2}, std::vector<std::byte>(4)}}}, "contradicts itself");
  Tensors many;
  for (int i = 0; i < 65535; ++i) many.emplace(std::to_string(i), one);
  refused(many, "too large for .npz");
}

TEST_CASE("Fortran order of every width and rank") {
  // Element (i, j, k) of (2, 3, 4) is 12 i + 4 j + k; stored with i running fastest.
  for (const auto& [descr, dtype] : {std::pair<std::string, DType>{"|u1", DType::u8},
                                     {"<u2", DType::u16},
                                     {"<i4", DType::i32},
                                     {"<i8", DType::i64}}) {
    std::string data;
    for (char k = 0; k < 4; ++k) {
      for (char j = 0; j < 3; ++j) {
        for (char i = 0; i < 2; ++i) {
          data += static_cast<char>(12 * i + 4 * j + k);
          data.append(width(dtype) - 1, '\0');
        }
      }
    }
    const std::string file = zip(
        {{"a.npy",
          npy("{'descr': '" + descr + "', 'fortran_order': True, 'shape': (2, 3, 4)}\n", data)}});
    const StoredTensor tensor = parse_npz(as_bytes(file)).at("a");
    CHECK(tensor.dtype == dtype);
    for (std::size_t i = 0; i < 24; ++i) {
      CHECK(tensor.bytes[i * width(dtype)] == static_cast<std::byte>(i));
    }
  }
}

TEST_CASE("parameters load from arrays in Fortran order") {
  const Directory folder;
  const std::string path = folder / "w.npz";
  std::string data;  // element (i, j) of (2, 3) is 3 i + j; stored with i running fastest
  for (const float value : {0.0F, 3.0F, 1.0F, 4.0F, 2.0F, 5.0F}) {
    char bytes[4];
    std::memcpy(bytes, &value, 4);
    data.append(bytes, 4);
  }
  write_file(path,
             zip({{"dense/kernel.npy",
                   npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}\n", data)}}));
  Params<double> params;
  const Dense<double> dense(params.scope() / "dense", {.units = 3, .use_bias = false});
  dense.build({1, 2});
  load(params, path);
  const Array<double> expected = array<double>({2, 3}, {0, 1, 2, 3, 4, 5});
  CHECK(same_bits(params.at("dense/kernel").value(), expected));
}
