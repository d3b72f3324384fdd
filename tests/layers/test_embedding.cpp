#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

TEST_CASE("an embedding looks rows up, and adds gradients of repeated ids") {
  Params<double> params({.seed = 1});
  const Embedding<double> embedding(params.scope() / "emb",
                                    {.input_dim = 4, .output_dim = 2, .mask_zero = true});
  params.set("emb/embeddings", array<double>({4, 2}, {0, 1, 10, 11, 20, 21, 30, 31}));
  Tape<double> tape;
  const auto ids = tape.input(array<std::int64_t>({2, 2}, {3, 1, 1, 0}));
  const Var<double> y = embedding(ids);
  CHECK(y.tracked());
  CHECK(difference(y.value(), array<double>({2, 2, 2}, {30, 31, 10, 11, 10, 11, 0, 1})) == 0);
  const auto g = tape.backward(sum(y * array<double>({2}, {1, 2})));
  CHECK(difference(g[embedding.embeddings()].value(),
                   array<double>({4, 2}, {1, 2, 2, 4, 0, 0, 1, 2})) == 0);
  const auto mask = embedding.compute_mask(ids);
  REQUIRE(mask.has_value());
  CHECK((*mask)(0, 0));
  CHECK_FALSE((*mask)(1, 1));
}

TEST_CASE("plain integer arrays are ids too: inference") {
  Params<float> params({.seed = 1});
  const Embedding<float> embedding(params.scope() / "emb", {.input_dim = 4, .output_dim = 2});
  const xt::xarray<int> ids = {{0, 1}, {2, 3}};
  const Var<float> y = embedding(ids);
  CHECK(y.shape() == Shape{2, 2, 2});
  CHECK_FALSE(y.has_context());
  CHECK_FALSE(embedding.compute_mask(ids).has_value());
}

TEST_CASE("embeddings refuse ids out of range, naming path and position") {
  Params<float> params({.seed = 1});
  CHECK_THROWS_AS(Embedding<float>(params.scope() / "a", {.input_dim = 0, .output_dim = 2}),
                  ValueError);
  CHECK_THROWS_AS(Embedding<float>(params.scope() / "b", {.input_dim = 2, .output_dim = -1}),
                  ValueError);
  const Embedding<float> embedding(params.scope() / "enc" / "emb",
                                   {.input_dim = 4, .output_dim = 2});
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{4}}) {
    const std::string text = error_of<ValueError>([&] {
      static_cast<void>(embedding(array<std::int64_t>({3}, {0, 1, bad})));
    });
    CHECK(contains(text,
                   "enc/emb: id out of range: element 2 of ids (3,) is " + std::to_string(bad)));
  }
}

TEST_CASE("a table that is the output layer too: one parameter, both gradients") {
  Params<double> params({.seed = 1});
  const Embedding<double> table(params.scope() / "emb", {.input_dim = 4, .output_dim = 2});
  params.set("emb/embeddings", array<double>({4, 2}, {0, 1, 10, 11, 20, 21, 30, 31}));
  const Var<double> x(array<double>({1, 2, 2}, {1, 0, 0, 2}));
  CHECK(difference(table.attend(x).value(),
                   array<double>({1, 2, 4}, {0, 10, 20, 30, 2, 22, 42, 62})) == 0);
  const auto tied = [&](const Var<double>& v) {
    const Tokens<double> ids(array<std::int64_t>({2}, {3, 1}), v.detach().node_ref());
    return table.attend(table(ids) * v);
  };
  const GradcheckReport report =
      check_gradients([&](const std::vector<Var<double>>& in) { return tied(in[0]); },
                      {random_array<double>({2, 2}, 1)}, {}, &params);
  INFO(report.message);
  CHECK(report);
  CHECK(params.paths().size() == 1);
  const std::string text = error_of<ShapeError>([&] {
    static_cast<void>(table.attend(Var<double>(random_array<double>({2, 3}, 1))));
  });
  CHECK(contains(text, "emb: width differs: x is (2, 3), expected a last axis of 2"));
  CHECK_THROWS_AS(table.attend(Var<double>(1.0)), ShapeError);
}
