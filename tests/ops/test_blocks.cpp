// Arrays large enough to be shared out among threads: the same bits with any number of them, and what
// plain loops say.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <cmath>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::size_t kRows = 601;
constexpr std::size_t kWidth = 70;

/// The arrays that `run` returns with one thread, after a look that two, three and four give the same.
template <class Run> std::vector<Array<double>> same_for_all_threads(const Run& run) {
  const std::size_t before = num_threads();
  set_num_threads(1);
  const std::vector<Array<double>> one = run();
  for (const std::size_t threads : {2U, 3U, 4U}) {
    INFO(threads << " threads");
    set_num_threads(threads);
    const std::vector<Array<double>> other = run();
    REQUIRE(other.size() == one.size());
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(other[i] == one[i]);
  }
  set_num_threads(before);
  return one;
}

}  // namespace

TEST_CASE("normalization of many rows", "[threads]") {
  const Array<double> x = random_array<double>({kRows, kWidth}, 1);
  const Array<double> g = random_array<double>({kRows, kWidth}, 2);
  const Array<double> gamma = random_array<double>({kWidth}, 3);
  const auto results = same_for_all_threads([&] {
    Tape<double> tape;
    const Var<double> rows = tape.watch(x);
    const Var<double> scale = tape.watch(gamma);
    const Var<double> shift = tape.watch(gamma);
    const Var<double> layer = layer_normalization(rows, std::optional(scale), std::optional(shift));
    const Var<double> rms = rms_normalization(rows, std::optional(shift), {-1}, 1e-3);
    const auto of_layer = tape.backward(sum(layer * g), {.retain = true});
    const auto of_rms = tape.backward(sum(rms * g));
    return std::vector{layer.value(),           rms.value(),
                       of_layer[rows].value(),  of_layer[scale].value(),
                       of_layer[shift].value(), of_rms[rows].value(),
                       of_rms[shift].value()};
  });
  double worst = 0;
  for (std::size_t i = 0; i < kWidth; ++i) {
    double gammas = 0, betas = 0, scales = 0;
    for (std::size_t r = 0; r < kRows; ++r) {
      double mean = 0, squares = 0, variance = 0;
      for (std::size_t k = 0; k < kWidth; ++k) mean += x(r, k) / kWidth;
      for (std::size_t k = 0; k < kWidth; ++k) squares += x(r, k) * x(r, k) / kWidth;
      for (std::size_t k = 0; k < kWidth; ++k) variance += std::pow(x(r, k) - mean, 2) / kWidth;
      gammas += g(r, i) * (x(r, i) - mean) / std::sqrt(variance + 1e-3);
      betas += g(r, i);
      scales += g(r, i) * x(r, i) / std::sqrt(squares + 1e-3);
    }
    worst = std::max({worst, std::abs(results[3](i) - gammas), std::abs(results[4](i) - betas),
                      std::abs(results[6](i) - scales)});
  }
  CHECK(worst < 1e-12);
}

TEST_CASE("rotary positions of many samples", "[threads]") {
  const std::size_t batch = 40, length = 9, heads = 4, depth = 16;
  const Array<double> x = random_array<double>({batch, length, heads, depth}, 4);
  const auto results = same_for_all_threads([&] {
    Tape<double> tape;
    const Var<double> watched = tape.watch(x);
    const Var<double> y = rotary(watched, 1, {.start = 3});
    const auto gradients = tape.backward(sum(y * x));
    return std::vector{y.value(), gradients[watched].value()};
  });
  const auto sample = [&](const Array<double>& all, std::size_t b) {
    Array<double> one(Shape{1, length, heads, depth});
    std::copy_n(all.data() + b * one.size(), one.size(), one.data());
    return one;
  };
  std::size_t different = 0;
  for (std::size_t b = 0; b < batch; ++b) {
    const Array<double> alone = rotary(Var<double>(sample(x, b)), 1, {.start = 3}).value();
    different += alone == sample(results[0], b) ? 0 : 1;
  }
  CHECK(different == 0);
}

TEST_CASE("rows of a large table", "[threads]") {
  const std::size_t vocabulary = 500;
  const Array<double> table = random_array<double>({vocabulary, kWidth}, 5);
  const Array<double> g = random_array<double>({kRows, kWidth}, 6);
  Array<std::int64_t> ids(Shape{kRows});
  for (std::size_t r = 0; r < kRows; ++r) ids(r) = static_cast<std::int64_t>(r * r % 97);
  const auto results = same_for_all_threads([&] {
    Tape<double> tape;
    const Var<double> watched = tape.watch(table);
    const Var<double> y = take(watched, ids, 0);
    const auto gradients = tape.backward(sum(y * g));
    return std::vector{y.value(), gradients[watched].value()};
  });
  Array<double> expected = xt::zeros<double>({vocabulary, kWidth});
  std::size_t different = 0;
  for (std::size_t r = 0; r < kRows; ++r) {
    const auto id = static_cast<std::size_t>(ids(r));
    for (std::size_t i = 0; i < kWidth; ++i) {
      different += results[0](r, i) == table(id, i) ? 0 : 1;
      expected(id, i) += g(r, i);
    }
  }
  CHECK(different == 0);
  CHECK(results[1] == expected);
}

TEST_CASE("the norm of many gradients, and averages of weights", "[threads]") {
  const auto results = same_for_all_threads([&] {
    Params<double> params({.seed = 7});
    const Dense<double> wide(params.scope() / "wide", {.units = 200});
    const Dense<double> narrow(params.scope() / "narrow", {.units = 300});
    const Var<double> x(random_array<double>({5, 90}, 8));
    Adam<double> adam({}, {.use_ema = true, .ema_momentum = 0.9});
    Tape<double> tape({.training = true});
    std::vector<Array<double>> seen;
    for (int step = 0; step < 3; ++step) {
      const auto gradients = tape.backward(sum(square(narrow(wide(tape.input(x))))));
      double squares = 0;
      for (const Parameter<double>& p : params.all()) {
        const Array<double> gradient = gradients[p].value();
        for (const double v : gradient) squares += v * v;
      }
      CHECK(std::abs(gradients.global_norm() / std::sqrt(squares) - 1) < 1e-14);
      seen.push_back(Array<double>(Shape{}, gradients.global_norm()));
      adam.step(params, gradients);
    }
    adam.finalize(params);  // the weights are their averages now
    for (const Parameter<double>& p : params.all()) seen.push_back(p.value());
    return seen;
  });
  CHECK(results.size() == 7);
}
