#pragma once
// Shared by the tests of the blocks of a Transformer.

#include "support/golden.hpp"

namespace xtape::test {

/// Returns the options of a golden case of tests/golden/make/transformer.py.
template <class T> TransformerOptions<T> block_options(const Json& c) {
  return {.hidden_dim = c["hidden_dim"].get<int>(),
          .num_heads = c["num_heads"].get<int>(),
          .intermediate_dim = c["intermediate_dim"].get<int>(),
          .activation = c["activation"].get<std::string>(),
          .normalize_first = c["normalize_first"].get<bool>(),
          .use_bias = c["use_bias"].get<bool>()};
}

/// Returns small blocks of every kind, for properties that all blocks share.
inline std::vector<TransformerOptions<double>> all_blocks() {
  using Options = TransformerOptions<double>;
  std::vector<Options> all;
  for (const bool first : {false, true}) {
    for (const Normalization n : {Normalization::layer, Normalization::rms}) {
      Options o{.hidden_dim = 8, .num_heads = 4, .intermediate_dim = 6, .activation = "gelu"};
      o.normalize_first = first;
      o.normalization = n;
      o.bias_initializer = "random_normal";
      all.push_back(o);
      o.use_bias = false;
      o.num_key_value_heads = 2;
      o.rotary = RotaryOptions{};
      all.push_back(o);
    }
  }
  return all;
}

/// Returns positions begin ... begin + count - 1 of (batch, positions, features).
inline Var<double> positions_of(const Array<double>& x, std::size_t begin, std::size_t count) {
  const auto from = static_cast<std::ptrdiff_t>(begin);
  return slice(Var<double>(x),
               {Slice::all(), Slice::range(from, from + static_cast<std::ptrdiff_t>(count))});
}

/// Returns the first `count` columns of a padding mask.
inline Array<bool> first_columns(const Array<bool>& mask, std::size_t count) {
  Array<bool> part(Shape{mask.shape()[0], count});
  for (std::size_t b = 0; b < mask.shape()[0]; ++b) {
    for (std::size_t i = 0; i < count; ++i) part(b, i) = mask(b, i);
  }
  return part;
}

/// Returns true for the first lengths[b] of `size` positions.
inline Array<bool> padding_of(const std::vector<std::size_t>& lengths, std::size_t size) {
  Array<bool> keep(Shape{lengths.size(), size});
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    for (std::size_t i = 0; i < size; ++i) keep(b, i) = i < lengths[b];
  }
  return keep;
}

/// Options that every block must refuse, and a part of the error.
inline std::vector<std::pair<TransformerOptions<double>, const char*>> bad_blocks() {
  using Options = TransformerOptions<double>;
  const Options good{.hidden_dim = 4, .num_heads = 2, .intermediate_dim = 3};
  const auto with = [&](auto change) {
    Options o = good;
    change(o);
    return o;
  };
  return {
      {with([](Options& o) { o.hidden_dim = 0; }), "b: hidden_dim out of range"},
      {with([](Options& o) { o.num_heads = -1; }), "b: num_heads out of range"},
      {with([](Options& o) { o.num_heads = 3; }), "b: num_heads does not divide: hidden_dim is 4"},
      {with([](Options& o) { o.intermediate_dim = 0; }), "b: intermediate_dim out of range"},
      {with([](Options& o) { o.dropout = 1.5; }), "b: dropout out of range: dropout is 1.5"},
      {with([](Options& o) { o.dropout = std::nan(""); }), "b: dropout out of range"},
      {with([](Options& o) { o.attention_dropout = -1; }), "b: attention_dropout out of range"},
      {with([](Options& o) { o.activation_dropout = 2; }), "b: activation_dropout out of range"},
      {with([](Options& o) { o.epsilon = -1; }), "b: epsilon out of range"},
      {with([](Options& o) { o.num_key_value_heads = 3; }),
       "b/self_attention: num_key_value_heads does not divide"}};
}

/// Checks that a block refuses bad options and reserves nothing.
template <class Block> void check_bad_blocks() {
  Params<double> params({.seed = 1});
  for (const auto& [options, part] : bad_blocks()) {
    INFO(part);
    const auto& o = options;
    CHECK(contains(error_of<ValueError>([&] { Block(params.scope() / "b", o); }), part));
    CHECK(params.paths().empty());
  }
}

/// Compares the blocks of 20 golden cases; check(block, run, case) computes and checks one of them.
template <template <class> class Block, class T, class Check>
void check_golden_blocks(const std::string& file, const std::string& name, const Check& check) {
  const Json cases = golden(file);
  Errors errors(with_type<T>(name), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    check(Block<T>(run.params().scope(), block_options<T>(c)), run, c);
  }
  CHECK(errors.cases() == 20);
}

}  // namespace xtape::test
