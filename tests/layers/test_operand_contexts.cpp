// Layers and models of several operands: the outputs, penalties, random draws and gradients do not
// depend on which operands are on the tape, if one is.

#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;
using Attention = MultiHeadAttention<double>;

struct Outcome {
  Array<double> value;
  double penalty = 0;
  std::uint64_t draws = 0;
  std::map<std::string, Array<double>> gradients;
};

/// Calls `part` with a function that puts operand k on the tape if its bit is in `subset`.
template <class Make> Outcome outcome(unsigned subset, const Make& make) {
  Params<double> params({.seed = 1});
  Tape<double> tape({.training = true, .seed = 4});
  const auto place = [&]<class X>(unsigned k, X x) {
    return ((subset >> k) & 1U) != 0 ? tape.input(x) : x;
  };
  const V y = make(params, place);
  Outcome out{y.value(), tape.penalties().item(), tape.random_index(), {}};
  REQUIRE(y.tracked());
  const auto gradients = tape.backward(sum(square(y)) + tape.penalties());
  for (const auto& p : params.all()) {
    if (p.trainable()) out.gradients.emplace(p.path(), gradients[p].value());
  }
  return out;
}

/// Compares every subset of `operands` with all of them. Returns how many differ.
template <class Make> int differing(unsigned operands, const Make& make) {
  const unsigned every = (1U << operands) - 1;
  const Outcome all = outcome(every, make);
  CHECK(all.draws > 0);
  int bad = 0;
  for (unsigned subset = 1; subset < every; ++subset) {
    const Outcome some = outcome(subset, make);
    bool same = difference(some.value, all.value) == 0 && some.penalty == all.penalty &&
                some.draws == all.draws && some.gradients.size() == all.gradients.size();
    for (const auto& [path, g] : all.gradients) {
      same = same && difference(g, some.gradients.at(path)) == 0;
    }
    bad += same ? 0 : 1;
  }
  return bad;
}

}  // namespace

TEST_CASE("attention joins the tapes of query, value, key and bias") {
  const V query(random_array<double>({2, 5, 4}, 1)), value(random_array<double>({2, 3, 4}, 2));
  const V key(random_array<double>({2, 3, 4}, 3)), bias(random_array<double>({2, 2, 5, 3}, 4));
  const auto layer = [](Params<double>& params) {
    return Attention(params.scope() / "a", {.num_heads = 2,
                                            .key_dim = 3,
                                            .dropout = 0.4,
                                            .use_gate = true,
                                            .activity_regularizer = "l2"});
  };
  CHECK(differing(2, [&](auto& params, const auto& place) {
          return layer(params)(place(0, query), place(1, value));
        }) == 0);
  CHECK(differing(4, [&](auto& params, const auto& place) {
          return layer(params)(place(0, query), place(1, value),
                               {.key = place(2, key), .attention_bias = place(3, bias)});
        }) == 0);
  // Twice the same layer: the lost second use was not noticed.
  const auto twice = [&](auto& params, const auto& place) {
    const Attention a = layer(params);
    const V x = place(0, query);
    return a(a(x, x), place(1, value));
  };
  CHECK(difference(outcome(1, twice).gradients.at("a/key/kernel"),
                   outcome(3, twice).gradients.at("a/key/kernel")) == 0);
}

TEST_CASE("decoder blocks and translation models join the tapes of their operands") {
  const V x(random_array<double>({2, 5, 8}, 1)), memory(random_array<double>({2, 3, 8}, 2));
  CHECK(differing(2, [&](auto& params, const auto& place) {
          const TransformerDecoder<double> block(
              params.scope() / "d",
              {.hidden_dim = 8, .num_heads = 2, .intermediate_dim = 6, .dropout = 0.3});
          return block(place(0, x), place(1, memory));
        }) == 0);
  const auto model = [](Params<double>& params) {
    return Seq2Seq<double>(params.scope(), {.source_vocabulary = 7,
                                            .target_vocabulary = 6,
                                            .hidden_dim = 8,
                                            .num_heads = 2,
                                            .intermediate_dim = 6,
                                            .encoder_layers = 1,
                                            .decoder_layers = 1,
                                            .dropout = 0.3});
  };
  const Array<std::int64_t> source = array<std::int64_t>({2, 3}, {4, 5, 6, 5, 4, 3});
  const Array<std::int64_t> target = array<std::int64_t>({2, 2}, {2, 4, 2, 5});
  CHECK(differing(2, [&](auto& params, const auto& place) {
          const auto m = model(params);
          return m.loss(place(0, Tokens<double>(source)), {}, place(1, Tokens<double>(target)),
                        target);
        }) == 0);
  // The decoder's part alone, on a memory that is data.
  CHECK(differing(2, [&](auto& params, const auto& place) {
          const auto m = model(params);
          m.build();
          params.set_trainable("source_embedding", false);
          params.set_trainable("encoder", false);
          params.set_trainable("encoder_norm", false);
          return m.logits(place(0, Tokens<double>(target)), place(1, memory));
        }) == 0);
}
