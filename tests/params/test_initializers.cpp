#include "support/arrays.hpp"
#include "support/catch.hpp"

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
  for (const Row& row : {Row{"glorot_uniform", glorot, 0.0765466}, Row{"glorot_normal", glorot, cut * glorot},
                         Row{"he_uniform", he, std::sqrt(6.0 / 512)}, Row{"he_normal", he, cut * he},
                         Row{"lecun_uniform", lecun, std::sqrt(3.0 / 512)}, Row{"lecun_normal", lecun, cut * lecun},
                         Row{"random_uniform", 0.05 / std::sqrt(3.0), 0.05}, Row{"uniform", 0.05 / std::sqrt(3.0), 0.05},
                         Row{"random_normal", 0.05, 0.3}, Row{"normal", 0.05, 0.3},
                         Row{"truncated_normal", 0.05 * 0.87962566103423978, 0.1}}) {
    INFO(row.name);
    const Moments m = moments(row.name, shape, fans);
    CHECK(std::abs(m.mean) < 0.01 * row.stddev);
    CHECK(m.stddev == Approx(row.stddev).epsilon(0.01));
    CHECK(m.largest <= row.limit * (1 + 1e-6));
    CHECK(m.largest >= row.limit * 0.7);
  }
  CHECK(moments("zeros", {3}, {}).largest == 0);
  CHECK(moments("ones", {3}, {}).mean == 1);
  CHECK(moments(initializers::constant(2.5), {3}, {}).mean == 2.5);
}

TEST_CASE("fans come from what is contracted and what is made") {
  // Keras's example: D 512, 8 heads of 64: limit 0.0765 for q, k, v and the output, not 0.0128.
  Params<float> params({.seed = 1});
  const MultiHeadAttention<float> mha(params.scope() / "mha", {.num_heads = 8, .key_dim = 64});
  mha.build({1, 2, 512}, {1, 2, 512});
  for (const char* name : {"mha/query/kernel", "mha/attention_output/kernel"}) {
    float most = 0;
    for (const float v : params.at(name).value()) most = std::max(most, std::abs(v));
    CHECK(most == Approx(0.076547).epsilon(1e-3));
  }
}

TEST_CASE("bad initializers") {
  CHECK(contains(error_of<ValueError>([] { Initializer("glorot"); }), "glorot_uniform"));
  CHECK_THROWS_AS(initializers::variance_scaling(0, initializers::FanMode::in,
                                                 initializers::Distribution::uniform),
                  ValueError);
  CHECK_THROWS_AS(initializers::random_uniform(1, 0), ValueError);
  const Initializer wrong(Initializer::Function(
      [](const Shape&, Fans, RandomStream&) { return Array<double>(Shape{1}, 0.0); }));
  Params<float> params;
  const auto w = params.scope().reserve("w");
  CHECK_THROWS_AS(w.build({2, 2}, wrong, {}), ShapeError);
  CHECK_FALSE(w.built());
}
