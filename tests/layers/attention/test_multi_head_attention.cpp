#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using Mha = MultiHeadAttention<double>;

Array<bool> bools(const Shape& shape, std::initializer_list<int> values) {
  Array<bool> a(shape);
  std::transform(values.begin(), values.end(), a.data(), [](int v) { return v != 0; });
  return a;
}

}  // namespace

TEST_CASE("the documented example: cross-attention with a mask and scores") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 2});
  const Var<double> target(random_array<double>({3, 8, 16}, 1));
  const Var<double> source(random_array<double>({3, 4, 16}, 2));
  Array<bool> mask(Shape{8, 4}, true);
  mask(0, 1) = mask(7, 3) = false;
  const auto [output, scores] = layer.with_scores(target, source, {.attention_mask = mask});
  CHECK(output.shape() == Shape{3, 8, 16});
  CHECK(scores.shape() == Shape{3, 2, 8, 4});
  CHECK(scores.value()(2, 1, 0, 1) == 0.0);
  CHECK(scores.value()(0, 0, 7, 3) == 0.0);
  CHECK(difference(sum(scores, {-1}).value(), Array<double>(Shape{3, 2, 8}, 1.0)) < 1e-15);
  // Asking for scores changes no bit of the output.
  CHECK(difference(layer(target, source, {.attention_mask = mask}).value(), output.value()) == 0);
}

TEST_CASE("the documented example: 5-D self-attention on axes 2 and 3") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 2, .attention_axes = {2, 3}});
  const Var<double> x(random_array<double>({3, 5, 3, 4, 16}, 1));
  const auto [output, scores] = layer.with_scores(x, x);
  CHECK(output.shape() == Shape{3, 5, 3, 4, 16});
  CHECK(scores.shape() == Shape{3, 5, 2, 3, 4, 3, 4});
}

TEST_CASE("weights have Keras's names and shapes") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha",
                  {.num_heads = 2, .key_dim = 3, .value_dim = 5, .output_shape = {7, 2}});
  layer.build({1, 4, 6}, {1, 5, 8}, Shape{1, 5, 9});
  const std::vector<std::pair<std::string, Shape>> expected = {
      {"mha/query/kernel", {6, 2, 3}},
      {"mha/query/bias", {2, 3}},
      {"mha/key/kernel", {9, 2, 3}},
      {"mha/key/bias", {2, 3}},
      {"mha/value/kernel", {8, 2, 5}},
      {"mha/value/bias", {2, 5}},
      {"mha/attention_output/kernel", {2, 5, 7, 2}},
      {"mha/attention_output/bias", {7, 2}}};
  std::vector<std::string> paths;
  for (const auto& [path, shape] : expected) {
    paths.push_back(path);
    CHECK(params.at(path).value().shape() == shape);
  }
  CHECK(params.paths() == paths);
  CHECK(params.count() == 2 * 3 * (6 + 9 + 2) + 2 * 5 * (8 + 1) + (2 * 5 + 1) * 14);
}

TEST_CASE("masks of every admissible rank agree") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 3});
  const Var<double> q(random_array<double>({2, 3, 4}, 1));
  const Var<double> v(random_array<double>({2, 2, 4}, 2));
  const Array<bool> pairs = bools({3, 2}, {1, 0, 1, 1, 0, 1});
  const auto with = [&](Array<bool> mask) {
    return layer.with_scores(q, v, {.attention_mask = std::move(mask)}).scores.value();
  };
  const Array<double> base = with(pairs);
  Array<bool> batched(Shape{2, 3, 2});
  Array<bool> full(Shape{2, 2, 3, 2});
  for (std::size_t i = 0; i < 12; ++i) batched.data()[i] = pairs.data()[i % 6];
  for (std::size_t i = 0; i < 24; ++i) full.data()[i] = pairs.data()[i % 6];
  CHECK(difference(with(batched), base) == 0);
  CHECK(difference(with(full), base) == 0);
  CHECK(difference(
            with(bools({2, 1, 2}, {1, 0, 1, 0})),
            layer.with_scores(q, v, {.value_mask = bools({2, 2}, {1, 0, 1, 0})}).scores.value()) ==
        0);
}

TEST_CASE("causal, padding and explicit masks are combined") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha", {.num_heads = 1, .key_dim = 3});
  const Var<double> x(random_array<double>({1, 3, 4}, 1));
  const auto scores =
      layer
          .with_scores(x, x,
                       {.attention_mask = bools({3, 3}, {1, 1, 1, 1, 1, 1, 0, 1, 1}),
                        .query_mask = bools({1, 3}, {1, 0, 1}),
                        .key_mask = bools({1, 3}, {1, 1, 0}),
                        .use_causal_mask = true})
          .scores.value();
  const Array<double> expected = array<double>({1, 1, 3, 3}, {1, 0, 0, 0, 0, 0, 0, 1, 0});
  CHECK(difference(scores, expected) == 0);
}

