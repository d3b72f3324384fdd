// Initial values, penalties, constraints and a masked softmax, each in a line; and the memory of a training.
#include <cmath>
#include <cstdio>
#include <xtape/xtape.hpp>

namespace xp = xtape;

namespace {

// Prints the root mean square of 64 x 64 numbers from each initializer.
bool initial_values() {
  namespace init = xp::initializers;
  const xp::Array<double> given(xp::Shape{64, 64}, 0.5);
  const xp::Initializer all[] = {
      init::Zeros{},
      init::Ones{},
      init::Constant{.value = 2},
      init::FromArray{.values = given},
      init::Identity{.gain = 8},
      init::RandomUniform{.minval = -1, .maxval = 1},
      init::RandomNormal{.stddev = 0.1},
      init::TruncatedNormal{.mean = 1, .stddev = 0.1},
      init::VarianceScaling{.scale = 2, .mode = "fan_out", .distribution = "uniform"},
      init::Orthogonal{.gain = 2},
      init::GlorotUniform{},
      init::WithConvolutionFans{.initializer = "he_normal"},
      [](const xp::Shape& shape, xp::Fans, xp::RandomStream&) {
        return xp::Array<double>(shape, 3.0);
      }};
  bool good = true;
  for (const xp::Initializer& initializer : all) {
    xp::RandomStream stream(1, 2);
    double squares = 0;
    for (const double x : initializer({64, 64}, {.in = 64, .out = 64}, stream)) squares += x * x;
    const std::string& name = initializer.description().class_name;
    std::printf("%-16s %.3f\n", name.empty() ? "your own" : name.c_str(),
                std::sqrt(squares / 4096));
    good = good && squares < 5e4;
  }
  return good;
}

}  // namespace

int main() {
  const bool drawn = initial_values();
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
  const xp::Dense<float> third(params.scope() / "third",
                               {.units = 3,
                                .use_bias = false,
                                .kernel_regularizer = xp::regularizers::L2{.l2 = 1e-6},
                                .activity_regularizer = xp::regularizers::L1{.l1 = 1e-6},
                                .kernel_constraint = xp::constraints::UnitNorm{}});
  const xp::Softmax<float> softmax;

  // The mask excludes the third number of each row.
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
  return drawn && loss < 0.4F && masked == 0 && std::abs(norm - 1) < 1e-4F ? 0 : 1;
}
