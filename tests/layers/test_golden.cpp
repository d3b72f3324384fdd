// Layers against Keras: outputs, and gradients of every input and weight.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Axes axes_of(const Json& json) { return json.get<Axes>(); }

}  // namespace

TEMPLATE_TEST_CASE("dense layers agree with Keras's Dense and EinsumDense", "", double, float) {
  using T = TestType;
  const Json cases = golden("dense");
  Errors errors(with_type<T>("dense"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const Dense<T> layer(run.params().scope(), {.units = golden_extents(c["units"]),
                                                .axes = c["axes"].get<int>(),
                                                .activation = c["activation"].get<std::string>(),
                                                .use_bias = c["use_bias"].get<bool>()});
    run.check(layer(run.input("x")));
  }
  CHECK(errors.cases() >= 13);
}

TEMPLATE_TEST_CASE("the softmax layer agrees with Keras's", "", double, float) {
  using T = TestType;
  const Json cases = golden("softmax");
  Errors errors(with_type<T>("softmax"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const Softmax<T> layer({.axes = axes_of(c["axes"])});
    run.check(layer(run.input("x"), golden_constant<bool>(c, "mask")));
  }
  CHECK(errors.cases() >= 12);
}

TEMPLATE_TEST_CASE("layer normalization agrees with Keras's", "", double, float) {
  using T = TestType;
  const Json cases = golden("layer_normalization");
  Errors errors(with_type<T>("layer normalization"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const LayerNormalization<T> layer(run.params().scope(), {.axes = axes_of(c["axes"]),
                                                             .epsilon = c["epsilon"].get<double>(),
                                                             .center = c["center"].get<bool>(),
                                                             .scale = c["scale"].get<bool>()});
    run.check(layer(run.input("x")));
  }
  CHECK(errors.cases() >= 10);
}

TEMPLATE_TEST_CASE("embeddings agree with Keras's, also where ids repeat", "", double, float) {
  using T = TestType;
  const Json cases = golden("embedding");
  Errors errors(with_type<T>("embedding"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const Embedding<T> layer(run.params().scope(), {.input_dim = c["rows"].get<int>(),
                                                    .output_dim = c["width"].get<int>()});
    run.check(layer(run.tape().input(Tokens<T>(*golden_constant<std::int64_t>(c, "ids")))));
  }
  CHECK(errors.cases() >= 3);
}
