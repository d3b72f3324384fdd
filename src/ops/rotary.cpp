#include <xtape/ops/rotary.hpp>

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/record.hpp>

#include <algorithm>
#include <cmath>

namespace xtape {
namespace {

using detail::Index;

struct RotaryPlan {
  detail::AxisSplit split;  // at the positions
  Index width;              // of the last axis
  RotaryOptions options;
  double sign = 1;  // -1 turns back
};

template <class T> void turn(const RotaryPlan& p, const T* x, T* y) {
  const Index half = p.width / 2;
  std::vector<double> cosine(static_cast<std::size_t>(p.split.length * half));
  std::vector<double> sine(cosine.size());
  for (Index t = 0; t < p.split.length; ++t) {
    for (Index k = 0; k < half; ++k) {
      const double angle = (static_cast<double>(t) + static_cast<double>(p.options.start)) *
                           std::pow(p.options.max_wavelength,
                                    -2.0 * static_cast<double>(k) / static_cast<double>(p.width));
      cosine[static_cast<std::size_t>(t * half + k)] = std::cos(angle);
      sine[static_cast<std::size_t>(t * half + k)] = p.sign * std::sin(angle);
    }
  }
  const Index first = p.options.interleaved ? 2 : 1;      // step between pairs
  const Index second = p.options.interleaved ? 1 : half;  // step inside a pair
  const Index row = p.split.inner;                        // elements of one position
  const Index grain = std::max<Index>(1, detail::kElementGrain / std::max<Index>(1, row));
  detail::parallel_for(p.split.outer * p.split.length, grain, [&](Index begin, Index end) {
    const T* from = x + begin * row;
    T* to = y + begin * row;
    for (Index r = begin; r < end; ++r) {
      const double* c = cosine.data() + r % p.split.length * half;
      const double* s = sine.data() + r % p.split.length * half;
      for (const T* row_end = from + row; from != row_end; from += p.width, to += p.width) {
        for (Index k = 0; k < half; ++k) {
          const auto u = static_cast<double>(from[k * first]);
          const auto v = static_cast<double>(from[k * first + second]);
          to[k * first] = static_cast<T>(u * c[k] - v * s[k]);
          to[k * first + second] = static_cast<T>(v * c[k] + u * s[k]);
        }
      }
    }
  });
}

template <class T> Var<T> turned(const Var<T>& x, const RotaryPlan& p) {
  Result<T> y(x.shape());
  if (x.size() > 0) turn(p, x.data(), y.data());
  return record("rotary", std::move(y), wrt(x, [p](const Var<T>& g) {
                  RotaryPlan back = p;
                  back.sign = -p.sign;
                  return turned(g, back);
                }));
}

}  // namespace

template <class T> Var<T> rotary(const Var<T>& x, int axis, RotaryOptions options) {
  const std::size_t at = detail::normalize_axis("rotary", axis, x.rank());
  if (at + 1 == x.rank() || x.shape().back() % 2 != 0) {
    detail::fail<ShapeError>("rotary", "width is not even: operand is ", to_string(x.shape()),
                             ", expected an even last axis, other than the position axis ", axis);
  }
  if (!(options.max_wavelength > 0)) {
    detail::fail<ValueError>("rotary", "max_wavelength out of range: it is ",
                             options.max_wavelength, ", expected a positive number");
  }
  const Index width = detail::extent(x.shape(), x.rank() - 1);
  return turned(x, RotaryPlan{detail::AxisSplit(x.shape(), at), width, options});
}
XTAPE_FOR_REALS(rotary);

}  // namespace xtape
