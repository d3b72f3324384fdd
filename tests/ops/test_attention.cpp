// Attention as one operation against the same in plain operations, where several blocks of keys and
// queries are needed, for every instruction set; and the bits of it.

#include "layers/attention/path.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/isa.hpp"

#include <cmath>
#include <functional>
#include <iostream>

using namespace xtape;
using detail::AttentionPath;
using detail::ForcedAttentionPath;

namespace {

template <class T> struct Case {
  const char* name;
  Shape query, value;
  typename MultiHeadAttention<T>::Options options;
  std::function<void(typename MultiHeadAttention<T>::CallOptions&, Tape<T>&)> call;
};

Array<bool> random_mask(const Shape& shape, std::uint64_t seed) {
  Array<bool> mask(shape);
  const Array<float> x = test::random_array<float>(shape, seed);
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = x.data()[i] > -0.6F;
  return mask;
}

template <class T> std::vector<Case<T>> cases() {
  using Options = typename MultiHeadAttention<T>::Options;
  using Call = typename MultiHeadAttention<T>::CallOptions;
  const auto heads = [](int count, int depth) {
    Options o;
    o.num_heads = count;
    o.key_dim = depth;
    return o;
  };
  std::vector<Case<T>> all;
  const auto add = [&](const char* name, const Shape& query, const Shape& value,
                       const Options& options, const std::function<void(Call&, Tape<T>&)>& call) {
    all.push_back({name, query, value, options, call});
  };
  const auto nothing = [](Call&, Tape<T>&) {};
  const auto causal = [](Call& c, Tape<T>&) { c.use_causal_mask = true; };
  Options deep = heads(1, 256);
  deep.value_dim = 200;
  Options windowed = heads(2, 8);
  windowed.sliding_window = 40;
  Options grouped = heads(4, 8);
  grouped.num_key_value_heads = 2;
  Options outer = heads(2, 8);
  outer.attention_axes = {1};
  add("all", {2, 150, 12}, {2, 150, 12}, heads(2, 7), nothing);
  add("longer keys", {1, 13, 12}, {1, 300, 9}, heads(2, 20), nothing);
  add("causal", {1, 200, 12}, {1, 200, 12}, heads(2, 33), causal);
  add("one query", {3, 1, 12}, {3, 140, 12}, heads(2, 4), nothing);
  add("deep", {1, 60, 12}, {1, 70, 12}, deep, causal);
  add("window", {1, 260, 12}, {1, 260, 12}, windowed, causal);
  add("window ahead of the keys", {1, 20, 12}, {1, 300, 12}, heads(1, 8),
      [](Call& c, Tape<T>&) { c.mask = Mask::sliding_window(15, 250); });
  add("window behind the keys", {1, 300, 12}, {1, 20, 12}, heads(2, 16),
      [](Call& c, Tape<T>&) { c.mask = Mask::sliding_window(30, 0); });
  add("one and a half vectors of keys", {3, 30, 12}, {3, 20, 12}, heads(2, 8), nothing);
  add("few keys, in a window", {2, 19, 12}, {2, 19, 12}, heads(2, 8),
      [](Call& c, Tape<T>&) { c.mask = Mask::sliding_window(5, 2); });
  add("few keys, some hidden", {3, 22, 12}, {3, 13, 12}, heads(2, 5), [](Call& c, Tape<T>&) {
    c.key_mask = random_mask({3, 13}, 5);
    c.query_mask = random_mask({3, 22}, 6);
  });
  add("few keys, all hidden in one entry", {3, 9, 12}, {3, 27, 12}, grouped, [](Call& c, Tape<T>&) {
    c.mask = Mask::padding({27, 3, 0}, 27);
  });
  add("half a vector of keys", {2, 9, 12}, {2, 7, 12}, heads(2, 8), causal);
  add("so many heads that the next is fetched", {105, 20, 12}, {105, 20, 12}, heads(4, 8), causal);
  add("whole vectors", {2, 140, 12}, {2, 270, 12}, heads(4, 32), nothing);
  add("padding before", {2, 140, 12}, {2, 270, 12}, heads(2, 8), [](Call& c, Tape<T>&) {
    c.key_mask = Array<bool>({2, 270}, true);
    for (std::size_t i = 0; i < 150; ++i) c.key_mask->data()[i] = false;
  });
  add("padding", {3, 140, 12}, {3, 170, 12}, heads(2, 8), [](Call& c, Tape<T>&) {
    c.mask = Mask::padding({170, 60, 0}, 170);
  });
  add("gaps", {2, 140, 12}, {2, 170, 12}, heads(2, 8), [](Call& c, Tape<T>&) {
    c.key_mask = random_mask({2, 170}, 5);
    c.query_mask = random_mask({2, 140}, 6);
  });
  add("pairs", {2, 70, 12}, {2, 140, 12}, heads(2, 8), [](Call& c, Tape<T>&) {
    c.attention_mask = random_mask({2, 70, 140}, 5);
  });
  add("pairs, one column", {2, 70, 12}, {2, 140, 12}, heads(2, 8), [](Call& c, Tape<T>&) {
    c.attention_mask = random_mask({2, 2, 70, 1}, 5);
  });
  add("grouped", {2, 140, 12}, {2, 140, 12}, grouped, causal);
  add("bias", {2, 60, 12}, {2, 140, 12}, heads(4, 8), [](Call& c, Tape<T>& t) {
    c.attention_bias = t.watch(test::random_array<T>({1, 4, 60, 140}, 8));
  });
  add("bias of each key", {2, 60, 12}, {2, 140, 12}, grouped, [](Call& c, Tape<T>& t) {
    c.use_causal_mask = true;
    c.attention_bias = t.watch(test::random_array<T>({2, 1, 1, 140}, 8));
  });
  add("bias of each query", {2, 60, 12}, {2, 140, 12}, heads(2, 8), [](Call& c, Tape<T>& t) {
    c.attention_bias = t.watch(test::random_array<T>({2, 1, 60, 1}, 8));
  });
  add("slopes", {1, 140, 12}, {1, 140, 12}, heads(2, 8), [](Call& c, Tape<T>&) {
    c.use_causal_mask = true;
    c.alibi_slopes = Array<T>{T(0.5), T(0.03)};
  });
  add("two axes", {2, 9, 17, 12}, {2, 9, 17, 12}, heads(2, 8), nothing);
  add("the outer axis", {2, 70, 3, 12}, {2, 90, 3, 12}, outer, causal);
  return all;
}

template <class T>
std::vector<Array<T>> run(const Case<T>& c, AttentionPath path, double dropout, bool scores) {
  const ForcedAttentionPath forced(path);
  Tape<T> tape({.training = true, .seed = 5});
  Params<T> params({.seed = 3});
  auto options = c.options;
  options.dropout = dropout;
  const MultiHeadAttention<T> layer(params.scope(), options);
  const Var<T> query = tape.watch(test::random_array<T>(c.query, 1));
  const Var<T> value = tape.watch(test::random_array<T>(c.value, 2));
  typename MultiHeadAttention<T>::CallOptions call;
  c.call(call, tape);
  std::vector<Array<T>> results;
  Var<T> loss(T(0));
  const auto take = [&](const Var<T>& y) {
    results.push_back(y.value());
    loss = loss + sum(y * Var<T>(test::random_array<T>(y.shape(), 9)));
  };
  if (scores) {
    const auto both = layer.with_scores(query, value, call);
    take(both.output);
    take(both.scores);
  } else {
    take(layer(query, value, call));
  }
  const auto gradients = tape.backward(loss);
  results.push_back(gradients[query].value());
  results.push_back(gradients[value].value());
  if (call.attention_bias) results.push_back(gradients[*call.attention_bias].value());
  for (const std::string& name : params.paths()) results.push_back(gradients.at(name).value());
  return results;
}

template <class T> double relative(const std::vector<Array<T>>& a, const std::vector<Array<T>>& b) {
  REQUIRE(a.size() == b.size());
  double scale = 0;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, static_cast<double>(test::difference(a[i], b[i])));
    for (const T x : b[i]) scale = std::max(scale, static_cast<double>(std::abs(x)));
  }
  return worst / scale;
}

}  // namespace

