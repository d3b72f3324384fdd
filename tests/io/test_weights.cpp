#include "support/catch.hpp"
#include "support/files.hpp"

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

template <class T> T special(int i) {
  switch (i % 6) {
    case 0: return std::numeric_limits<T>::quiet_NaN();
    case 1: return -std::numeric_limits<T>::infinity();
    case 2: return std::numeric_limits<T>::denorm_min();
    case 3: return T(-0.0);
    case 4: return std::numeric_limits<T>::max();
    default: return T(0.1);
  }
}

/// A NaN whose payload must come back.
template <class T> T payload_nan() {
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<T>(0xFFC12345U);
  } else {
    return std::bit_cast<T>(0xFFF8123456789ABCULL);
  }
}

template <class T> std::map<std::string, Array<T>> model() {
  Array<T> values(Shape{7});
  for (int i = 0; i < 6; ++i) values.data()[i] = special<T>(i);
  values.data()[6] = payload_nan<T>();
  return {{"encoder/0/kernel", random_array<T>({3, 4}, 1)},
          {"encoder/0/bias", values},
          {"scalar", random_array<T>({}, 2)},
          {"none", Array<T>(Shape{2, 0, 3})},
          {"\u00e4", random_array<T>({1, 2, 1, 2, 1, 2}, 3)}};
}

/// Parameters of these shapes, with other values.
template <class T> Params<T> blank(const std::map<std::string, Array<T>>& values) {
  Params<T> params({.seed = 9});
  for (const auto& [path, value] : values) {
    Scope<T> scope = params.scope();
    std::string rest = path;
    for (auto slash = rest.find('/'); slash != std::string::npos; slash = rest.find('/')) {
      scope = scope / rest.substr(0, slash);
      rest = rest.substr(slash + 1);
    }
    scope.reserve(rest).build(value.shape(), Initializer("ones"), {1, 1});
  }
  return params;
}

template <class T>
bool equal(const Params<T>& params, const std::map<std::string, Array<T>>& values) {
  const auto found = params.values();
  return found.size() == values.size() &&
         std::equal(found.begin(), found.end(), values.begin(), [](const auto& a, const auto& b) {
           return a.first == b.first && same_bits(a.second, b.second);
         });
}

}  // namespace

TEMPLATE_TEST_CASE("weights come back bit for bit", "", float, double) {
  const Directory directory;
  const auto values = model<TestType>();
  Params<TestType> params = blank(values);
  params.load(values);
  for (const char* name : {"w.safetensors", "w.npz"}) {
    save(params, directory / name);
    Params<TestType> other = blank(values);
    REQUIRE(!equal(other, values));
    load(other, directory / name);
    CHECK(equal(other, values));
    Params<TestType> later;  // the file comes before the layers
    load(later, directory / name, {.strict = false});
    const Parameter<TestType> kernel = (later.scope() / "encoder" / "0").reserve("kernel");
    kernel.build({3, 4}, Initializer("zeros"), {3, 4});
    CHECK(same_bits(kernel.value(), values.at("encoder/0/kernel")));
    CHECK(std::ranges::count(later.pending(), "scalar") == 1);
    CHECK_NOTHROW(later.check_pending());  // it need not be used
    const std::string first = read_text(directory / name);
    save(params, directory / name);
    CHECK(read_text(directory / name) == first);
  }
  CHECK(directory.files() == std::vector<std::string>{"w.npz", "w.safetensors"});
}

TEST_CASE("metadata is written beside weights") {
  const Directory directory;
  const Params<float> params = blank<float>({{"a", random_array<float>({2}, 1)}});
  save(params, directory / "w.safetensors", {{"epoch", "7"}});
  CHECK(read_safetensors(directory / "w.safetensors").metadata == Metadata{{"epoch", "7"}});
  CHECK(contains(error_of<ValueError>([&] {
                   save(params, directory / "w.npz", {{"k", "v"}});
                 }),
                 "metadata in an .npz"));
}

