#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

struct Moments {
  double mean, stddev, largest;
};
Moments moments(const Initializer& init, const Shape& shape, Fans fans) {
  RandomStream stream(1, 2);
  const Array<double> a = init(shape, fans, stream);
  double sum = 0, squares = 0, most = 0;
  for (const double v : a) {
    sum += v;
    squares += v * v;
    most = std::max(most, std::abs(v));
  }
  const auto n = static_cast<double>(a.size());
  return {sum / n, std::sqrt(squares / n - sum * sum / n / n), most};
}

}  // namespace

TEST_CASE("the initializers have the spread that their formulas say") {
  const Shape shape{512, 8, 64};
  const Fans fans{512, 512};
  struct Row {
    const char* name;
    double stddev, limit;
  };
  const double glorot = std::sqrt(2.0 / 1024);
  const double he = std::sqrt(2.0 / 512);
  const double lecun = std::sqrt(1.0 / 512);
  const double cut = 2 / 0.87962566103423978;
  for (const Row& row :
       {Row{"glorot_uniform", glorot, 0.0765466}, Row{"glorot_normal", glorot, cut * glorot},
        Row{"he_uniform", he, std::sqrt(6.0 / 512)}, Row{"he_normal", he, cut * he},
        Row{"lecun_uniform", lecun, std::sqrt(3.0 / 512)}, Row{"lecun_normal", lecun, cut * lecun},
        Row{"random_uniform", 0.05 / std::sqrt(3.0), 0.05},
        Row{"uniform", 0.05 / std::sqrt(3.0), 0.05}, Row{"random_normal", 0.05, 0.3},
        Row{"normal", 0.05, 0.3}, Row{"truncated_normal", 0.05 * 0.87962566103423978, 0.1}}) {
    INFO(row.name);
    const Moments m = moments(row.name, shape, fans);
    CHECK(std::abs(m.mean) < 0.01 * row.stddev);
    CHECK(m.stddev == Approx(row.stddev).epsilon(0.01));
    CHECK(m.largest <= row.limit * (1 + 1e-6));
    CHECK(m.largest >= row.limit * 0.7);
  }
  CHECK(moments("zeros", {3}, {}).largest == 0);
  CHECK(moments("ones", {3}, {}).mean == 1);
  CHECK(moments(initializers::Constant{.value = 2.5}, {3}, {}).mean == 2.5);
  CHECK_THROWS_AS(Initializer(initializers::Constant{.value = std::nan("")}), ValueError);
}

TEST_CASE("fans come from what is contracted and what is made") {
  // Keras's example: D 512, 8 heads of 64: limit 0.0765 for q, k, v and the output, not 0.0128.
  Params<float> params({.seed = 1});
  const MultiHeadAttention<float> mha(params.scope() / "mha", {.num_heads = 8, .key_dim = 64});
  mha.build({1, 2, 512}, {1, 2, 512});
  for (const char* name : {"mha/query/kernel", "mha/attention_output/kernel"}) {
    float most = 0;
    const Array<float> value = params.at(name).value();
    for (const float v : value) most = std::max(most, std::abs(v));
    CHECK(most == Approx(0.076547).epsilon(1e-3));
  }
}

TEST_CASE("the initializers of Keras's names have Keras's statistics") {
  const Json cases = golden("initializers");
  CHECK(cases.size() >= 60);
  for (const Json& c : cases) {
    INFO(c["name"].get<std::string>());
    const auto extents = c["shape"].get<std::vector<std::size_t>>();
    const Initializer init = c["by_name"].get<std::string>();
    // The golden draws are bare calls, which count fans as of a convolution.
    const Moments m = moments(initializers::WithConvolutionFans{init},
                              Shape(extents.begin(), extents.end()), {1, 1});
    const double stddev = c["stddev"].get<double>();
    CHECK(std::abs(m.mean - c["mean"].get<double>()) <= 0.02 * stddev);
    CHECK(m.stddev == Approx(stddev).epsilon(0.02));
    // Limits of uniform and truncated draws nearly coincide; of the others, only roughly.
    const auto name = c["by_name"].get<std::string>();
    const bool limited = name.find("rthogonal") == std::string::npos &&
                         name.rfind("normal", 0) != 0 && name != "random_normal" &&
                         name != "RandomNormal";
    CHECK(m.largest == Approx(c["largest"].get<double>()).epsilon(limited ? 1e-3 : 0.25));
  }
}

TEST_CASE("convolution fans are counted from the shape alone") {
  const auto with_convolution_fans = [](const Initializer& i) -> Initializer {
    return initializers::WithConvolutionFans{.initializer = i};
  };
  const auto fans_of = [&](const Shape& shape) {
    Fans seen;
    const Initializer spy = [&](const Shape& s, Fans fans, RandomStream&) {
      seen = fans;
      return detail::full<double>(s, 0.0);
    };
    RandomStream stream(1, 2);
    static_cast<void>(with_convolution_fans(spy)(shape, {7, 7}, stream));
    return std::pair(seen.in, seen.out);
  };
  CHECK(fans_of({}) == std::pair(1.0, 1.0));
  CHECK(fans_of({5}) == std::pair(5.0, 5.0));
  CHECK(fans_of({5, 6}) == std::pair(5.0, 6.0));
  CHECK(fans_of({512, 8, 64}) == std::pair(4096.0, 32768.0));
  CHECK(fans_of({3, 0, 2}) == std::pair(0.0, 6.0));
  // The limits of the specification, for a kernel of attention.
  CHECK(moments("glorot_uniform", {512, 8, 64}, {512, 512}).largest ==
        Approx(0.076547).epsilon(1e-3));
  CHECK(moments(with_convolution_fans("glorot_uniform"), {512, 8, 64}, {512, 512}).largest ==
        Approx(0.012758).epsilon(1e-3));
  CHECK(moments(with_convolution_fans("glorot_uniform"), {8, 64, 512}, {512, 512}).largest ==
        Approx(0.012758 * std::sqrt(4096.0 + 32768.0) / std::sqrt(512.0 + 4096.0)).epsilon(1e-3));
}

