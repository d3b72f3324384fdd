#include "support/catch.hpp"
#include "support/files.hpp"

#include "io/views.hpp"

#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

const std::string kArrays = golden_path("weights/arrays.safetensors");
const std::string kEntry = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
const std::string kData(8, '\1');

std::string refusal(const std::string& file) {
  return error_of<FormatError>([&] { parse_safetensors(as_bytes(file), "some.safetensors"); });
}

std::string refusal_of(const std::string& header, const std::string& data = kData) {
  return refusal(safetensors(header, data));
}

/// Every refusal names the file, says what is expected, and where.
void check_refused(const std::string& text, const std::string& part) {
  INFO("got: " << text);
  CHECK(contains(text, "some.safetensors: "));
  CHECK(contains(text, "expected"));
  CHECK(contains(text, "(at byte "));
  CHECK(contains(text, part));
  CHECK(io::valid_utf8(text));
}

std::string nested(const std::string& entries) { return "{" + entries + "}"; }

}  // namespace

TEST_CASE("reads what the safetensors package wrote, and writes the same bytes") {
  const TensorFile file = read_safetensors(kArrays);
  CHECK(file.metadata == Metadata{{"format", "np"}, {"note", "\"quoted\"\n\u00e4"}});
  REQUIRE(file.tensors.size() == 14);
  const auto ramp = [&](const char* name, DType dtype, const Shape& shape) {
    INFO(name);
    const StoredTensor& tensor = file.tensors.at(name);
    CHECK(tensor.dtype == dtype);
    CHECK(tensor.shape == shape);
    return tensor;
  };
  CHECK(same(ramp("layer/0/kernel", DType::f32, {3, 4}), to_tensor(golden_ramp<float>({3, 4}))));
  CHECK(same(ramp("layer/0/bias", DType::f32, {4}), to_tensor(golden_ramp<float>({4}))));
  CHECK(same(ramp("double", DType::f64, {2, 3, 2}), to_tensor(golden_ramp<double>({2, 3, 2}))));
  CHECK(same(ramp("int", DType::i32, {2, 2}), to_tensor(golden_ramp<std::int32_t>({2, 2}))));
  CHECK(same(ramp("long", DType::i64, {3}), to_tensor(golden_ramp<std::int64_t>({3}))));
  CHECK(same(ramp("byte", DType::u8, {6}), to_tensor(golden_ramp<std::uint8_t>({6}))));
  CHECK(same(ramp("scalar", DType::f64, {}), to_tensor(golden_ramp<double>({}))));
  CHECK(same(ramp("empty", DType::f32, {2, 0, 3}), to_tensor(golden_ramp<float>({2, 0, 3}))));
  CHECK(same(ramp("n\u00e4me \u2200 \U0001f600", DType::f32, {2}),
             to_tensor(golden_ramp<float>({2}))));
  CHECK(same_bits(to_array<float>(ramp("half", DType::f16, {5})), golden_ramp<float>({5})));
  CHECK(same_bits(to_array<bool>(ramp("flag", DType::boolean, {3})),
                  array<bool>({3}, {true, false, true})));
  ramp("short", DType::u16, {2});
  const Array<float> special = to_array<float>(ramp("special", DType::f32, {6}));
  CHECK(std::bit_cast<std::uint32_t>(special.data()[0]) == 0x7FC00001);
  CHECK(std::bit_cast<std::uint32_t>(special.data()[1]) == 0xFFC12345);
  const Array<double> wide = to_array<double>(ramp("special double", DType::f64, {6}));
  CHECK(std::bit_cast<std::uint64_t>(wide.data()[1]) == 0xFFF8123456789ABC);

  const Directory directory;
  write_safetensors(directory / "copy", file.tensors, file.metadata);
  const TensorFile copy = read_safetensors(directory / "copy");
  CHECK(same(copy.tensors, file.tensors));
  CHECK(copy.metadata == file.metadata);
  CHECK(read_text(directory / "copy").size() == read_text(kArrays).size());
  // The package writes metadata in no order of its own; without it even the bytes are the same.
  const std::string theirs = read_text(kArrays);
  const std::string ours = read_text(directory / "copy");
  CHECK(ours.substr(ours.find("\"long\"")) == theirs.substr(theirs.find("\"long\"")));
}

TEST_CASE("the smallest files") {
  CHECK(parse_safetensors(as_bytes(safetensors("{}"))).tensors.empty());
  CHECK(parse_safetensors(as_bytes(safetensors("{}      "))).tensors.empty());
  CHECK(parse_safetensors(as_bytes(safetensors(R"({"__metadata__":{}})"))).metadata.empty());
  const TensorFile file = parse_safetensors(as_bytes(safetensors(nested(kEntry), kData)));
  CHECK(file.tensors.at("a").bytes == std::vector<std::byte>(8, std::byte{1}));
  const Directory directory;
  write_safetensors(directory / "none", {});
  CHECK(read_text(directory / "none") == safetensors("{}      "));
}