TEST_CASE("a double model reads floats exactly, a float model rounds doubles") {
  const Directory directory;
  for (const char* name : {"w.safetensors", "w.npz"}) {
    const std::map<std::string, Array<float>> narrow = {
        {"a", array<float>({4}, {0.1F, -3.4028235e38F, 1e-45F, -INFINITY})}};
    Params<float> floats = blank(narrow);
    floats.load(narrow);
    save(floats, directory / name);
    Params<double> doubles = blank<double>({{"a", Array<double>(Shape{4})}});
    load(doubles, directory / name);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(doubles.at("a").value().data()[i] == static_cast<double>(narrow.at("a").data()[i]));
    }
    // Between FLT_MAX and the next step, half of which rounds to infinity.
    doubles.set("a", array<double>({4}, {0.1, 3.4028235e38, 0x1.fffffefffffffp127, HUGE_VAL}));
    save(doubles, directory / name);
    load(floats, directory / name);
    CHECK(floats.at("a").value().data()[0] == 0.1F);
    CHECK(floats.at("a").value().data()[2] == std::numeric_limits<float>::max());
    CHECK(floats.at("a").value().data()[3] == INFINITY);
    for (const double large : {0x1.ffffffp127, -1e39, std::numeric_limits<double>::max()}) {
      doubles.set("a", array<double>({4}, {0, 0, large, 0}));
      save(doubles, directory / name);
      const auto before = floats.values();
      const std::string text = error_of<ValueError>([&] { load(floats, directory / name); });
      INFO(text);
      CHECK(contains(text, std::string(name) + ": tensor 'a': value out of range"));
      CHECK(equal(floats, before));
    }
  }
}

TEST_CASE("every half and bfloat16 number widens exactly") {
  StoredTensor tensor{DType::f16, {65536}, std::vector<std::byte>(131072)};
  for (std::size_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    std::memcpy(&tensor.bytes[2 * i], &bits, 2);
  }
  const Array<double> half = to_array<double>(tensor);
  tensor.dtype = DType::bf16;
  const Array<float> brain = to_array<float>(tensor);
  for (std::size_t i = 0; i < 65536; ++i) {
    const int exponent = static_cast<int>((i >> 10) & 31);
    const auto fraction = static_cast<double>(i & 1023);
    const double sign = i < 32768 ? 1 : -1;
    const double expected = exponent == 0    ? std::ldexp(fraction, -24)
                            : exponent != 31 ? std::ldexp(1024 + fraction, exponent - 25)
                            : fraction == 0  ? HUGE_VAL
                                             : std::nan("");
    const double value = half.data()[i];
    if (std::isnan(expected) ? !std::isnan(value)
                             : !(value == sign * expected && std::signbit(value) == (sign < 0))) {
      FAIL("half " << i << " is " << value << ", expected " << sign * expected);
    }
    if (std::bit_cast<std::uint32_t>(brain.data()[i]) != (static_cast<std::uint32_t>(i) << 16)) {
      FAIL("bfloat16 " << i);
    }
  }
}

TEST_CASE("arrays of every type to tensors and back") {
  const auto check = [](const auto& a) {
    using T = typename std::decay_t<decltype(a)>::value_type;
    CHECK(same_bits(to_array<T>(to_tensor(a)), a));
    CHECK(to_tensor(a).bytes.size() == a.size() * width(to_tensor(a).dtype));
  };
  check(array<float>({2}, {1, 2}));
  check(array<double>({2, 1}, {1, 2}));
  check(array<bool>({2}, {true, false}));
  check(array<std::uint8_t>({}, {255}));
  check(array<std::int32_t>({2}, {-1, 2}));
  check(array<std::int64_t>({0}, {}));
  const StoredTensor two{DType::boolean, {1}, {std::byte{2}}};
  CHECK(to_array<bool>(two).data()[0]);
  CHECK(contains(error_of<ParameterError>([&] { to_array<float>(two, "mask"); }),
                 "mask: not floating point: dtype is BOOL"));
  CHECK(contains(error_of<ParameterError>([&] { to_array<std::int32_t>(two); }), "expected I32"));
  CHECK(contains(error_of<ValueError>([&] {
                   to_array<float>({DType::f32, {2}, {}});
                 }),
                 "contradicts itself"));
}