TEMPLATE_TEST_CASE("fused attention is composed attention, over many blocks", "[attention]", double,
                   float) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-12;
  double worst = 0;
  for (const Case<T>& c : cases<T>()) {
    for (const double dropout : {0.0, 0.3}) {
      for (const bool scores : {false, true}) {
        test::on_each_isa([&] {
          INFO(c.name << ", dropout " << dropout << ", scores " << scores);
          const double error = relative(run(c, AttentionPath::fused, dropout, scores),
                                        run(c, AttentionPath::composed, dropout, scores));
          CHECK(error <= tolerance);
          worst = std::max(worst, error);
        });
      }
    }
  }
  std::cout << "fused against composed, " << (sizeof(T) == 4 ? "float" : "double") << ": worst "
            << worst << '\n';
}

TEST_CASE("neither threads nor asking for scores change a bit of attention",
          "[attention][threads]") {
  for (const Case<float>& c : cases<float>()) {
    INFO(c.name);
    set_num_threads(1);
    const auto expected = run(c, AttentionPath::fused, 0.3, true);
    const auto alone = run(c, AttentionPath::fused, 0.3, false);
    CHECK((alone[0] == expected[0]));
    for (const std::size_t threads : {2U, 3U, 4U}) {
      set_num_threads(threads);
      const auto got = run(c, AttentionPath::fused, 0.3, true);
      REQUIRE(got.size() == expected.size());
      for (std::size_t i = 0; i < got.size(); ++i) CHECK((got[i] == expected[i]));
    }
  }
  set_num_threads(2);
}

