#include "support/catch.hpp"
#include "support/files.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Tensors golden_tensors() {
  return read_safetensors(golden_path("weights/torch_attention.safetensors")).tensors;
}

/// PyTorch's masks say where not to attend.
Array<bool> attended(const StoredTensor& masked) {
  Array<bool> mask = to_array<bool>(masked);
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = !mask.data()[i];
  return mask;
}

template <class T> void check_case(const std::string& prefix, int heads, int key_dim, bool bias) {
  const Tensors tensors = golden_tensors();
  const auto at = [&](const char* name) { return tensors.at(prefix + "case." + name); };
  const auto var = [&](const char* name) { return Var<T>(to_array<T>(at(name))); };
  typename MultiHeadAttention<T>::CallOptions call;
  call.key = var("key");
  if (tensors.count(prefix + "case.attn_mask") != 0) {
    call.attention_mask = attended(at("attn_mask"));
  }
  if (tensors.count(prefix + "case.key_padding_mask") != 0) {
    call.key_mask = attended(at("key_padding_mask"));
  }
  for (const bool before : {true, false}) {  // the weights may come before the layer is built
    Params<T> params;
    const MultiHeadAttention<T> layer(params.scope() / "block" / "attention",
                                      {.num_heads = heads, .key_dim = key_dim, .use_bias = bias});
    if (!before) layer.build(var("query").shape(), var("value").shape(), var("key").shape());
    load_torch_attention(params, "block/attention", tensors, heads, prefix);
    const auto [output, scores] = layer.with_scores(var("query"), var("value"), call);
    params.check_pending();
    const double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-14;
    CHECK(difference(output.value(), to_array<double>(at("output"))) < tolerance * 10);
    CHECK(difference(scores.value(), to_array<double>(at("scores"))) < tolerance);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("torch.nn.MultiheadAttention, packed, masked: the same output", "", float,
                   double) {
  check_case<TestType>("self.", 3, 4, true);
}

TEMPLATE_TEST_CASE("torch.nn.MultiheadAttention with kdim and vdim, padded, without bias", "",
                   float, double) {
  check_case<TestType>("cross.", 2, 4, false);
}

TEST_CASE("an attention at the root takes PyTorch's weights") {
  for (const bool before : {true, false}) {
    Params<double> params({.seed = 1});
    const MultiHeadAttention<double> layer(params.scope(), {.num_heads = 3, .key_dim = 4});
    if (!before) layer.build({1, 1, 12}, {1, 1, 12});
    load_torch_attention(params, "", golden_tensors(), 3, "self.");
    layer.build({1, 1, 12}, {1, 1, 12});
    params.check_pending();
    CHECK(params.at("attention_output/bias").value() ==
          to_array<double>(golden_tensors().at("self.out_proj.bias")));
  }
}

TEST_CASE("weights of PyTorch that do not fit are refused, and nothing is changed") {
  const Tensors good = golden_tensors();
  Params<double> params;
  const MultiHeadAttention<double> layer(params.scope() / "a", {.num_heads = 3, .key_dim = 4});
  layer.build({1, 1, 12}, {1, 1, 12});
  const auto before = params.values();
  const auto refused = [&](const std::string& text, const char* part) {
    INFO(text);
    CHECK(contains(text, "a"));
    CHECK(contains(text, "expected"));
    CHECK(contains(text, part));
    const auto after = params.values();
    CHECK(std::equal(before.begin(), before.end(), after.begin(), after.end(),
                     [](const auto& x, const auto& y) { return same_bits(x.second, y.second); }));
    params.check_pending();
  };
  const auto load = [&](const Tensors& tensors, int heads = 3, const char* prefix = "self.") {
    load_torch_attention(params, "a", tensors, heads, prefix);
  };
  const auto without = [&](const char* name) {
    Tensors tensors = good;
    tensors.erase(name);
    return tensors;
  };
  const auto with = [&](const char* name, const Shape& shape) {
    Tensors tensors = good;
    tensors[name] = to_tensor(Array<double>(shape, 0.5));
    return tensors;
  };
  refused(error_of<ValueError>([&] { load(good, 0); }), "num_heads out of range");
  refused(error_of<ShapeError>([&] { load(good, 5); }), "check num_heads");
  refused(error_of<ShapeError>([&] { load(good, 2); }), "shape differs");
  refused(error_of<ShapeError>([&] { load(good, 2, "cross."); }), "shape differs");
  refused(error_of<ParameterError>([&] { load(good, 3, "other."); }),
          "there is no 'other.out_proj.weight'");
  refused(error_of<ParameterError>([&] { load({}); }), "there are: none");
  refused(error_of<ParameterError>([&] { load(without("self.in_proj_weight")); }),
          "there is no 'self.q_proj_weight'");
  refused(error_of<ShapeError>([&] {
            load(with("self.in_proj_weight", {12, 12}));
          }),
          "'self.in_proj_weight' is (12, 12), expected (36, 12)");
  refused(error_of<ShapeError>([&] { load(with("self.in_proj_bias", {12})); }), "expected (36,)");
  refused(error_of<ShapeError>([&] { load(with("self.out_proj.bias", {13})); }), "expected (12,)");
  refused(error_of<ShapeError>([&] { load(with("self.out_proj.weight", {12})); }), "(E, E)");
  refused(error_of<ShapeError>([&] { load(with("cross.k_proj_weight", {8}), 2, "cross."); }),
          "expected (E, features)");
  refused(error_of<ValueError>([&] { load(with("self.bias_k", {1, 1, 12})); }), "add_bias_kv");
  refused(error_of<ParameterError>([&] {
            Tensors tensors = good;
            tensors["self.in_proj_weight"] = {DType::i64, {36, 12}, std::vector<std::byte>(3456)};
            load(tensors);
          }),
          "tensor 'self.in_proj_weight': not floating point");
}