TEST_CASE("a load that fails changes nothing and says why") {
  const Directory directory;
  const std::map<std::string, Array<float>> values = {{"a/kernel", random_array<float>({2, 3}, 1)},
                                                      {"b", random_array<float>({4}, 2)}};
  const StoredTensor fits = to_tensor(random_array<float>({2, 3}, 5));
  const StoredTensor b = to_tensor(random_array<float>({4}, 6));
  const auto refused = [&]<class E>(E, const Tensors& tensors, bool strict, const char* part) {
    for (const std::string name : {"w.safetensors", "w.npz"}) {
      if (name == "w.npz") {
        write_npz(directory / name, tensors);
      } else {
        write_safetensors(directory / name, tensors);
      }
      Params<float> params = blank(values);
      params.load(values);
      const std::string text =
          error_of<E>([&] { load(params, directory / name, {.strict = strict}); });
      INFO(text);
      CHECK(contains(text, name + ": "));
      CHECK(contains(text, part));
      CHECK(equal(params, values));
      params.check_pending();
    }
  };
  const Tensors misshaped = {{"a/kernel", to_tensor(random_array<float>({3, 2}, 5))}, {"b", b}};
  refused(ShapeError(""), misshaped, false, "a/kernel: shape differs: value is (3, 2)");
  refused(ParameterError(""), misshaped, true, "mis-shaped: 'a/kernel' is (3, 2)");
  refused(ParameterError(""), {{"a/kernel", fits}}, true, "missing: 'b'");
  refused(ParameterError(""), {{"a/kernel", fits}, {"b", b}, {"c", b}}, true, "unexpected: 'c'");
  refused(ParameterError(""),
          {{"a/kernel", fits}, {"b", {DType::i32, {4}, std::vector<std::byte>(16)}}}, false,
          "tensor 'b': not floating point: dtype is I32");

  Params<float> params = blank(values);
  params.load(values);
  for (const char* name : {"w.safetensors", "w.npz"}) {
    save(params, directory / name);
    const std::string whole = read_text(directory / name);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      write_file(directory / name, whole.substr(0, length));
      const std::string text = error_of<FormatError>([&] { load(params, directory / name); });
      INFO(length << ": " << text);
      CHECK(contains(text, directory / name));
    }
    CHECK(equal(params, values));
    write_file(directory / name, whole);
    load(params, directory / name);
  }
}

TEST_CASE("errors carry what a program may ask for") {
  Params<float> params;
  try {
    load(params, "no/such/file.npz");
    FAIL("loaded");
  } catch (const IoError& e) {
    CHECK(e.path == "no/such/file.npz");
    CHECK(e.code == ENOENT);
    CHECK(contains(e.what(), "no/such/file.npz: cannot be opened: No such file"));
  }
  try {
    parse_safetensors(as_bytes(safetensors("{} x}")));
    FAIL("parsed");
  } catch (const FormatError& e) {
    CHECK(e.offset == 11);
  }
}

TEST_CASE("other endings are refused, and names the two") {
  Params<float> params;
  for (const char* name : {"w.h5", "w", "w.safetensors.txt", ".keras", "w.NPZ", ""}) {
    for (const std::string& text : {error_of<ValueError>([&] { save(params, name); }),
                                    error_of<ValueError>([&] { load(params, name); })}) {
      CHECK(contains(text, ".safetensors or .npz"));
    }
  }
}

TEST_CASE("a model that is not built is not saved in part") {
  const Directory directory;
  Params<double> params;
  static_cast<void>((params.scope() / "a").reserve("kernel"));
  const std::string text =
      error_of<ParameterError>([&] { save(params, directory / "w.safetensors"); });
  CHECK(contains(text, "w.safetensors: not built yet: 'a/kernel'"));
  CHECK(directory.files().empty());
}
