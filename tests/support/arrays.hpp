#pragma once
// Helpers of most tests: arrays with known contents, comparisons, and the text of an exception.

#include <xtape/xtape.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace xtape::test {

/// Uniform on [low, high), from a seed; the same values for float and double up to rounding.
template <class T>
Array<T> random_array(const Shape& shape, std::uint64_t seed, double low = -1, double high = 1) {
  RandomStream stream(seed, 77);
  Array<T> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = static_cast<T>(low + (high - low) * stream.uniform());
  }
  return a;
}

/// A row-major array with these elements.
template <class T> Array<T> array(const Shape& shape, std::initializer_list<T> values) {
  Array<T> a(shape);
  std::copy(values.begin(), values.end(), a.data());
  return a;
}

/// Largest |a - b|, NaN counting as infinite unless both are; infinite when shapes differ.
template <class A, class B> double difference(const Array<A>& a, const Array<B>& b) {
  if (a.shape() != b.shape()) return HUGE_VAL;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto u = static_cast<double>(a.data()[i]);
    const auto v = static_cast<double>(b.data()[i]);
    if (u == v || (std::isnan(u) && std::isnan(v))) continue;
    const double d = std::abs(u - v);
    worst = std::isnan(d) ? HUGE_VAL : std::max(worst, d);
  }
  return worst;
}

/// The message of the E that fn throws; "" when it throws nothing (other exceptions pass).
template <class E, class F> std::string error_of(F&& fn) {
  try {
    fn();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace xtape::test