TEST_CASE("tensors lie by alignment and then by name, the data at a multiple of 8") {
  const Directory directory;
  write_safetensors(directory / "f", {{"a", {DType::u8, {3}, std::vector<std::byte>(3)}},
                                      {"z", {DType::f64, {}, std::vector<std::byte>(8)}},
                                      {"y", {DType::f32, {1}, std::vector<std::byte>(4)}},
                                      {"x", {DType::f32, {1}, std::vector<std::byte>(4)}}});
  const std::string text = read_text(directory / "f");
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), 8);
  CHECK(length % 8 == 0);
  CHECK(text.find("\"z\"") < text.find("\"x\""));
  CHECK(text.find("\"x\"") < text.find("\"y\""));
  CHECK(text.find("\"y\"") < text.find("\"a\""));
  CHECK(contains(text, R"("a":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})"));
}

TEST_CASE("rules 1 and 2: the header's length") {
  check_refused(refusal(""), "too short: file is 0 bytes");
  check_refused(refusal("1234567"), "too short: file is 7 bytes");
  const auto lying = [](std::uint64_t length) {
    std::string file = safetensors(nested(kEntry), kData);
    std::memcpy(file.data(), &length, 8);
    return refusal(file);
  };
  check_refused(lying(100'000'001), "header too long");
  check_refused(lying(std::numeric_limits<std::uint64_t>::max()), "header too long");
  check_refused(lying(std::numeric_limits<std::uint64_t>::max() - 7), "header too long");
  check_refused(lying(100'000'000), "header beyond the file");
  check_refused(lying(nested(kEntry).size() + 9), "header beyond the file");
  check_refused(lying(nested(kEntry).size() + 8), "does not end with }");
  check_refused(lying(0), "does not begin with {");
}

TEST_CASE("rule 3: the header is JSON of one form") {
  check_refused(refusal_of(std::string(" ").append(nested(kEntry))), "does not begin with {");
  check_refused(refusal_of(std::string("\xEF\xBB\xBF").append(nested(kEntry))),
                "does not begin with {");
  check_refused(refusal_of("[]", ""), "does not begin with {");
  check_refused(refusal_of(nested(kEntry) + "\n"), "does not end with }");
  check_refused(refusal_of(nested(kEntry) + std::string(1, '\0')), "does not end with }");
  check_refused(refusal_of(nested(kEntry) + std::string(1, '\0') + "}"), "NUL byte");
  check_refused(refusal_of(nested(kEntry) + "}"), "not JSON");
  check_refused(refusal_of(nested(kEntry + ",")), "not JSON");
  check_refused(refusal_of("{/* no */" + kEntry + "}"), "not JSON");
  check_refused(refusal_of("{\"\xFF\":{\"dtype\":\"F32\"}}"), "not JSON");
  check_refused(refusal_of("{\"\xC0\xAF\":1}"), "not JSON");
  check_refused(refusal_of("{\"\xED\xA0\x80\":1}"), "not JSON");
  check_refused(refusal_of(R"({"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
                "not JSON");
  const auto shape = [](const std::string& value) {
    return refusal_of(R"({"a":{"dtype":"F32","shape":[)" + value + R"(],"data_offsets":[0,8]}})");
  };
  check_refused(shape("-2"), "negative number");
  check_refused(shape("2.0"), "fraction");
  check_refused(shape("2e0"), "fraction");
  check_refused(shape("18446744073709551616"), "beyond 64 bits");
  check_refused(shape("02"), "not JSON");
  check_refused(shape("NaN"), "not JSON");
  check_refused(shape("1e999"), "not JSON");
  check_refused(shape("\"2\""), "has a string");
  check_refused(shape("null"), "has null");
  check_refused(shape("true"), "has a truth value");
  check_refused(shape("[2]"), "has an array");
  check_refused(shape("{}"), "has a nested object");
  check_refused(refusal_of(R"({"a":1})"), "has a number");
  check_refused(refusal_of(R"({"a":[]})"), "has an array");
  check_refused(refusal_of(R"({"a":"F32"})"), "has a string");
  check_refused(refusal_of(R"({"a":{"dtype":4}})"), "has a number");
  check_refused(refusal_of(R"({"a":{"dtype":["F32"]}})"), "has an array");
  check_refused(refusal_of(R"({"a":{"shape":2}})"), "has a number");
  check_refused(refusal_of(R"({"a":{"shape":"2"}})"), "has a string");
  check_refused(refusal_of(R"({"a":{"data_offsets":{}}})"), "has a nested object");
  check_refused(refusal_of(R"({"__metadata__":3})"), "__metadata__ has a number");
  check_refused(refusal_of(R"({"__metadata__":{"k":3}})"), "__metadata__ has a number");
  check_refused(refusal_of(R"({"__metadata__":{"k":{}}})"), "__metadata__ has a nested object");
  const auto offsets = [](const std::string& value) {
    return refusal_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[)" + value + "]}}");
  };
  check_refused(offsets("0"), "fewer than two data offsets");
  check_refused(offsets("0,8,8"), "a third data offset");
  check_refused(offsets("0,-8"), "negative number");
}

