#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

using Mha = MultiHeadAttention<double>;

Array<double> positions(const Array<double>& x, std::size_t begin, std::size_t count) {
  return slice(Var<double>(x),
               {Slice::all(), Slice::range(static_cast<std::ptrdiff_t>(begin),
                                           static_cast<std::ptrdiff_t>(begin + count))})
      .value();
}

double step_by_step(const Mha::Options& options, const Mha::CallOptions& extra, std::size_t step) {
  Params<double> params({.seed = 2});
  const Mha layer(params.scope() / "mha", options);
  const Array<double> x = random_array<double>({2, 8, 6}, 1);
  Mha::CallOptions call = extra;
  call.use_causal_mask = true;
  const Array<double> whole = layer(Var<double>(x), Var<double>(x), call).value();
  KeyValueCache<double> cache(8);
  call.cache = &cache;
  double worst = 0;
  for (std::size_t t = 0; t < 8; t += step) {
    const Var<double> now(positions(x, t, step));
    worst = std::max(worst, difference(layer(now, now, call).value(), positions(whole, t, step)));
  }
  CHECK(cache.length() == 8);
  return worst;
}

}  // namespace

TEST_CASE("decoding step by step equals the full causal pass") {
  struct Decoding {
    const char* what;
    Mha::Options options;
    Mha::CallOptions call = {};
  };
  const Decoding all[] = {
      {"plain", {.num_heads = 2, .key_dim = 4}},
      {"two key heads", {.num_heads = 4, .key_dim = 4, .num_key_value_heads = 2}},
      {"one key head, rotary",
       {.num_heads = 4, .key_dim = 4, .num_key_value_heads = 1, .rotary = RotaryOptions{}}},
      {"two key heads, rotary",
       {.num_heads = 4, .key_dim = 6, .num_key_value_heads = 2, .rotary = RotaryOptions{}}},
      {"rotary interleaved",
       {.num_heads = 2, .key_dim = 4, .rotary = RotaryOptions{.interleaved = true}}},
      {"gate, window", {.num_heads = 2, .key_dim = 4, .use_gate = true, .sliding_window = 3}},
      {"slopes",
       {.num_heads = 2, .key_dim = 4},
       {.alibi_slopes = array<double>({2}, {0.5, 0.25})}}};
  double worst = 0;
  for (const Decoding& d : all) {
    for (const std::size_t step : {1U, 2U, 4U}) {
      INFO(d.what << ", positions a step: " << step);
      const double error = step_by_step(d.options, d.call, step);
      CHECK(error <= 1e-12);
      worst = std::max(worst, error);
    }
  }
  std::cout << "decoding step by step: differs from the full pass by at most " << worst << '\n';
}

TEST_CASE("cross-attention reads a cache that was filled once") {
  Params<double> params({.seed = 2});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 4});
  const Var<double> memory(random_array<double>({2, 5, 3}, 1));
  const Array<double> x = random_array<double>({2, 4, 6}, 2);
  const Mask mask = Mask::padding({5, 3}, 5);
  const Array<double> whole = layer(Var<double>(x), memory, {.mask = mask}).value();
  KeyValueCache<double> cache(5);
  for (std::size_t t = 0; t < 4; ++t) {
    const Var<double> now(positions(x, t, 1));
    const Var<double> y = layer(now, t == 0 ? memory : Var<double>(),
                                {.mask = mask, .cache = &cache, .cache_read_only = t > 0});
    CHECK(difference(y.value(), positions(whole, t, 1)) <= 1e-14);
    CHECK(cache.length() == 5);
  }
}

TEST_CASE("reordering makes beams go on from their parents") {
  KeyValueCache<float> cache(3);
  Array<float> key(Shape{2, 1, 1, 1});
  key.data()[0] = 1;
  key.data()[1] = 2;
  cache.append(Var<float>(key), Var<float>(key));
  cache.append(Var<float>(key), Var<float>(key));
  cache.reorder(array<std::int64_t>({3}, {1, 1, 0}));
  CHECK(difference(cache.keys().value(), array<float>({3, 2, 1, 1}, {2, 2, 2, 2, 1, 1})) == 0);
  CHECK(difference(cache.values().value(), cache.keys().value()) == 0);
  CHECK_THROWS_AS(cache.reorder(array<std::int64_t>({1}, {3})), ValueError);
  CHECK_THROWS_AS(cache.reorder(array<std::int64_t>({1}, {-1})), ValueError);
  cache.clear();
  CHECK(cache.length() == 0);
  CHECK_NOTHROW(cache.reorder(array<std::int64_t>({1}, {0})));
}

