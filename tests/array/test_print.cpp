#include "support/catch.hpp"
#include "support/golden.hpp"

#include <cstdlib>
#include <sstream>

using namespace xtape;

namespace {

template <class T> std::string printed(const test::Json& c) {
  const auto extents = c.at("shape").get<std::vector<std::size_t>>();
  Array<T> a(Shape(extents.begin(), extents.end()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto text = c.at("data")[i].get<std::string>();
    if constexpr (std::is_floating_point_v<T>) {
      a.data()[i] = static_cast<T>(std::strtod(text.c_str(), nullptr));
    } else {
      a.data()[i] = static_cast<T>(std::strtoll(text.c_str(), nullptr, 10));
    }
  }
  std::ostringstream out;
  out << a;
  CHECK(out.str() == to_string(a));
  return out.str();
}

}  // namespace

TEST_CASE("arrays are printed as NumPy prints them", "[golden]") {
  std::size_t count = 0;
  for (const test::Json& c : test::golden("arrays_as_text")) {
    const auto dtype = c.at("dtype").get<std::string>();
    const auto expected = c.at("text").get<std::string>();
    INFO(dtype << " of shape " << c.at("shape"));
    if (dtype == "float32") CHECK(printed<float>(c) == expected);
    if (dtype == "float64") CHECK(printed<double>(c) == expected);
    if (dtype == "bool") CHECK(printed<bool>(c) == expected);
    if (dtype == "int64") CHECK(printed<std::int64_t>(c) == expected);
    if (dtype == "int32") CHECK(printed<int>(c) == expected);
    if (dtype == "uint8") CHECK(printed<std::uint8_t>(c) == expected);
    ++count;
  }
  CHECK(count == 108);
}

TEST_CASE("a Var is printed as its array, and an empty one without a value") {
  std::ostringstream out;
  out << Var<float>(Array<float>{1, 2.5F}) << ' ' << Var<double>(3.0) << ' ' << Var<float>();
  CHECK(out.str() == "[1.  2.5] 3.0 (no value)");
}
