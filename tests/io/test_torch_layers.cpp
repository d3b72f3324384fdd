#include "support/catch.hpp"
#include "support/files.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Tensors golden_tensors() {
  return read_safetensors(golden_path("weights/torch_layers.safetensors")).tensors;
}

template <class T> constexpr double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-13;

template <class T> Var<T> var(const Tensors& tensors, const std::string& name) {
  return Var<T>(to_array<T>(tensors.at(name)));
}

/// Loads into a layer that `make` makes, before and after it is built, and compares its output.
template <class T, class Make, class Load>
void check_layer(const char* prefix, const Make& make, const Load& load) {
  const Tensors tensors = golden_tensors();
  const auto expected = to_array<double>(tensors.at(std::string("output.") + prefix));
  for (const bool before : {true, false}) {
    Params<T> params;
    const auto call = make(params.scope() / "block");
    if (!before) static_cast<void>(call(tensors));
    load(params, tensors);
    CHECK(difference(call(tensors).value(), expected) < tolerance<T>);
    params.check_pending();
  }
}

template <class T> TransformerOptions<T> block_options() {
  return {.hidden_dim = 8, .num_heads = 2, .intermediate_dim = 12};
}

}  // namespace

TEMPLATE_TEST_CASE("torch.nn.Linear: the same output", "", float, double) {
  using T = TestType;
  for (const bool bias : {true, false}) {
    const char* prefix = bias ? "head." : "plain.";
    check_layer<T>(
        prefix,
        [&](const Scope<T>& scope) {
          const auto layer = std::make_shared<Dense<T>>(
              scope, typename Dense<T>::Options{.units = bias ? 3 : 5, .use_bias = bias});
          return [layer](const Tensors& t) { return (*layer)(var<T>(t, "x")); };
        },
        [&](Params<T>& params, const Tensors& t) {
          load_torch_linear(params, "block", t, prefix);
        });
  }
}

TEMPLATE_TEST_CASE("torch.nn.TransformerEncoderLayer: the same output", "", float, double) {
  using T = TestType;
  for (const bool bias : {true, false}) {
    const char* prefix = bias ? "encoder." : "bare.";
    check_layer<T>(
        prefix,
        [&](const Scope<T>& scope) {
          TransformerOptions<T> options = block_options<T>();
          if (!bias) {
            options.activation = "gelu";
            options.normalize_first = true;
            options.use_bias = false;
          }
          const auto layer = std::make_shared<TransformerEncoder<T>>(scope, options);
          return [layer](const Tensors& t) { return (*layer)(var<T>(t, "x")); };
        },
        [&](Params<T>& params, const Tensors& t) {
          load_torch_transformer(params, "block", t, 2, prefix);
        });
  }
}

TEMPLATE_TEST_CASE("torch.nn.TransformerDecoderLayer: the same output", "", float, double) {
  using T = TestType;
  check_layer<T>(
      "decoder.",
      [&](const Scope<T>& scope) {
        const auto layer = std::make_shared<TransformerDecoder<T>>(scope, block_options<T>());
        return [layer](const Tensors& t) { return (*layer)(var<T>(t, "x"), var<T>(t, "memory")); };
      },
      [&](Params<T>& params, const Tensors& t) {
        load_torch_transformer(params, "block", t, 2, "decoder.");
      });
}

TEST_CASE("layers of PyTorch that do not fit are refused, and nothing is changed") {
  const Tensors good = golden_tensors();
  Params<double> params({.seed = 1});
  const Dense<double> head(params.scope() / "head", {.units = 3});
  const TransformerEncoder<double> block(params.scope() / "block", block_options<double>());
  static_cast<void>(head(block(var<double>(good, "x"))));
  const auto before = params.values();
  const auto refused = [&](const std::string& text, const char* part) {
    INFO(text);
    CHECK(contains(text, part));
    CHECK(contains(text, "expected"));
    const auto after = params.values();
    CHECK(std::equal(before.begin(), before.end(), after.begin(), after.end(),
                     [](const auto& x, const auto& y) { return same_bits(x.second, y.second); }));
    CHECK(params.pending().empty());
  };
  const auto linear = [&](const char* path, const Tensors& tensors, const char* prefix = "head.") {
    load_torch_linear(params, path, tensors, prefix);
  };
  const auto with = [&](const char* name, const Shape& shape) {
    Tensors tensors = good;
    tensors[name] = to_tensor(Array<double>(shape, 0.5));
    return tensors;
  };
  const auto names = [&](const std::string& text, const char* part) {
    CHECK(contains(text, "another architecture"));
    refused(text + " expected", part);  // the list of names has no such word
  };
  names(error_of<ParameterError>([&] { linear("haed", good); }), "unexpected: 'haed/bias'");
  Tensors bare = good;
  bare.erase("head.bias");
  names(error_of<ParameterError>([&] { linear("head", bare); }), "missing: 'head/bias'");
  refused(error_of<ShapeError>([&] { linear("head", good, "plain."); }), "shape differs");
  refused(error_of<ParameterError>([&] { linear("head", good, "other."); }),
          "head: missing tensor: there is no 'other.weight'");
  refused(error_of<ShapeError>([&] { linear("head", with("head.weight", {3})); }),
          "'head.weight' is (3,), expected (out, in)");
  refused(error_of<ShapeError>([&] { linear("head", with("head.bias", {4})); }),
          "'head.bias' is (4,), expected (3,)");
  refused(error_of<ShapeError>([&] {
            linear("head", with("head.weight", {3, 9}));
          }),
          "head/kernel: shape differs: value is (9, 3), expected (8, 3)");
  const auto transformer = [&](const Tensors& tensors, int heads, const char* prefix) {
    load_torch_transformer(params, "block", tensors, heads, prefix);
  };
  names(error_of<ParameterError>([&] { transformer(good, 2, "bare."); }), "missing: 'block/");
  names(error_of<ParameterError>([&] { transformer(good, 2, "decoder."); }),
        "unexpected: 'block/cross_attention");
  refused(error_of<ShapeError>([&] { transformer(good, 4, "encoder."); }), "shape differs");
  refused(error_of<ValueError>([&] { transformer(good, 0, "encoder."); }), "num_heads");
  Tensors part = good;
  part.erase("encoder.norm2.weight");
  refused(error_of<ParameterError>([&] { transformer(part, 2, "encoder."); }),
          "there is no 'encoder.norm2.weight'");
  refused(
      error_of<ShapeError>([&] { transformer(with("encoder.norm1.weight", {9}), 2, "encoder."); }),
      "shape differs");
  // A path of attention is checked, too.
  CHECK_THROWS_AS(
      load_torch_attention(params, "blok/self_attention", good, 2, "encoder.self_attn."),
      ParameterError);
  // Without layers the values wait.
  Params<double> empty;
  load_torch_linear(empty, "later", good, "head.");
  CHECK(empty.pending().size() == 2);
}
