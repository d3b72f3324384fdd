#include <xtape/params/initializers.hpp>

#include "base/check.hpp"
#include "params/look_up.hpp"
#include "params/orthogonal.hpp"

#include <algorithm>
#include <utility>

namespace xtape {

using detail::check_number;
using detail::fail;
using detail::look_up;

namespace {

/// Returns a function that draws element by element: next(stream).
template <class Next> Initializer::Function each(Next next) {
  return [next](const Shape& shape, Fans, RandomStream& stream) {
    Array<double> values(shape);
    for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = next(stream);
    return values;
  };
}

Initializer::Function all(double value) {
  return [value](const Shape& shape, Fans, RandomStream&) {
    return detail::full<double>(shape, value);
  };
}

double truncated(RandomStream& stream) {
  double z = stream.normal();
  while (std::abs(z) > 2) z = stream.normal();
  return z;
}

void check_normal(const char* name, double mean, double stddev) {
  check_number(name, "mean", mean);
  check_number(name, "stddev", stddev);
  detail::check_option(stddev >= 0, name, "stddev", stddev, "0 or more");
}

Initializer::Function scaled(const initializers::VarianceScaling& o) {
  const char* op = "variance_scaling";
  detail::check_positive(op, "scale", o.scale);
  look_up<bool>(op, "mode", o.mode, {{"fan_in fan_out fan_avg", true}});
  look_up<bool>(op, "distribution", o.distribution,
                {{"truncated_normal normal untruncated_normal uniform", true}});
  return [o](const Shape& shape, Fans fans, RandomStream& stream) {
    const double fan = o.mode == "fan_in"    ? fans.in
                       : o.mode == "fan_out" ? fans.out
                                             : (fans.in + fans.out) / 2;
    const double variance = o.scale / std::max(1.0, fan);
    const double stddev = std::sqrt(variance);
    const double limit = std::sqrt(3 * variance);
    const auto draw = [&](auto next) { return each(next)(shape, fans, stream); };
    if (o.distribution == "uniform") {
      return draw([=](RandomStream& s) { return limit * (2 * s.uniform() - 1); });
    }
    if (o.distribution == "untruncated_normal") {
      return draw([=](RandomStream& s) { return stddev * s.normal(); });
    }
    // The standard deviation of a normal truncated at two is 0.8796...
    return draw(
        [wide = stddev / 0.87962566103423978](RandomStream& s) { return wide * truncated(s); });
  };
}

}  // namespace

Initializer::Initializer(detail::Description description, Function function)
    : description_(std::move(description)), function_(std::move(function)) {
  if (!function_) {
    fail<ValueError>("initializer",
                     "empty function, expected something to call; pass a name or a "
                     "function (shape, fans, stream) -> Array<double>");
  }
}

Initializer::Initializer(initializers::Zeros) : Initializer({"Zeros", {}}, all(0)) {}

Initializer::Initializer(initializers::Ones) : Initializer({"Ones", {}}, all(1)) {}

Initializer::Initializer(initializers::Constant options)
    : Initializer({"Constant", {{"value", options.value}}}, all(options.value)) {
  check_number("constant", "value", options.value);
}

Initializer::Initializer(initializers::FromArray options)
    : Initializer([values = std::move(options.values)](const Shape&, Fans, RandomStream&) {
        return values;
      }) {}

Initializer::Initializer(initializers::Identity options)
    : Initializer({"Identity", {{"gain", options.gain}}},
                  [gain = options.gain](const Shape& shape, Fans, RandomStream&) {
                    if (shape.size() != 2) {
                      fail<ShapeError>("identity", "not a matrix: parameter is ", to_string(shape),
                                       ", expected rank 2; use another initializer");
                    }
                    Array<double> values = detail::full<double>(shape, 0.0);
                    for (std::size_t i = 0; i < std::min(shape[0], shape[1]); ++i) {
                      values.data()[i * (shape[1] + 1)] = gain;
                    }
                    return values;
                  }) {
  check_number("identity", "gain", options.gain);
}

Initializer::Initializer(initializers::RandomUniform options)
    : Initializer({"RandomUniform", {{"minval", options.minval}, {"maxval", options.maxval}}},
                  each([low = options.minval, high = options.maxval](RandomStream& stream) {
                    return low + (high - low) * stream.uniform();
                  })) {
  check_number("random_uniform", "minval", options.minval);
  check_number("random_uniform", "maxval", options.maxval);
  if (options.minval > options.maxval) {
    fail<ValueError>("random_uniform", "limits out of order: minval is ", options.minval,
                     ", maxval is ", options.maxval, ", expected minval <= maxval");
  }
}

Initializer::Initializer(initializers::RandomNormal options)
    : Initializer({"RandomNormal", {{"mean", options.mean}, {"stddev", options.stddev}}},
                  each([options](RandomStream& stream) {
                    return options.mean + options.stddev * stream.normal();
                  })) {
  check_normal("random_normal", options.mean, options.stddev);
}

Initializer::Initializer(initializers::TruncatedNormal options)
    : Initializer({"TruncatedNormal", {{"mean", options.mean}, {"stddev", options.stddev}}},
                  each([options](RandomStream& stream) {
                    return options.mean + options.stddev * truncated(stream);
                  })) {
  check_normal("truncated_normal", options.mean, options.stddev);
}

Initializer::Initializer(const initializers::VarianceScaling& options)
    : Initializer({"VarianceScaling",
                   {{"scale", options.scale},
                    {"mode", options.mode},
                    {"distribution", options.distribution == "normal" ? "truncated_normal"
                                                                      : options.distribution}}},
                  scaled(options)) {}

Initializer::Initializer(const char* class_name, const initializers::VarianceScaling& options)
    : Initializer({class_name, {}}, scaled(options)) {}

#define XTAPE_SCALED(Name, ...) \
  Initializer::Initializer(initializers::Name) : Initializer(#Name, {__VA_ARGS__}) {}
XTAPE_SCALED(GlorotUniform, 1, "fan_avg", "uniform")
XTAPE_SCALED(GlorotNormal, 1, "fan_avg", "truncated_normal")
XTAPE_SCALED(HeUniform, 2, "fan_in", "uniform")
XTAPE_SCALED(HeNormal, 2, "fan_in", "truncated_normal")
XTAPE_SCALED(LecunUniform, 1, "fan_in", "uniform")
XTAPE_SCALED(LecunNormal, 1, "fan_in", "truncated_normal")

Initializer::Initializer(initializers::Orthogonal options)
    : Initializer({"Orthogonal", {{"gain", options.gain}}},
                  [gain = options.gain](const Shape& shape, Fans, RandomStream& stream) {
                    if (shape.size() < 2) {
                      fail<ShapeError>("orthogonal", "too few axes: parameter is ",
                                       to_string(shape),
                                       ", expected rank 2 or more; use another initializer");
                    }
                    return detail::orthogonal_array(shape, gain, stream);
                  }) {
  check_number("orthogonal", "gain", options.gain);
}

Initializer::Initializer(initializers::WithConvolutionFans options)
    : description_(options.initializer.description_),
      function_([draw = std::move(options.initializer.function_)](const Shape& shape, Fans,
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
        return draw(shape, fans, stream);
      }) {
  if (description_.class_name.empty()) return;
  description_.parameters.emplace_back("convolution_fans", true);
}

Initializer::Initializer(const std::string& name) {
  using namespace initializers;
  using detail::made;
  *this = look_up<Initializer (*)()>(
      "initializer", "initializer", name,
      {{"zeros zero Zeros", made<Initializer, Zeros>},
       {"ones one Ones", made<Initializer, Ones>},
       {"constant Constant", made<Initializer, Constant>},
       {"identity Identity IdentityInitializer", made<Initializer, Identity>},
       {"random_uniform uniform RandomUniform", made<Initializer, RandomUniform>},
       {"random_normal normal RandomNormal", made<Initializer, RandomNormal>},
       {"truncated_normal TruncatedNormal", made<Initializer, TruncatedNormal>},
       {"variance_scaling VarianceScaling", made<Initializer, VarianceScaling>},
       {"glorot_uniform GlorotUniform", made<Initializer, GlorotUniform>},
       {"glorot_normal GlorotNormal", made<Initializer, GlorotNormal>},
       {"he_uniform HeUniform", made<Initializer, HeUniform>},
       {"he_normal HeNormal", made<Initializer, HeNormal>},
       {"lecun_uniform LecunUniform", made<Initializer, LecunUniform>},
       {"lecun_normal LecunNormal", made<Initializer, LecunNormal>},
       {"orthogonal Orthogonal OrthogonalInitializer", made<Initializer, Orthogonal>}},
      "or pass a function")();
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