TEMPLATE_TEST_CASE("rows of few keys, four at once, are rows one by one to the bit", "[attention]",
                   double, float) {
  using T = TestType;
  for (const std::size_t keys : {3U, 8U, 12U, 16U, 21U, 24U, 32U}) {
    for (const double dropout : {0.0, 0.3}) {
      test::on_each_isa([&] {
        INFO(keys << " keys, dropout " << dropout);
        typename MultiHeadAttention<T>::Options options;
        options.num_heads = 2;
        options.key_dim = 8;
        Case<T> c{"", {2, 14, 12}, {2, keys, 12}, options, [](auto& call, Tape<T>&) {
                    call.use_causal_mask = true;
                  }};
        const auto together = run(c, AttentionPath::fused, dropout, false);
        // A mask of pairs is beyond what rows together can do, though it hides nothing.
        c.call = [keys](auto& call, Tape<T>&) {
          call.use_causal_mask = true;
          call.attention_mask = Array<bool>({2, 14, keys}, true);
        };
        const auto alone = run(c, AttentionPath::fused, dropout, false);
        REQUIRE(together.size() == alone.size());
        for (std::size_t i = 0; i < alone.size(); ++i) CHECK((together[i] == alone[i]));
      });
    }
  }
}

TEST_CASE("no matrix of scores is made", "[attention]") {
  const auto peak = [](std::size_t length) {
    Params<float> params({.seed = 3});
    const MultiHeadAttention<float> layer(params.scope(), {.num_heads = 2, .key_dim = 8});
    const Array<float> x = test::random_array<float>({1, length, 16}, 1);
    layer.build(x.shape(), x.shape());
    Tape<float> tape({.training = true});
    const std::int64_t before = memory_stats().in_use;
    reset_peak_memory();
    const auto y = layer(tape.watch(x), tape.watch(x), {.use_causal_mask = true});
    static_cast<void>(tape.backward(sum(y)));
    return memory_stats().peak - before;
  };
  const std::int64_t small = peak(1024);
  const std::int64_t large = peak(2048);
  CHECK(static_cast<double>(large) <= 2.1 * static_cast<double>(small));
  CHECK(large < std::int64_t{2048} * 2048 * 4 / 2);
}
