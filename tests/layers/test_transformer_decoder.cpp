#include "support/blocks.hpp"
#include "support/misuse.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

using Block = TransformerDecoder<double>;
using Call = Block::CallOptions;

/// The positions of x, `step` at a time, through a cache.
double step_by_step(const Block& block, const Array<double>& x, const V& memory, const Call& call,
                    std::size_t step) {
  const Array<double> whole = block(V(x), memory, call).value();
  const std::size_t length = x.shape()[1];
  DecoderCache<double> cache(length);
  double worst = 0;
  for (std::size_t t = 0; t < length; t += step) {
    Call now = call;
    now.cache = &cache;
    if (call.decoder_padding_mask) {
      now.decoder_padding_mask = first_columns(*call.decoder_padding_mask, t + step);
    }
    // Only the first call looks at the memory.
    const V y = block(positions_of(x, t, step), t == 0 ? memory : V(), now);
    worst = std::max(worst, difference(y.value(), positions_of(whole, t, step).value()));
  }
  CHECK(cache.length() == length);
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("decoder blocks agree with PyTorch's TransformerDecoderLayer", "", double,
                   float) {
  using T = TestType;
  const auto check = [](const TransformerDecoder<T>& block, GoldenRun<T>& run, const Json& c) {
    const typename TransformerDecoder<T>::CallOptions call{
        .decoder_padding_mask = golden_constant<bool>(c, "padding_mask"),
        .encoder_padding_mask = golden_constant<bool>(c, "encoder_padding_mask"),
        .use_causal_mask = c["causal"].get<bool>()};
    const auto all = block.with_scores(run.input("x"), run.input("memory"), call);
    CHECK(difference(block(run.input("x"), run.input("memory"), call).value(),
                     all.output.value()) == 0);
    CHECK(all.self_scores.shape().back() == run.input("x").shape()[1]);
    CHECK(all.cross_scores.shape().back() == run.input("memory").shape()[1]);
    run.check(all.output);
  };
  check_golden_blocks<TransformerDecoder, T>("transformer_decoder", "transformer decoder", check);
}

TEST_CASE("cached decoding equals the full pass") {
  const Array<double> x = random_array<double>({2, 6, 8}, 1);
  const V memory(random_array<double>({2, 5, 7}, 2));  // another width than the decoder's
  double worst = 0;
  for (const Block::Options& options : all_blocks()) {
    Params<double> params({.seed = 2});
    const Block block(params.scope() / "b", options);
    const Block alone(params.scope() / "alone", options, CrossAttention::no);
    for (const std::size_t step : {1U, 2U, 6U}) {
      worst = std::max(worst, step_by_step(block, x, memory, {}, step));
      worst = std::max(worst, step_by_step(block, x, memory,
                                           {.decoder_padding_mask = padding_of({6, 4}, 6),
                                            .encoder_padding_mask = padding_of({2, 5}, 5)},
                                           step));
      worst = std::max(worst, step_by_step(alone, x, V(), {}, step));
    }
    // Without a causal mask steps differ from the whole: the comparison can fail.
    CHECK(step_by_step(block, x, memory, {.use_causal_mask = false}, 1) > 1e-3);
  }
  // Wide enough for other paths through the products.
  Params<double> params({.seed = 3});
  const Block wide(params.scope(), {.hidden_dim = 64, .num_heads = 4, .intermediate_dim = 128});
  worst = std::max(worst, step_by_step(wide, random_array<double>({3, 40, 64}, 1),
                                       V(random_array<double>({3, 50, 64}, 2)), {}, 1));
  CHECK(worst <= 1e-12);
  std::cout << "cached decoding: worst difference " << worst << '\n';
}

TEST_CASE("a later position changes nothing before it, bit for bit") {
  Params<double> params({.seed = 2});
  const Block block(params.scope() / "b", all_blocks()[0]);
  Array<double> x = random_array<double>({1, 5, 8}, 1);
  const V memory(random_array<double>({1, 3, 8}, 2));
  const Array<double> before = block(V(x), memory).value();
  for (std::size_t j = 0; j < 8; ++j) x(0, 3, j) += 1;
  const Array<double> after = block(V(x), memory).value();
  for (std::size_t t = 0; t < 5; ++t) {
    bool same = true;
    for (std::size_t j = 0; j < 8; ++j) same = same && before(0, t, j) == after(0, t, j);
    CHECK(same == (t < 3));
  }
  const Array<double> open = block(V(x), memory, {.use_causal_mask = false}).value();
  CHECK(difference(open, after) > 1e-3);
}

TEST_CASE("beams go on from their parents, and a cleared cache serves another batch") {
  Params<double> params({.seed = 2});
  const Block block(params.scope() / "b", all_blocks()[2]);
  const Array<double> x = random_array<double>({2, 2, 8}, 1);
  const Array<double> memory = random_array<double>({2, 3, 8}, 2);
  const Array<double> whole = block(V(x), V(memory)).value();
  DecoderCache<double> cache(4);
  static_cast<void>(block(positions_of(x, 0, 1), V(memory), {.cache = &cache}));
  CHECK_THROWS_AS(cache.reorder(array<std::int64_t>({1}, {2})), ValueError);
  cache.reorder(array<std::int64_t>({3}, {1, 0, 1}));
  const auto rows = [](const Array<double>& a) {
    return take(V(a), array<std::int64_t>({3}, {1, 0, 1}));
  };
  const V next = block(rows(positions_of(x, 1, 1).value()), V(), {.cache = &cache});
  CHECK(difference(next.value(), rows(positions_of(whole, 1, 1).value()).value()) <= 1e-12);
  cache.clear();
  CHECK(cache.length() == 0);
  CHECK(cache.capacity() == 4);
  const Array<double> other = random_array<double>({1, 2, 8}, 3);
  const V again(random_array<double>({1, 6, 8}, 4));
  CHECK(difference(block(V(other), again, {.cache = &cache}).value(),
                   block(V(other), again).value()) <= 1e-12);
}

TEST_CASE("the weights of a decoder block, in order") {
  Params<double> params({.seed = 1});
  const Block::Options options{.hidden_dim = 4, .num_heads = 2, .intermediate_dim = 3};
  const Block block(params.scope() / "b", options);
  const std::vector<std::string> paths = params.paths();
  const std::vector<std::string> firsts{paths[0],  paths[8],  paths[10],
                                        paths[18], paths[20], paths[24]};
  CHECK(firsts == std::vector<std::string>{
                      "b/self_attention/query/kernel", "b/self_attention_norm/gamma",
                      "b/cross_attention/query/kernel", "b/cross_attention_norm/gamma",
                      "b/feed_forward/intermediate/kernel", "b/feed_forward_norm/gamma"});
  CHECK(paths.size() == 26);
  const Block alone(params.scope() / "alone", options, CrossAttention::no);
  CHECK(params.paths().size() == 26 + 16);
}

TEST_CASE("a decoder block refuses options out of range") { check_bad_blocks<Block>(); }

TEST_CASE("a decoder block refuses inputs and masks that do not fit") {
  Params<double> params({.seed = 1});
  const Block::Options options{.hidden_dim = 4, .num_heads = 2, .intermediate_dim = 3};
  const Block block(params.scope() / "b", options);
  const Block alone(params.scope() / "a", options, CrossAttention::no);
  const Shape x{2, 3, 4};
  const Shape m{2, 5, 4};
  const auto with = [&](const Call& call) {
    return [&, call](const Vs& v) { static_cast<void>(block(v[0], v[1], call)); };
  };
  refuse<ShapeError>({
      {"rank", {s23, m}, with({}), {"b: input does not fit: x is (2, 3)"}},
      {"width", {{2, 3, 5}, m}, with({}), {"b: input does not fit: x is (2, 3, 5)"}},
      {"memory's rank", {x, s24}, with({}), {"b: memory does not fit: memory is (2, 4)"}},
      {"memory's batch",
       {x, {3, 5, 4}},
       with({}),
       {"b: memory does not fit: memory is (3, 5, 4)", "(2, positions, features)", "(2, 3, 4)"}},
      {"padding",
       {x, m},
       with({.decoder_padding_mask = all_true({2, 5})}),
       {"b: decoder_padding_mask does not fit", "expected (2, 3)"}},
      {"mask",
       {x, m},
       with({.decoder_attention_mask = all_true({3, 5})}),
       {"b: decoder_attention_mask does not fit", "(3, 5)", "(2, 2, 3, 3)"}},
      {"encoder's padding",
       {x, m},
       with({.encoder_padding_mask = all_true({2, 3})}),
       {"b: encoder_padding_mask does not fit", "expected (2, 5)"}},
      {"encoder's mask",
       {x, m},
       with({.encoder_attention_mask = all_true({3, 3})}),
       {"b: encoder_attention_mask does not fit", "(3, 3)", "(2, 2, 3, 5)"}},
  });
  CHECK(params.count() == 0);  // nothing was made for a call that is refused
  DecoderCache<double> cache(4);
  refuse<TapeError>({{"cache", {x, m}, with({.cache = &cache}), {"b: cache on a recording tape"}}});
  refuse<ValueError>({
      {"no memory",
       {x},
       [&](const Vs& v) { static_cast<void>(block(v[0])); },
       {"b: no memory", "CrossAttention::no"}},
      {"a memory too many",
       {x, m},
       [&](const Vs& v) { static_cast<void>(alone(v[0], v[1])); },
       {"a: no cross-attention", "CrossAttention::yes"}},
      {"a mask too many",
       {x},
       [&](const Vs& v) {
         static_cast<void>(alone(v[0], Call{.encoder_padding_mask = all_true({2, 5})}));
       },
       {"a: no cross-attention"}},
  });
  const V one(random_array<double>({2, 1, 4}, 1));
  const V memory(random_array<double>(m, 2));
  const V nothing(Array<double>(Shape{2, 0, 4}));
  CHECK(contains(
      error_of<ShapeError>([&] { static_cast<void>(block(one, nothing, {.cache = &cache})); }),
      "b: empty memory: memory is (2, 0, 4)"));
  CHECK_FALSE(cache.cross());
  static_cast<void>(block(one, memory));
  refuse<ShapeError>({{"another memory",
                       {x, {2, 5, 6}},
                       with({}),
                       {"b/cross_attention/key: input does not fit", "(2, 5, 6)"}}});
  CHECK_THROWS_AS(DecoderCache<double>(0), ValueError);
}

TEST_CASE("a call that fails leaves the cache as it was") {
  Params<double> params({.seed = 1});
  const Block block(params.scope() / "b", {.hidden_dim = 4, .num_heads = 2, .intermediate_dim = 3});
  DecoderCache<double> cache(2);
  const V one(random_array<double>({2, 1, 4}, 1));
  const V memory(random_array<double>({2, 5, 4}, 2));
  Array<double> bad = memory.value();
  bad(1, 2, 3) = HUGE_VAL;
  Tape<double> tape({.record = false, .check_finite = true});
  CHECK_THROWS_AS(block(tape.input(one), tape.input(bad), {.cache = &cache}), NonFiniteError);
  CHECK(cache.length() == 0);
  const Array<double> whole = block(one, memory).value();
  CHECK(difference(block(one, memory, {.cache = &cache}).value(), whole) <= 1e-12);
  // Another batch, and no room.
  const V wide(random_array<double>({3, 1, 4}, 1));
  CHECK_THROWS_AS(block(wide, V(), {.cache = &cache}), ShapeError);
  const V two(random_array<double>({2, 2, 4}, 1));
  CHECK(
      contains(error_of<ValueError>([&] { static_cast<void>(block(two, V(), {.cache = &cache})); }),
               "no room"));
  CHECK(cache.length() == 1);
  CHECK_NOTHROW(block(one, V(), {.cache = &cache}));
  CHECK(cache.length() == 2);
}
