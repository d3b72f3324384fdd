// Layers against Keras: outputs, and gradients of every input and weight.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Extents extents(const Json& json) {
  const auto values = json.is_array() ? json.get<std::vector<std::size_t>>()
                                      : std::vector<std::size_t>{json.get<std::size_t>()};
  return Shape(values.begin(), values.end());
}

Axes axes_of(const Json& json) { return json.get<Axes>(); }

}  // namespace

TEMPLATE_TEST_CASE("dense layers agree with Keras's Dense and EinsumDense", "", double, float) {
  using T = TestType;
  const Json cases = golden("dense");
  Errors errors(with_type<T>("dense"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const Dense<T> layer(run.params().scope(), {.units = extents(c["units"]),
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

TEMPLATE_TEST_CASE("multi-head attention agrees with Keras's", "", double, float) {
  using T = TestType;
  using Layer = MultiHeadAttention<T>;
  const Json cases = golden("multi_head_attention");
  Errors errors(with_type<T>("multi-head attention"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    typename Layer::Options options{.num_heads = c["num_heads"].get<int>(),
                                    .key_dim = c["key_dim"].get<int>()};
    options.value_dim = c.value("value_dim", 0);
    options.use_bias = c.value("use_bias", true);
    if (c.contains("output_shape")) options.output_shape = extents(c["output_shape"]);
    if (c.contains("attention_axes")) options.attention_axes = axes_of(c["attention_axes"]);
    typename Layer::CallOptions call;
    if (run.has_input("key")) call.key = run.input("key");
    call.attention_mask = golden_constant<bool>(c, "attention_mask");
    call.query_mask = golden_constant<bool>(c, "query_mask");
    call.value_mask = golden_constant<bool>(c, "value_mask");
    call.key_mask = golden_constant<bool>(c, "key_mask");
    call.use_causal_mask = c["causal"].get<bool>();
    const Layer layer(run.params().scope(), options);
    const Var<T>& query = run.input("query");
    const Var<T>& value = run.has_input("value") ? run.input("value") : query;
    const auto result = layer.with_scores(query, value, call);
    CHECK(difference(layer(query, value, call).value(), result.output.value()) == 0);
    run.check({{"output", result.output}, {"scores", result.scores}});
  }
  CHECK(errors.cases() >= 26);
}