TEST_CASE("deep nesting is refused at once") {
  const std::string deep = std::string(R"({"a":)").append(1'000'000, '[') + "}";
  check_refused(refusal_of(deep), "has an array");
  std::string objects = "{";
  for (int i = 0; i < 100'000; ++i) objects += R"("a":{)";
  check_refused(refusal_of(objects + "}"), "unknown key");
}

TEST_CASE("rule 4: every key once") {
  check_refused(refusal_of(nested(kEntry + "," + kEntry)), "key twice: 'a'");
  check_refused(refusal_of(nested(kEntry + R"(,"\u0061":{})")), "key twice: 'a'");
  check_refused(
      refusal_of(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
      "key twice: 'dtype'");
  check_refused(refusal_of(R"({"a":{"shape":[2],"dtype":"F32","shape":[2]}})"),
                "key twice: 'shape'");
  check_refused(refusal_of(R"({"a":{"data_offsets":[0,8],"data_offsets":[0,8]}})"),
                "key twice: 'data_offsets'");
  check_refused(refusal_of(R"({"__metadata__":{},"__metadata__":{}})"),
                "key twice: '__metadata__'");
  check_refused(refusal_of(R"({"__metadata__":{"k":"1","k":"2"}})"), "key twice: 'k'");
}

TEST_CASE("rules 5 to 7: offsets, sizes, and the end of the file") {
  const auto entry = [](const std::string& name, int begin, int end) {
    return "\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
           R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  const auto two = [&](const std::string& a, const std::string& b) {
    return refusal_of(nested(a + "," + b));
  };
  CHECK(two(entry("a", 0, 4), entry("b", 4, 8)).empty());
  CHECK(two(entry("a", 4, 8), entry("b", 0, 4)).empty());
  check_refused(two(entry("a", 1, 4), entry("b", 4, 8)), "hole between tensors: 'a' begins at 1");
  check_refused(two(entry("a", 0, 4), entry("b", 5, 8)), "hole between tensors: 'b' begins at 5");
  check_refused(two(entry("a", 0, 4), entry("b", 3, 8)), "tensors overlap: 'b' begins at 3");
  check_refused(two(entry("a", 0, 8), entry("b", 0, 8)), "tensors overlap: 'b' begins at 0");
  check_refused(refusal_of(nested(entry("a", 0, 4))), "bytes behind the last tensor: there are 4");
  check_refused(refusal_of("{}"), "bytes behind the last tensor: there are 8");
  check_refused(refusal_of(nested(entry("a", 0, 9))), "tensor beyond the file");
  check_refused(refusal_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                           R"("b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                           R"("c":{"dtype":"U8","shape":[0],"data_offsets":[8,7]}})"),
                "offsets reversed: 'c'");
  check_refused(refusal_of(R"({"a":{"dtype":"U8","shape":[8],)"
                           R"("data_offsets":[0,18446744073709551615]}})"),
                "tensor beyond the file");
  const auto shaped = [](const std::string& dtype, const std::string& shape) {
    return refusal_of(R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape +
                      R"(,"data_offsets":[0,8]}})");
  };
  CHECK(shaped("F32", "[2]").empty());
  CHECK(shaped("F64", "[]").empty());
  check_refused(shaped("F32", "[3]"), "size and shape differ: 'a' has 8 bytes, expected 12");
  check_refused(shaped("F32", "[]"), "size and shape differ");
  check_refused(shaped("F32", "[0]"), "size and shape differ");
  check_refused(shaped("F64", "[2]"), "size and shape differ");
  check_refused(shaped("F32", "[4294967296,4294967296]"), "shape overflows");
  check_refused(shaped("F32", "[4611686018427387906]"), "shape overflows");
  check_refused(shaped("U8", "[18446744073709551615]"), "shape overflows");
  check_refused(shaped("U8", "[9223372036854775808,2]"), "shape overflows");
  // The extents beside a zero one, too: strides are their products.
  check_refused(refusal_of(R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],)"
                           R"("data_offsets":[0,0]}})",
                           ""),
                "shape overflows");
}

