// Attention of single positions to a cache, read in place, against plain operations on copies; and the
// rows of a cache through everything that can happen to them.
#include "layers/attention/path.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/isa.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

template <class T> struct Case {
  typename MultiHeadAttention<T>::Options options;
  bool padded = false;
  bool silent_query = false;
};

template <class T> std::vector<Case<T>> cases() {
  std::vector<Case<T>> all;
  for (const int depth : {1, 3, 8, 33}) {
    Case<T> c;
    c.options = {.num_heads = 4, .key_dim = depth, .value_dim = depth + 2};
    all.push_back(c);
    c.padded = true;
    c.options.num_key_value_heads = 2;
    all.push_back(c);
    c.silent_query = true;
    c.options.sliding_window = 3;
    all.push_back(c);
  }
  // Hidden keys of heads that are added together; a head that is left over; heads of one key head; wide
  // keys and values.
  for (const int heads : {4, 6}) {
    Case<T> c;
    c.padded = true;
    c.options = {.num_heads = heads, .key_dim = 8, .value_dim = 35, .sliding_window = 3};
    all.push_back(c);
  }
  Case<T> shared;
  shared.padded = true;
  shared.options = {.num_heads = 4, .key_dim = 8, .value_dim = 35, .num_key_value_heads = 1};
  all.push_back(shared);
  Case<T> wide;
  wide.options = {.num_heads = 4, .key_dim = 300, .value_dim = 70, .num_key_value_heads = 2};
  all.push_back(wide);
  return all;
}

using Rows = Array<std::int64_t>;

