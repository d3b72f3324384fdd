// Penalties, constraints and a masked softmax, each in a line; and what memory a training takes.
#include <cmath>
#include <cstdio>
#include <xtape/xtape.hpp>

namespace xp = xtape;

int main() {
  xp::Params<float> params({.seed = 5});
  const xp::Dense<float> first(
      params.scope() / "first",
      {.units = 8,
       .activation = "tanh",
       .kernel_regularizer = xp::regularizers::L1L2{.l1 = 1e-5, .l2 = 1e-4},
       .kernel_constraint = xp::constraints::MaxNorm{.max_value = 2}});
  const xp::Dense<float> second(
      params.scope() / "second",
      {.units = 8,
       .kernel_regularizer = xp::regularizers::OrthogonalRegularizer{.factor = 1e-3},
       .kernel_constraint = xp::constraints::MinMaxNorm{.min_value = 0.5, .max_value = 2}});
  const xp::Dense<float> third(
      params.scope() / "third",
      {.units = 3, .use_bias = false, .kernel_constraint = xp::constraints::UnitNorm{}});
  const xp::Softmax<float> softmax;

  // The largest of the numbers that exist; the third of each row does not.
  xp::Array<float> x(xp::Shape{16, 3});
  xp::Array<std::int64_t> largest(xp::Shape{16});
  xp::Array<bool> exists(xp::Shape{1, 3}, true);
  exists(0, 2) = false;
  xp::RandomStream random(1, 0);
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 3; ++j) x(i, j) = static_cast<float>(random.uniform());
    largest(i) = x(i, 0) > x(i, 1) ? 0 : 1;
  }
  xp::Adam<float> adam({.learning_rate = 0.02});
  float loss = 0;
  float masked = 1;
  xp::MemoryStats before;
  for (int step = 0; step < 300; ++step) {
    if (step == 10) before = xp::memory_stats();
    xp::Tape<float> tape;
    const auto p = softmax(third(second(first(tape.input(x)))), exists);
    const auto error = xp::sparse_categorical_crossentropy(p, largest);
    adam.step(params, tape.backward(error + tape.penalties(params)));
    loss = error.item();
    masked = p.value()(0, 2);
  }
  const xp::MemoryStats after = xp::memory_stats();
  float norm = 0;
  const xp::Array<float> kernel = params.at("third/kernel").value();
  for (std::size_t i = 0; i < 8; ++i) norm += kernel(i, 0) * kernel(i, 0);
  std::printf("loss %.4f, masked probability %.1f, norm of a column %.6f\n", loss, masked,
              std::sqrt(norm));
  std::printf("%lld KiB at most, %lld asked of the system after the first steps\n",
              static_cast<long long>(after.peak / 1024),
              static_cast<long long>(after.system_allocations - before.system_allocations));
  return loss < 0.4F && masked == 0 && std::abs(norm - 1) < 1e-4F ? 0 : 1;
}