TEST_CASE("a truncated cache goes on from fewer positions") {
  KeyValueCache<float> cache(3);
  const Var<float> x(random_array<float>({2, 2, 1, 1}, 1));
  cache.append(x, x);
  CHECK_THROWS_AS(cache.truncate(3), ValueError);
  cache.truncate(1);
  CHECK(cache.length() == 1);
  cache.append(x, x);
  const Array<float> held = cache.keys().value();
  for (std::size_t b = 0; b < 2; ++b) {
    CHECK(held.data()[b * 3] == x.data()[b * 2]);
    CHECK(held.data()[b * 3 + 1] == x.data()[b * 2]);
    CHECK(held.data()[b * 3 + 2] == x.data()[b * 2 + 1]);
  }
  cache.truncate(0);
  cache.append(Var<float>(random_array<float>({5, 1, 2, 2}, 1)),
               Var<float>(random_array<float>({5, 1, 2, 2}, 1)));  // another batch
  CHECK(cache.length() == 1);
}

TEST_CASE("a cache refuses what does not fit, and stays as it was") {
  CHECK_THROWS_AS(KeyValueCache<float>(0), ValueError);
  KeyValueCache<float> cache(3);
  CHECK_THROWS_AS(cache.keys(), ValueError);
  const Var<float> two(random_array<float>({1, 2, 2, 4}, 1));
  cache.append(two, two);
  const auto refuse = [&](const Shape& key, const Shape& value) {
    const std::string text = error_of<ShapeError>([&] {
      cache.append(Var<float>(random_array<float>(key, 1)),
                   Var<float>(random_array<float>(value, 1)));
    });
    CHECK(contains(text, to_string(key)));
  };
  refuse({1, 1, 2}, {1, 1, 2});
  refuse({2, 1, 2, 4}, {2, 1, 2, 4});
  refuse({1, 1, 3, 4}, {1, 1, 3, 4});
  refuse({1, 1, 2, 4}, {1, 2, 2, 4});
  refuse({1, 1, 2, 4}, {1, 1, 2, 5});
  CHECK(contains(error_of<ValueError>([&] { cache.append(two, two); }), "at most 3"));
  CHECK(cache.length() == 2);
  Tape<float> tape;
  const std::string recording =
      error_of<TapeError>([&] { cache.append(tape.input(two), tape.input(two)); });
  CHECK(contains(recording, "recording tape"));
  Tape<float> silent({.record = false});
  const Var<float> one(random_array<float>({1, 1, 2, 4}, 1));
  CHECK_NOTHROW(cache.append(silent.input(one), silent.input(one)));
  CHECK(cache.length() == 3);
}

TEST_CASE("masked positions that are appended may hold NaN") {
  Params<double> params({.seed = 2});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 4});
  // The third of four positions does not exist in row 0.
  const Mask keep = Mask::padding([] {
    Array<bool> a(Shape{2, 4}, true);
    a(0, 2) = false;
    return a;
  }());
  const auto last_steps = [&](double hidden) {
    Array<double> x = random_array<double>({2, 4, 6}, 1);
    for (std::size_t i = 0; i < 6; ++i) x(0, 2, i) = hidden;
    KeyValueCache<double> cache(4);
    const Var<double> first(positions(x, 0, 2));
    static_cast<void>(layer(first, first, {.use_causal_mask = true, .cache = &cache}));
    const Var<double> query(positions(random_array<double>({2, 4, 6}, 5), 2, 2));
    const Var<double> value(positions(x, 2, 2));
    const auto y =
        layer.with_scores(query, value, {.mask = keep, .use_causal_mask = true, .cache = &cache});
    CHECK(y.scores.value()(0, 1, 1, 2) == 0.0);
    return y.output.value();
  };
  const Array<double> expected = last_steps(0.0);
  CHECK(difference(last_steps(std::nan("")), expected) == 0);
  CHECK(difference(last_steps(HUGE_VAL), expected) == 0);
  CHECK(difference(last_steps(7.0), expected) <= 1e-15);
}