TEST_CASE("a fully masked query gives the output bias, and no gradient") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha",
                  {.num_heads = 2, .key_dim = 3, .bias_initializer = "random_normal"});
  Tape<double> tape;
  const Var<double> q = tape.watch(random_array<double>({1, 2, 4}, 1));
  const Var<double> v = tape.watch(random_array<double>({1, 3, 4}, 2));
  const Var<double> y = layer(q, v, {.attention_mask = bools({2, 3}, {0, 0, 0, 1, 1, 1})});
  const Var<double> first = slice(y, {Slice::all(), Slice::at(0)});
  CHECK(difference(
            first.value(),
            reshape(Var<double>(params.at("mha/attention_output/bias").value()), {1, 4}).value()) ==
        0);
  const auto g = tape.backward(sum(first * 3.0));
  CHECK(difference(g[q].value(), Array<double>(Shape{1, 2, 4}, 0.0)) == 0);
  CHECK(difference(g[v].value(), Array<double>(Shape{1, 3, 4}, 0.0)) == 0);
}

TEST_CASE("the gradient of the key bias is zero: softmax does not see a shift") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 3});
  Tape<double> tape;
  const Var<double> x = tape.input(random_array<double>({2, 5, 4}, 1));
  const auto g = tape.backward(sum(square(layer(x, x, {.use_causal_mask = true}))));
  double most = 0;
  for (const double v : g.at("mha/query/kernel").value()) most = std::max(most, std::abs(v));
  for (const double v : g.at("mha/key/bias").value()) CHECK(std::abs(v) <= 1e-14 * most);
}

TEST_CASE("the future changes nothing before it") {
  Params<float> params({.seed = 1});
  const MultiHeadAttention<float> layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 8});
  Array<float> x = random_array<float>({2, 6, 16}, 1);
  const Array<float> before =
      layer(Var<float>(x), Var<float>(x), {.use_causal_mask = true}).value();
  for (std::size_t i = 0; i < 16; ++i) x(1, 4, i) += 1.0F;
  const Array<float> after = layer(Var<float>(x), Var<float>(x), {.use_causal_mask = true}).value();
  for (std::size_t t = 0; t < 6; ++t) {
    bool same = true;
    for (std::size_t i = 0; i < 16; ++i) same = same && before(1, t, i) == after(1, t, i);
    CHECK(same == (t < 4));
  }
}

TEST_CASE("attention refuses what does not fit, before any work") {
  Params<double> params({.seed = 1});
  const auto make = [&](Mha::Options o) { Mha(params.scope() / "bad", std::move(o)); };
  CHECK(contains(error_of<ValueError>([&] { make({.num_heads = 0, .key_dim = 2}); }),
                 "bad: num_heads"));
  CHECK(contains(error_of<ValueError>([&] { make({.num_heads = 2, .key_dim = -2}); }),
                 "bad: key_dim"));
  CHECK_THROWS_AS(make({.num_heads = 2, .key_dim = 2, .value_dim = -1}), ValueError);
  CHECK_THROWS_AS(make({.num_heads = 2, .key_dim = 2, .dropout = 1.5}), ValueError);
  CHECK_THROWS_AS(make({.num_heads = 2, .key_dim = 2, .output_shape = {3, 0}}), ValueError);

  Tape<double> tape;
  const auto input = [&](const Shape& s) { return tape.input(random_array<double>(s, 1)); };
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 2});
  const auto refuse = [&](const Var<double>& q, const Var<double>& v, const Mha::CallOptions& call,
                          const std::string& part) {
    const std::string text = error_of<ShapeError>([&] { static_cast<void>(layer(q, v, call)); });
    INFO(text);
    CHECK(contains(text, "mha: "));
    CHECK(contains(text, part));
  };
  const Var<double> q = input({2, 3, 4});
  const Var<double> v = input({2, 5, 4});
  refuse(input({2, 4}), input({2, 4}), {}, "too few axes");
  refuse(q, input({2, 5, 1, 4}), {}, "ranks differ");
  refuse(q, input({3, 5, 4}), {}, "value is (3, 5, 4)");
  refuse(q, v, {.key = input({2, 6, 4})}, "key is (2, 6, 4)");
  refuse(q, v, {.attention_mask = Array<bool>(Shape{5}, true)}, "attention_mask is (5,)");
  refuse(q, v, {.attention_mask = Array<bool>(Shape{3, 3}, true)}, "attention_mask is (3, 3)");
  refuse(q, v, {.attention_mask = Array<bool>(Shape{1, 2, 2, 3, 5}, true)}, "axes");
  refuse(q, v, {.query_mask = Array<bool>(Shape{2, 5}, true)}, "query_mask is (2, 5)");
  refuse(q, v, {.value_mask = Array<bool>(Shape{2, 3}, true)}, "value_mask is (2, 3)");
  refuse(q, v, {.key_mask = Array<bool>(Shape{5}, true)}, "key_mask is (5,)");
  const Var<double> wide = input({2, 3, 3, 4});
  refuse(wide, wide, {.use_causal_mask = true}, "use_causal_mask");
  refuse(wide, wide, {.value_mask = Array<bool>(Shape{2, 3}, true)}, "rank 3");
  CHECK(params.count() == 0);
  CHECK(tape.size() == 0);

  const auto axes = [&](Axes a) {
    const Mha other((params.scope() / "mha").reuse(),
                    {.num_heads = 2, .key_dim = 2, .attention_axes = std::move(a)});
    return error_of<ShapeError>([&] { static_cast<void>(other(wide, wide)); });
  };
  CHECK(contains(axes({0}), "batch"));
  CHECK(contains(axes({-1}), "features"));
  CHECK(contains(axes({7}), "out of range"));
  CHECK(contains(axes({1, -3}), "repeated"));
}