/// Some steps with padding that has gaps, beams that go on from others in between. Everything that comes
/// out, one after the other.
template <class T> std::vector<Array<T>> run(const Case<T>& c, bool scores) {
  Params<T> params({.seed = 1});
  const MultiHeadAttention<T> layer(params.scope(), c.options);
  KeyValueCache<T> cache(70);
  std::vector<Array<T>> out;
  const Rows parents[] = {array<std::int64_t>({4}, {1, 0, 1, 1}),
                          array<std::int64_t>({3}, {3, 0, 0}),
                          array<std::int64_t>({5}, {2, 0, 1, 1, 0})};
  std::size_t rows = 2;
  RandomStream stream(5, 5);
  for (std::size_t t = 0; t < 66; ++t) {
    typename MultiHeadAttention<T>::CallOptions call{.use_causal_mask = true, .cache = &cache};
    if (c.padded) {
      Array<bool> keep(Shape{rows, t + 1});
      for (std::size_t i = 0; i < keep.size(); ++i) keep.data()[i] = stream.uniform() < 0.7;
      call.value_mask = keep;
    }
    if (c.silent_query) {
      Array<bool> keep(Shape{rows, 1}, true);
      keep(t % rows, 0) = false;
      call.query_mask = keep;
    }
    const Var<T> x(random_array<T>({rows, 1, 6}, t + 1));
    if (scores) {
      const auto both = layer.with_scores(x, x, call);
      out.push_back(both.output.value());
      out.push_back(both.scores.value());
    } else {
      out.push_back(layer(x, x, call).value());
    }
    if (t % 7 == 1) {
      const Rows& next = parents[t % 3];
      bool fits = true;
      for (const std::int64_t r : next) fits = fits && r < static_cast<std::int64_t>(rows);
      if (fits) {
        cache.reorder(next);
        rows = next.size();
      }
    }
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("attention to a cache in place equals plain operations on copies", "", float,
                   double) {
  using T = TestType;
  double worst = 0;
  on_each_isa([&] {
    for (const Case<T>& c : cases<T>()) {
      const auto in_place = run(c, true), silent = run(c, false);
      const auto plain = [&] {
        const detail::ForcedAttentionPath forced(detail::AttentionPath::composed);
        return run(c, true);
      }();
      REQUIRE(in_place.size() == plain.size());
      for (std::size_t i = 0; i < plain.size(); ++i) {
        worst = std::max(worst, difference(in_place[i], plain[i]));
      }
      // Asking for the scores changes no bit.
      for (std::size_t i = 0; i < silent.size(); ++i)
        CHECK(difference(silent[i], in_place[2 * i]) == 0);
    }
  });
  CHECK(worst <= (std::is_same_v<T, float> ? 2e-6 : 1e-13));
  std::cout << "attention to a cache in place: worst difference " << worst << '\n';
}

TEST_CASE("what masked positions of a cache hold changes nothing") {
  Params<double> params({.seed = 1});
  const MultiHeadAttention<double> layer(params.scope(), {.num_heads = 2, .key_dim = 4});
  const auto run_with = [&](double spoiled) {
    KeyValueCache<double> cache(4);
    Array<double> first = random_array<double>({1, 1, 6}, 1);
    first(0, 0, 2) = spoiled;
    static_cast<void>(layer(Var<double>(first), Var<double>(first), {.cache = &cache}));
    const Var<double> x(random_array<double>({1, 1, 6}, 2));
    return layer.with_scores(x, x,
                             {.value_mask = array<bool>({1, 2}, {false, true}), .cache = &cache});
  };
  const auto a = run_with(1), b = run_with(NAN);
  CHECK(difference(a.output.value(), b.output.value()) == 0);
  CHECK(difference(a.scores.value(), b.scores.value()) == 0);
  // Nothing to see: the output is the bias.
  KeyValueCache<double> cache(4);
  const Var<double> x(random_array<double>({1, 1, 6}, 2));
  const auto none =
      layer.with_scores(x, x, {.value_mask = array<bool>({1, 1}, {false}), .cache = &cache});
  CHECK(difference(none.output.value(), Array<double>(Shape{1, 1, 6}, 0.0)) == 0);
  CHECK(difference(none.scores.value(), Array<double>(Shape{1, 2, 1, 1}, 0.0)) == 0);
}

TEST_CASE("a masked position may hold anything when it is appended") {
  Params<double> params({.seed = 1});
  const MultiHeadAttention<double> layer(params.scope(), {.num_heads = 2, .key_dim = 4});
  const Var<double> query(random_array<double>({1, 1, 6}, 9));
  for (std::size_t bad = 0; bad < 3; ++bad) {
    const auto outputs = [&](double spoiled) {
      KeyValueCache<double> cache(4);
      std::vector<Array<double>> all;
      for (std::size_t t = 0; t < 3; ++t) {
        Array<double> value = random_array<double>({1, 1, 6}, t);
        if (t == bad) value(0, 0, 2) = spoiled;
        Array<bool> keep(Shape{1, t + 1}, true);
        if (bad <= t) keep(0, bad) = false;
        all.push_back(
            layer(query, Var<double>(value), {.value_mask = keep, .cache = &cache}).value());
      }
      return all;
    };
    const auto expected = outputs(1), found = outputs(NAN);
    for (std::size_t t = 0; t < 3; ++t) {
      INFO("position " << bad << " is masked, step " << t);
      CHECK(difference(found[t], expected[t]) == 0);
    }
  }
}

TEST_CASE("a cache's rows, through appending, reordering and truncating in any order") {
  constexpr std::size_t kCapacity = 9;
  RandomStream stream(3, 3);
  for (int round = 0; round < 200; ++round) {
    KeyValueCache<double> cache(kCapacity);
    std::vector<std::vector<double>> rows(1 + stream.below(3));  // what each should hold
    double next = 0;
    for (int step = 0; step < 25; ++step) {
      const std::size_t length = rows[0].size();
      const std::uint64_t what = stream.below(5);
      if (what < 2 && length < kCapacity) {
        const std::size_t count = 1 + stream.below(std::min<std::size_t>(2, kCapacity - length));
        Array<double> x(Shape{rows.size(), count, 1, 1});
        for (std::size_t r = 0; r < rows.size(); ++r) {
          for (std::size_t i = 0; i < count; ++i) rows[r].push_back(x(r, i, 0, 0) = ++next);
        }
        cache.append(Var<double>(x), Var<double>(Array<double>(-x)));
      } else if (what < 4 && length > 0) {
        Rows parents(Shape{1 + stream.below(5)});
        std::vector<std::vector<double>> after;
        for (std::int64_t& p : parents) {
          p = static_cast<std::int64_t>(stream.below(rows.size()));
          after.push_back(rows[static_cast<std::size_t>(p)]);
        }
        cache.reorder(parents);
        rows = after;
      } else if (length > 0) {
        const std::size_t kept = 1 + stream.below(length);
        cache.truncate(kept);
        for (auto& row : rows) row.resize(kept);
      }
      if (rows[0].empty()) continue;
      const Array<double> keys = cache.keys().value(), values = cache.values().value();
      REQUIRE(keys.shape() == Shape{rows.size(), rows[0].size(), 1, 1});
      for (std::size_t r = 0; r < rows.size(); ++r) {
        for (std::size_t i = 0; i < rows[r].size(); ++i) {
          REQUIRE(keys(r, i, 0, 0) == rows[r][i]);
          REQUIRE(values(r, i, 0, 0) == -rows[r][i]);
        }
      }
    }
  }
}

TEST_CASE("rounding when positions are appended has the bits of rounding at each use") {
  struct Restore {
    ~Restore() { set_products(Products::float32); }
  } restore;
  on_each_isa([] {
    for (const Case<float>& c : cases<float>()) {
      Params<float> params({.seed = 1});
      const MultiHeadAttention<float> layer(params.scope(), c.options);
      const auto heads =
          static_cast<std::size_t>(c.options.num_key_value_heads.value_or(c.options.num_heads));
      const auto depth = static_cast<std::size_t>(c.options.key_dim);
      const Var<float> keys(random_array<float>({2, 5, heads, depth}, 3));
      const auto width = static_cast<std::size_t>(c.options.value_dim);
      const Var<float> values(random_array<float>({2, 5, heads, width}, 4));
      const Var<float> x(random_array<float>({2, 1, 6}, 5));
      const auto steps = [&](Products products) {
        set_products(products);
        KeyValueCache<float> cache(9);
        cache.append(keys, values);
        CHECK(cache.rounded() == (products == Products::bfloat16));
        CHECK((difference(cache.keys().value(), keys.value()) == 0) != cache.rounded());
        CHECK((difference(cache.values().value(), values.value()) == 0) != cache.rounded());
        set_products(Products::bfloat16);
        std::vector<Array<float>> out;
        for (int step = 0; step < 4; ++step) {
          out.push_back(layer(x, x, {.use_causal_mask = true, .cache = &cache}).value());
          if (step == 1) cache.reorder(array<std::int64_t>({2}, {1, 0}));
          if (step == 2) cache.truncate(4);
        }
        CHECK(cache.rounded() == (products == Products::bfloat16));
        cache.clear();
        cache.append(keys, values);
        CHECK(cache.rounded());
        return out;
      };
      const auto once = steps(Products::bfloat16), each_time = steps(Products::float32);
      for (std::size_t i = 0; i < once.size(); ++i) CHECK(difference(once[i], each_time[i]) == 0);
    }
  });
}
