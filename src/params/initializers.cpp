#include <xtape/params/initializers.hpp>

#include "params/look_up.hpp"
#include "params/orthogonal.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace xtape {

using detail::fail;
using detail::look_up;

namespace {

using initializers::Distribution;
using initializers::FanMode;

Initializer described(const char* class_name, detail::Description::Parameters parameters,
                      Initializer initializer) {
  return detail::Describe::as(std::move(initializer), {class_name, std::move(parameters)});
}

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

void check_finite(const char* name, const char* option, double value) {
  if (!std::isfinite(value)) {
    fail<ValueError>(name, option, " out of range: ", option, " is ", value,
                     ", expected a finite number");
  }
}

void check_normal(const char* name, double mean, double stddev) {
  check_finite(name, "mean", mean);
  check_finite(name, "stddev", stddev);
  if (stddev < 0) {
    fail<ValueError>(name, "stddev out of range: stddev is ", stddev, ", expected 0 or more");
  }
}

}  // namespace

namespace initializers {

Initializer zeros() { return described("Zeros", {}, constant(0)); }
Initializer ones() { return described("Ones", {}, constant(1)); }

Initializer constant(double value) {
  return described("Constant", {{"value", value}},
                   [value](const Shape& shape, Fans, RandomStream&) {
                     return detail::full<double>(shape, value);
                   });
}

Initializer from_array(Array<double> values) {
  return [values = std::move(values)](const Shape&, Fans, RandomStream&) { return values; };
}

Initializer identity(double gain) {
  check_finite("identity", "gain", gain);
  return described("Identity", {{"gain", gain}}, [gain](const Shape& shape, Fans, RandomStream&) {
    if (shape.size() != 2) {
      fail<ShapeError>("identity", "not a matrix: parameter is ", to_string(shape),
                       ", expected rank 2; use another initializer");
    }
    Array<double> values = detail::full<double>(shape, 0.0);
    for (std::size_t i = 0; i < std::min(shape[0], shape[1]); ++i) {
      values.data()[i * (shape[1] + 1)] = gain;
    }
    return values;
  });
}

Initializer random_uniform(double low, double high) {
  check_finite("random_uniform", "low", low);
  check_finite("random_uniform", "high", high);
  if (low > high) {
    fail<ValueError>("random_uniform", "limits out of order: low is ", low, ", high is ", high,
                     ", expected low <= high");
  }
  return described("RandomUniform", {{"minval", low}, {"maxval", high}},
                   [=](const Shape& shape, Fans, RandomStream& stream) {
                     return draw(shape, [&] { return low + (high - low) * stream.uniform(); });
                   });
}

Initializer random_normal(double mean, double stddev) {
  check_normal("random_normal", mean, stddev);
  return described("RandomNormal", {{"mean", mean}, {"stddev", stddev}},
                   [=](const Shape& shape, Fans, RandomStream& stream) {
                     return draw(shape, [&] { return mean + stddev * stream.normal(); });
                   });
}

Initializer truncated_normal(double mean, double stddev) {
  check_normal("truncated_normal", mean, stddev);
  return described("TruncatedNormal", {{"mean", mean}, {"stddev", stddev}},
                   [=](const Shape& shape, Fans, RandomStream& stream) {
                     return draw(shape, [&] { return mean + stddev * truncated(stream); });
                   });
}

Initializer variance_scaling(double scale, FanMode mode, Distribution distribution) {
  if (!(scale > 0) || !std::isfinite(scale)) {
    fail<ValueError>("variance_scaling", "scale out of range: scale is ", scale,
                     ", expected a positive number");
  }
  const char* fan_name = mode == FanMode::in    ? "fan_in"
                         : mode == FanMode::out ? "fan_out"
                                                : "fan_avg";
  const char* kind = distribution == Distribution::uniform            ? "uniform"
                     : distribution == Distribution::truncated_normal ? "truncated_normal"
                                                                      : "untruncated_normal";
  return described("VarianceScaling",
                   {{"scale", scale}, {"mode", fan_name}, {"distribution", kind}},
                   [=](const Shape& shape, Fans fans, RandomStream& stream) {
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

Initializer variance_scaling(double scale, const std::string& mode,
                             const std::string& distribution) {
  const auto fan = look_up<FanMode>(
      "variance_scaling", "mode", mode,
      {{"fan_in", FanMode::in}, {"fan_out", FanMode::out}, {"fan_avg", FanMode::average}});
  const auto kind = look_up<Distribution>("variance_scaling", "distribution", distribution,
                                          {{"truncated_normal", Distribution::truncated_normal},
                                           {"normal", Distribution::truncated_normal},
                                           {"untruncated_normal", Distribution::untruncated_normal},
                                           {"uniform", Distribution::uniform}});
  return variance_scaling(scale, fan, kind);
}

Initializer glorot_uniform() {
  return described("GlorotUniform", {},
                   variance_scaling(1, FanMode::average, Distribution::uniform));
}
Initializer glorot_normal() {
  return described("GlorotNormal", {},
                   variance_scaling(1, FanMode::average, Distribution::truncated_normal));
}
Initializer he_uniform() {
  return described("HeUniform", {}, variance_scaling(2, FanMode::in, Distribution::uniform));
}
Initializer he_normal() {
  return described("HeNormal", {},
                   variance_scaling(2, FanMode::in, Distribution::truncated_normal));
}
Initializer lecun_uniform() {
  return described("LecunUniform", {}, variance_scaling(1, FanMode::in, Distribution::uniform));
}
Initializer lecun_normal() {
  return described("LecunNormal", {},
                   variance_scaling(1, FanMode::in, Distribution::truncated_normal));
}

Initializer orthogonal(double gain) {
  check_finite("orthogonal", "gain", gain);
  return described(
      "Orthogonal", {{"gain", gain}}, [gain](const Shape& shape, Fans, RandomStream& stream) {
        if (shape.size() < 2) {
          fail<ShapeError>("orthogonal", "too few axes: parameter is ", to_string(shape),
                           ", expected rank 2 or more; use another initializer");
        }
        return detail::orthogonal_array(shape, gain, stream);
      });
}

Initializer with_convolution_fans(Initializer initializer) {
  detail::Description description = initializer.description();
  if (!description.class_name.empty())
    description.parameters.emplace_back("convolution_fans", true);
  const auto draw_values = [initializer = std::move(initializer)](const Shape& shape, Fans,
                                                                  RandomStream& stream) {
    Fans fans;
    const std::size_t rank = shape.size();
    if (rank == 1) fans.in = fans.out = static_cast<double>(shape[0]);
    if (rank >= 2) {
      double receptive = 1;
      for (std::size_t i = 0; i + 2 < rank; ++i) receptive *= static_cast<double>(shape[i]);
      fans.in = receptive * static_cast<double>(shape[rank - 2]);
      fans.out = receptive * static_cast<double>(shape[rank - 1]);
    }
    return initializer(shape, fans, stream);
  };
  return detail::Describe::as(Initializer(draw_values), std::move(description));
}

}  // namespace initializers

Initializer::Initializer(const char* name) : Initializer(std::string(name)) {}

Initializer::Initializer(const std::string& name) {
  using namespace initializers;
  using Make = Initializer (*)();
  static const std::initializer_list<std::pair<const char*, Make>> known = {
      {"zeros", zeros},
      {"zero", zeros},
      {"Zeros", zeros},
      {"ones", ones},
      {"one", ones},
      {"Ones", ones},
      {"constant", [] { return constant(); }},
      {"Constant", [] { return constant(); }},
      {"identity", [] { return identity(); }},
      {"Identity", [] { return identity(); }},
      {"IdentityInitializer", [] { return identity(); }},
      {"random_uniform", [] { return random_uniform(); }},
      {"uniform", [] { return random_uniform(); }},
      {"RandomUniform", [] { return random_uniform(); }},
      {"random_normal", [] { return random_normal(); }},
      {"normal", [] { return random_normal(); }},
      {"RandomNormal", [] { return random_normal(); }},
      {"truncated_normal", [] { return truncated_normal(); }},
      {"TruncatedNormal", [] { return truncated_normal(); }},
      {"variance_scaling", [] { return variance_scaling(); }},
      {"VarianceScaling", [] { return variance_scaling(); }},
      {"glorot_uniform", glorot_uniform},
      {"GlorotUniform", glorot_uniform},
      {"glorot_normal", glorot_normal},
      {"GlorotNormal", glorot_normal},
      {"he_uniform", he_uniform},
      {"HeUniform", he_uniform},
      {"he_normal", he_normal},
      {"HeNormal", he_normal},
      {"lecun_uniform", lecun_uniform},
      {"LecunUniform", lecun_uniform},
      {"lecun_normal", lecun_normal},
      {"LecunNormal", lecun_normal},
      {"orthogonal", [] { return orthogonal(); }},
      {"Orthogonal", [] { return orthogonal(); }},
      {"OrthogonalInitializer", [] { return orthogonal(); }},
  };
  *this = look_up<Make>("initializer", "initializer", name, known, "or pass a function")();
}

void Initializer::check() const {
  if (!function_) {
    fail<ValueError>("initializer",
                     "empty function, expected something to call; pass a name or a "
                     "function (shape, fans, stream) -> Array<double>");
  }
}

Array<double> Initializer::operator()(const Shape& shape, Fans fans, RandomStream& stream) const {
  Array<double> values = function_(shape, fans, stream);
  if (values.shape() != shape) {
    fail<ShapeError>("initializer", "wrong shape returned: values are ", to_string(values.shape()),
                     ", expected ", to_string(shape));
  }
  return values;
}

}  // namespace xtape
