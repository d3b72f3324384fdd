#include "support/blocks.hpp"
#include "support/misuse.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using Block = TransformerEncoder<double>;
using Call = Block::CallOptions;

}  // namespace

TEMPLATE_TEST_CASE("encoder blocks agree with PyTorch's TransformerEncoderLayer", "", double,
                   float) {
  using T = TestType;
  const auto check = [](const TransformerEncoder<T>& block, GoldenRun<T>& run, const Json& c) {
    const typename TransformerEncoder<T>::CallOptions call{
        .padding_mask = golden_constant<bool>(c, "padding_mask"),
        .use_causal_mask = c["causal"].get<bool>()};
    const auto both = block.with_scores(run.input("x"), call);
    CHECK(difference(block(run.input("x"), call).value(), both.output.value()) == 0);
    run.check(both.output);
  };
  check_golden_blocks<TransformerEncoder, T>("transformer_encoder", "transformer encoder", check);
}

TEST_CASE("an encoder block with a cache equals the full causal pass") {
  const Array<double> x = random_array<double>({2, 6, 8}, 1);
  const Array<bool> keep = padding_of({6, 4}, 6);
  for (const Block::Options& options : all_blocks()) {
    Params<double> params({.seed = 2});
    const Block block(params.scope() / "b", options);
    const Array<double> whole =
        block(V(x), {.padding_mask = keep, .use_causal_mask = true}).value();
    for (const std::size_t step : {1U, 3U}) {
      KeyValueCache<double> cache(6);
      for (std::size_t t = 0; t < 6; t += step) {
        const V y = block(positions_of(x, t, step), {.padding_mask = first_columns(keep, t + step),
                                                     .use_causal_mask = true,
                                                     .cache = &cache});
        CHECK(difference(y.value(), positions_of(whole, t, step).value()) <= 1e-12);
      }
    }
  }
}

TEST_CASE("dropouts of an encoder block lie where they should") {
  Params<double> params({.seed = 1});
  const V x(random_array<double>({1, 3, 4}, 1));
  Tape<double> tape({.training = true, .seed = 3});
  const auto run = [&](const char* name, auto change, std::optional<bool> training = {}) {
    Block::Options o{
        .hidden_dim = 4, .num_heads = 2, .intermediate_dim = 3, .normalize_first = true};
    o.bias_initializer = "random_normal";
    change(o);
    const Block block((params.scope() / name), o);
    return block(tape.input(x), {.training = training}).value();
  };
  // All of it dropped: with pre-norm the input is what remains.
  const auto all = [](Block::Options& o) { o.dropout = 1; };
  CHECK(difference(run("a", all), x.value()) == 0);
  CHECK(difference(run("b", all, false), x.value()) > 0.01);
  // Inside the feed-forward part only its last bias remains, and inside the attention the biases.
  const auto inside = [](Block::Options& o) {
    o.attention_dropout = 1;
    o.activation_dropout = 1;
  };
  const V left(run("c", inside));
  const V expected = x + V(params.at("c/self_attention/attention_output/bias").value()) +
                     V(params.at("c/feed_forward/output/bias").value());
  CHECK(difference(left.value(), expected.value()) < 1e-15);
}

TEST_CASE("the weights of an encoder block, in order") {
  Params<double> params({.seed = 1});
  const Block block(params.scope() / "b", {.hidden_dim = 4,
                                           .num_heads = 2,
                                           .intermediate_dim = 3,
                                           .normalization = Normalization::rms,
                                           .use_bias = false});
  CHECK(params.paths() == std::vector<std::string>{
                              "b/self_attention/query/kernel", "b/self_attention/key/kernel",
                              "b/self_attention/value/kernel",
                              "b/self_attention/attention_output/kernel",
                              "b/self_attention_norm/scale", "b/feed_forward/intermediate/kernel",
                              "b/feed_forward/output/kernel", "b/feed_forward_norm/scale"});
}

TEST_CASE("an encoder block refuses options out of range") { check_bad_blocks<Block>(); }

TEST_CASE("an encoder block refuses inputs and masks that do not fit") {
  Params<double> params({.seed = 1});
  const Block block(params.scope() / "b", {.hidden_dim = 4, .num_heads = 2, .intermediate_dim = 3});
  const Shape good{2, 3, 4};
  const auto with = [&](const Call& call) {
    return [&, call](const Vs& x) { static_cast<void>(block(x[0], call)); };
  };
  refuse<ShapeError>({
      {"rank", {s23}, with({}), {"b: input does not fit: x is (2, 3)", "(batch, positions, 4)"}},
      {"width", {{2, 3, 5}}, with({}), {"b: input does not fit: x is (2, 3, 5)", "hidden_dim"}},
      {"padding",
       {good},
       with({.padding_mask = all_true({2, 4})}),
       {"b: padding_mask does not fit", "(2, 4)", "expected (2, 3)", "true means attend"}},
      {"mask of one axis",
       {good},
       with({.attention_mask = all_true({3})}),
       {"b: attention_mask does not fit", "(3,)", "2 to 4 axes"}},
      {"mask",
       {good},
       with({.attention_mask = all_true({2, 2, 3})}),
       {"b: attention_mask does not fit", "(2, 2, 3)", "(2, 2, 3, 3)"}},
  });
  CHECK(params.count() == 0);
  KeyValueCache<double> cache(2);
  refuse<TapeError>({{"cache", {good}, with({.cache = &cache}), {"b: cache on a recording tape"}}});
  // No room: nothing is appended. A finite check that fails later forgets what was.
  CHECK_THROWS_AS(block(V(random_array<double>(good, 1)), {.cache = &cache}), ValueError);
  CHECK(cache.length() == 0);
  Array<double> bad = random_array<double>({2, 1, 4}, 1);
  bad(1, 0, 2) = HUGE_VAL;
  Tape<double> tape({.record = false, .check_finite = true});
  CHECK_THROWS_AS(block(tape.input(bad), {.cache = &cache}), NonFiniteError);
  CHECK(cache.length() == 0);
}
