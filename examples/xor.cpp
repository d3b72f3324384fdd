// Trains a network with one hidden layer on XOR.
#include <cstdio>
#include <xtape/xtape.hpp>

int main() {
  using namespace xtape;
  Array<float> x(Shape{4, 2});
  Array<float> y(Shape{4, 1});
  for (std::size_t i = 0; i < 4; ++i) {
    x(i, 0) = static_cast<float>(i / 2);
    x(i, 1) = static_cast<float>(i % 2);
    y(i, 0) = x(i, 0) != x(i, 1) ? 1.0F : 0.0F;
  }
  Params<float> params({.seed = 1});
  const Dense<float> hidden(params.scope() / "hidden", {.units = 8, .activation = "tanh"});
  const Dense<float> output(params.scope() / "output", {.units = 1, .activation = "sigmoid"});
  Adam<float> adam({.learning_rate = 0.05});
  float loss = 1.0F;
  for (int step = 0; step < 500; ++step) {
    Tape<float> tape;
    const Var<float> error = mean_squared_error(output(hidden(tape.input(x))), y);
    adam.step(params, tape.backward(error));
    loss = error.item();
  }
  const Array<float> predicted = output(hidden(x)).value();  // without a tape: inference
  std::printf("loss %.5f, predictions", loss);
  for (const float p : predicted) std::printf(" %.2f", p);
  std::printf("\n");
  return loss < 0.01F ? 0 : 1;
}
