#include <xtape/initializers.hpp>

#include "base/message.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace xtape {
namespace {

using initializers::Distribution;
using initializers::FanMode;

template <class Draw>
Array<double> draw(const Shape& shape, Draw next) {
  Array<double> values(shape);
  for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = next();
  return values;
}

double truncated(RandomStream& stream) {
  double z = stream.normal();
  while (std::abs(z) > 2) z = stream.normal();
  return z;
}

}  // namespace

namespace initializers {

Initializer constant(double value) {
  return Initializer::Function([value](const Shape& shape, Fans, RandomStream&) {
    return detail::full<double>(shape, value);
  });
}

Initializer random_uniform(double low, double high) {
  if (!(low <= high)) {
    detail::fail<ValueError>("random_uniform", "limits out of order: low is ", low, ", high is ",
                             high, ", expected low <= high");
  }
  return Initializer::Function([=](const Shape& shape, Fans, RandomStream& stream) {
    return draw(shape, [&] { return low + (high - low) * stream.uniform(); });
  });
}

Initializer random_normal(double mean, double stddev) {
  return Initializer::Function([=](const Shape& shape, Fans, RandomStream& stream) {
    return draw(shape, [&] { return mean + stddev * stream.normal(); });
  });
}

Initializer truncated_normal(double mean, double stddev) {
  return Initializer::Function([=](const Shape& shape, Fans, RandomStream& stream) {
    return draw(shape, [&] { return mean + stddev * truncated(stream); });
  });
}

Initializer variance_scaling(double scale, FanMode mode, Distribution distribution) {
  if (!(scale > 0)) {
    detail::fail<ValueError>("variance_scaling", "scale out of range: scale is ", scale,
                             ", expected a positive number");
  }
  return Initializer::Function([=](const Shape& shape, Fans fans, RandomStream& stream) {
    const double fan = mode == FanMode::in    ? fans.in
                       : mode == FanMode::out ? fans.out
                                              : (fans.in + fans.out) / 2;
    const double variance = scale / std::max(1.0, fan);
    switch (distribution) {
      case Distribution::uniform: {
        const double limit = std::sqrt(3 * variance);
        return draw(shape, [&] { return limit * (2 * stream.uniform() - 1); });
      }
      case Distribution::untruncated_normal:
        return draw(shape, [&] { return std::sqrt(variance) * stream.normal(); });
      case Distribution::truncated_normal: break;
    }
    // The standard deviation of a normal truncated at two is 0.8796...
    const double stddev = std::sqrt(variance) / 0.87962566103423978;
    return draw(shape, [&] { return stddev * truncated(stream); });
  });
}

}  // namespace initializers

Initializer::Initializer(const char* name) : Initializer(std::string(name)) {}

Initializer::Initializer(const std::string& name) {
  using namespace initializers;
  const std::pair<const char*, Initializer> known[] = {
      {"zeros", constant(0)},
      {"ones", constant(1)},
      {"random_uniform", random_uniform()},
      {"uniform", random_uniform()},
      {"random_normal", random_normal()},
      {"normal", random_normal()},
      {"truncated_normal", truncated_normal()},
      {"glorot_uniform", variance_scaling(1, FanMode::average, Distribution::uniform)},
      {"glorot_normal", variance_scaling(1, FanMode::average, Distribution::truncated_normal)},
      {"he_uniform", variance_scaling(2, FanMode::in, Distribution::uniform)},
      {"he_normal", variance_scaling(2, FanMode::in, Distribution::truncated_normal)},
      {"lecun_uniform", variance_scaling(1, FanMode::in, Distribution::uniform)},
      {"lecun_normal", variance_scaling(1, FanMode::in, Distribution::truncated_normal)},
  };
  std::string names;
  for (const auto& [label, initializer] : known) {
    if (name == label) {
      function_ = initializer.function_;
      return;
    }
    names += std::string(" ") + label;
  }
  detail::fail<ValueError>("initializer", "unknown name: initializer is '", name,
                           "', expected one of:", names, "; or pass a function");
}

Array<double> Initializer::operator()(const Shape& shape, Fans fans, RandomStream& stream) const {
  Array<double> values = function_(shape, fans, stream);
  if (values.shape() != shape) {
    detail::fail<ShapeError>("initializer", "wrong shape returned: values are ",
                             to_string(values.shape()), ", expected ", to_string(shape));
  }
  return values;
}

}  // namespace xtape