TEST_CASE("rule 9: caps, unknown keys, incomplete entries, dtypes") {
  const auto rank = [](int n) {
    std::string ones = "2";
    for (int i = 1; i < n; ++i) ones += ",1";
    return R"({"a":{"dtype":"F32","shape":[)" + ones + R"(],"data_offsets":[0,8]}})";
  };
  CHECK(refusal_of(rank(32)).empty());
  check_refused(refusal_of(rank(33)), "rank too large");
  const auto named = [](const std::string& name) {
    return refusal_of("{\"" + name + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})");
  };
  CHECK(named(std::string(4096, 'n')).empty());
  CHECK(named("").empty());
  check_refused(named(std::string(4097, 'n')), "4097 bytes long");
  check_refused(named("n\\u0000"), "with a NUL character");
  check_refused(refusal_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})"),
                "unknown key: tensor 'a' has 'x'");
  check_refused(refusal_of(R"({"a":{"dtype":"F32","shape":[2]}})"), "'a' lacks data_offsets");
  check_refused(refusal_of(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})"), "'a' lacks shape");
  check_refused(refusal_of(R"({"a":{"shape":[2],"data_offsets":[0,8]}})"), "'a' lacks dtype");
  check_refused(refusal_of(R"({"a":{}})"), "lacks dtype shape data_offsets");
  for (const char* dtype : {"F8_E4M3", "F4", "C64", "f32", "", "F32 ", "\\u001b[31m"}) {
    const std::string text = refusal_of(R"({"a":{"dtype":")" + std::string(dtype) +
                                        R"(","shape":[2],"data_offsets":[0,8]}})");
    check_refused(text, "unsupported dtype: tensor 'a'");
    CHECK(text.find('\x1b') == std::string::npos);  // nothing of a file reaches the terminal raw
  }
}

TEST_CASE("attacks: many entries over one range, more entries than any model has") {
  std::string entries;
  for (int i = 0; i < 100'000; ++i) {
    if (i != 0) entries += ',';
    entries += '"' + std::to_string(i) + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  }
  check_refused(refusal_of(nested(entries)), "tensors overlap");
  entries.clear();
  for (int i = 0; i <= 1'000'000; ++i) {
    if (i != 0) entries += ',';
    entries += '"' + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  check_refused(refusal_of(nested(entries), ""), "too many tensors");
}

TEST_CASE("a file cut anywhere is refused") {
  const std::string whole = read_text(kArrays);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK(!refusal(whole.substr(0, length)).empty());
  }
  check_refused(refusal(whole + '\0'), "bytes behind the last tensor");
}

TEST_CASE("what a file cannot hold is not written") {
  const Directory directory;
  const auto refused = [&](const Tensors& tensors, const Metadata& metadata, const char* part) {
    const std::string text = error_of<ValueError>(
        [&] { write_safetensors(directory / "x.safetensors", tensors, metadata); });
    INFO(text);
    CHECK(contains(text, "x.safetensors: "));
    CHECK(contains(text, part));
    CHECK(directory.files().empty());
  };
  const StoredTensor one{DType::f32, {1}, std::vector<std::byte>(4)};
  refused({{"__metadata__", one}}, {}, "name taken");
  refused({{"\xFF", one}}, {}, "not UTF-8");
  refused({{std::string("a\0b", 3), one}}, {}, "NUL");
  refused({{std::string(4097, 'n'), one}}, {}, "4097 bytes");
  refused({{"a", {DType::f32, {2}, std::vector<std::byte>(4)}}}, {}, "contradicts itself");
  refused({{"a", {DType::f32, Shape(33, 1), std::vector<std::byte>(4)}}}, {}, "rank <= 32");
  refused({}, {{"k", "\xFF"}}, "not UTF-8");
  refused({}, {{"k", std::string(100'000'001, 'm')}}, "header too long");
}

TEST_CASE("names and metadata of any characters come back") {
  const Directory directory;
  std::string every;
  for (char c = 1; c < 127; ++c) every += c;
  const Tensors tensors = {{every, {DType::f32, {1}, std::vector<std::byte>(4)}},
                           {"\u00e4/\U0010ffff", {DType::bf16, {}, std::vector<std::byte>(2)}}};
  const Metadata metadata = {{every, every}, {"", ""}, {"n", std::string("a\0b", 3)}};
  write_safetensors(directory / "f", tensors, metadata);
  const TensorFile file = read_safetensors(directory / "f");
  CHECK(same(file.tensors, tensors));
  CHECK(file.metadata == metadata);
}