TEST_CASE("identity, given values, and functions of one's own") {
  RandomStream stream(1, 2);
  const auto make = [&](const Initializer& init, const Shape& shape) {
    return init(shape, {}, stream);
  };
  CHECK((make("identity", {2, 3}) == array<double>({2, 3}, {1, 0, 0, 0, 1, 0})));
  CHECK((make(initializers::Identity{.gain = -2}, {3, 2}) ==
         array<double>({3, 2}, {-2, 0, 0, -2, 0, 0})));
  CHECK(make("identity", {0, 3}).size() == 0);
  const Array<double> given = random_array<double>({2, 2}, 1);
  CHECK((make(initializers::FromArray{given}, {2, 2}) == given));
  CHECK_THROWS_AS(make(initializers::FromArray{given}, {4}), ShapeError);
  CHECK(make("constant", {2})(0) == 0.0);
  // A lambda stands in an option as a name does.
  Params<double> params;
  const Dense<double> dense(
      params.scope() / "d",
      {.units = 2, .kernel_initializer = [](const Shape& s, Fans f, RandomStream&) {
         return detail::full<double>(s, f.in);
       }});
  dense.build({1, 3});
  CHECK(dense.kernel().value()(1, 1) == 3.0);
}

TEST_CASE("variance scaling by mode and distribution") {
  using initializers::VarianceScaling;
  const Fans fans{100, 300};
  const Shape shape{100, 300};
  const auto scaled = [&](const VarianceScaling& options) { return moments(options, shape, fans); };
  CHECK(scaled({.scale = 2, .mode = "fan_out", .distribution = "uniform"}).stddev ==
        Approx(std::sqrt(2.0 / 300)).epsilon(0.02));
  CHECK(scaled({.mode = "fan_avg", .distribution = "untruncated_normal"}).largest > 0.25);
  CHECK(scaled({.mode = "fan_avg", .distribution = "normal"}).largest <
        2 * std::sqrt(1.0 / 200) / 0.87962566103423978);
  CHECK(scaled({}).stddev == Approx(0.1).epsilon(0.02));
  // A fan below 1 counts as 1.
  CHECK(moments(VarianceScaling{.distribution = "uniform"}, shape, {0, 0}).stddev ==
        Approx(1.0).epsilon(0.02));
}

TEST_CASE("bad initializers") {
  CHECK(contains(error_of<ValueError>([] { Initializer("glorot"); }), "glorot_uniform"));
  CHECK_THROWS_AS(Initializer(initializers::VarianceScaling{.scale = 0, .distribution = "uniform"}),
                  ValueError);
  CHECK_THROWS_AS(Initializer(initializers::RandomUniform{.minval = 1, .maxval = 0}), ValueError);
  CHECK_THROWS_AS(Initializer(initializers::RandomUniform{.minval = 0, .maxval = HUGE_VAL}),
                  ValueError);
  CHECK_THROWS_AS(Initializer(initializers::RandomNormal{.mean = std::nan(""), .stddev = 1}),
                  ValueError);
  CHECK(
      contains(error_of<ValueError>([] { Initializer(initializers::RandomNormal{.stddev = -1}); }),
               "stddev is -1"));
  CHECK_THROWS_AS(Initializer(initializers::TruncatedNormal{.mean = 0, .stddev = -1}), ValueError);
  CHECK_THROWS_AS(Initializer(initializers::Identity{.gain = std::nan("")}), ValueError);
  CHECK(contains(
      error_of<ValueError>([] { Initializer(initializers::VarianceScaling{.scale = -2}); }),
      "scale is -2"));
  CHECK_THROWS_AS(Initializer(initializers::VarianceScaling{.scale = HUGE_VAL}), ValueError);
  CHECK(contains(error_of<ValueError>([] {
                   Initializer(initializers::VarianceScaling{
                       .scale = 1, .mode = "fan", .distribution = "uniform"});
                 }),
                 "fan_in fan_out fan_avg"));
  CHECK(contains(error_of<ValueError>([] {
                   Initializer(initializers::VarianceScaling{
                       .scale = 1, .mode = "fan_in", .distribution = "gauss"});
                 }),
                 "distribution is 'gauss'"));
  CHECK_THROWS_AS(Initializer(Initializer::Function()), ValueError);
  CHECK(contains(error_of<ShapeError>([] {
                   RandomStream stream(1, 2);
                   static_cast<void>(Initializer(initializers::Identity{})({2, 2, 2}, {}, stream));
                 }),
                 "(2, 2, 2), expected rank 2"));
  const Initializer wrong(Initializer::Function(
      [](const Shape&, Fans, RandomStream&) { return Array<double>(Shape{1}, 0.0); }));
  Params<float> params;
  const auto w = params.scope().reserve("w");
  CHECK_THROWS_AS(w.build({2, 2}, wrong, {}), ShapeError);
  CHECK_FALSE(w.built());
}
