// Properties of every attention, on random configurations. XTAPE_TEST_SEED repeats a run, and
// XTAPE_TEST_CONFIGURATIONS sets the number of configurations.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <cstdlib>
#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

using Mha = MultiHeadAttention<double>;
using V = Var<double>;
using Ids = Array<std::int64_t>;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

Ids permutation(std::size_t n, RandomStream& stream) {
  Ids p(Shape{n});
  for (std::size_t i = 0; i < n; ++i) p.data()[i] = static_cast<std::int64_t>(i);
  for (std::size_t i = n; i > 1; --i) std::swap(p.data()[i - 1], p.data()[stream.below(i)]);
  return p;
}

double largest(const Array<double>& a) {
  double most = 0;
  for (const double v : a) most = std::max(most, std::abs(v));
  return most;
}

/// One random layer with inputs and a mask, and what it computed.
struct Case {
  std::size_t b, t, s, dq, dv;
  Mha::Options options;
  Params<double> params;
  std::unique_ptr<Mha> layer;
  Array<double> query, value, key, upstream;
  Array<bool> mask;

  Case(std::uint64_t seed, RandomStream& r)
      : b(1 + r.below(3)),
        t(1 + r.below(5)),
        s(1 + r.below(5)),
        dq(1 + r.below(5)),
        dv(1 + r.below(5)),
        params({.seed = seed}) {
    const int groups = static_cast<int>(1 + r.below(2));
    options = {.num_heads = groups * static_cast<int>(1 + r.below(2)),
               .key_dim = 2 * static_cast<int>(1 + r.below(2)),
               .value_dim = static_cast<int>(r.below(4)),
               .use_bias = r.below(4) != 0,
               .bias_initializer = "random_normal",
               .use_gate = r.below(3) == 0,
               .num_key_value_heads = groups};
    if (r.below(3) == 0) options.output_shape = {3, 2};
    layer = std::make_unique<Mha>(params.scope() / "mha", options);
    query = random_array<double>({b, t, dq}, seed);
    value = random_array<double>({b, s, dv}, seed + 1);
    key = random_array<double>({b, s, dv + 1}, seed + 2);
    mask = Array<bool>(Shape{b, 1, t, s});
    for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = r.below(4) != 0;
    layer->build(query.shape(), value.shape(), key.shape());
    upstream = random_array<double>(output().shape(), seed + 3);
  }
  [[nodiscard]] Mha::WithScores run(const V& q, const V& v, const V& k,
                                    const Array<bool>& m) const {
    return layer->with_scores(q, v, {.key = k, .attention_mask = m});
  }
  [[nodiscard]] Array<double> output() const {
    return run(V(query), V(value), V(key), mask).output.value();
  }
  [[nodiscard]] bool attends(std::size_t batch, std::size_t row) const {
    for (std::size_t j = 0; j < s; ++j) {
      if (mask.data()[(batch * t + row) * s + j]) return true;
    }
    return false;
  }
};

Array<bool> taken(const Array<bool>& mask, const Ids& order, int axis) {
  Array<double> numbers = xt::cast<double>(mask);
  const Array<double> moved = take(V(numbers), order, axis).value();
  return Array<bool>(xt::not_equal(moved, 0.0));
}

void check_scores(const Case& c) {
  const Array<double> scores = c.run(V(c.query), V(c.value), V(c.key), c.mask).scores.value();
  const Array<double> sums = sum(V(scores), {-1}).value();
  const std::size_t heads = scores.shape()[1];
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::size_t row = i % c.t;
    const double expected = c.attends(i / c.t / heads, row) ? 1 : 0;
    CHECK(std::abs(sums.data()[i] - expected) < 1e-14);
  }
}

void check_permutations(const Case& c, RandomStream& r) {
  const Array<double> out = c.output();
  const Ids sources = permutation(c.s, r);
  const auto moved = c.run(V(c.query), take(V(c.value), sources, 1), take(V(c.key), sources, 1),
                           taken(c.mask, sources, 3));
  CHECK(difference(moved.output.value(), out) < 1e-12);
  const Ids targets = permutation(c.t, r);
  const auto turned =
      c.run(take(V(c.query), targets, 1), V(c.value), V(c.key), taken(c.mask, targets, 2));
  CHECK(difference(turned.output.value(), take(V(out), targets, 1).value()) < 1e-12);
  if (c.options.num_heads != *c.options.num_key_value_heads) return;
  // Heads may stand in any order, the same in all kernels.
  const Ids heads = permutation(static_cast<std::size_t>(c.options.num_heads), r);
  Params<double> params;
  for (const auto& [path, array] : c.params.values()) {
    const bool output = path.find("attention_output") != std::string::npos;
    const bool bias = path.find("/bias") != std::string::npos;
    const int axis = output || bias ? 0 : 1;
    params.set(path, output && bias ? array : take(V(array), heads, axis).value());
  }
  const Mha other(params.scope() / "mha", c.options);
  const V same = other(V(c.query), V(c.value), {.key = V(c.key), .attention_mask = c.mask});
  CHECK(difference(same.value(), out) < 1e-12);
}

/// The largest gradient of the key's bias, relative to the largest of all parameters.
double check_gradients_of(const Case& c) {
  Tape<double> tape;
  const V q = tape.watch(c.query);
  const V v = tape.watch(c.value);
  const V k = tape.watch(c.key);
  const V out = c.run(q, v, k, c.mask).output;
  const auto g = tape.backward(out, {.seed = V(c.upstream)});
  double most = 0, shift = 0;
  for (const auto& p : c.params.all()) most = std::max(most, largest(g[p].value()));
  if (c.options.use_bias) {
    // Softmax does not see a shift; and the output bias meets every position alike.
    shift = most > 0 ? largest(g.at("mha/key/bias").value()) / most : 0;
    CHECK(shift <= 1e-14);
    CHECK(difference(g.at("mha/attention_output/bias").value(),
                     sum(V(c.upstream), {0, 1}).value()) < 1e-12);
  }
  if (c.options.use_gate) return shift;  // the gate reads queries that attend to nothing
  const Array<double> dq = g[q].value();
  for (std::size_t b = 0; b < c.b; ++b) {
    for (std::size_t i = 0; i < c.t; ++i) {
      if (c.attends(b, i)) continue;
      for (std::size_t d = 0; d < c.dq; ++d) CHECK(dq(b, i, d) == 0.0);
    }
  }
  return shift;
}

void check_rescaling(const Case& c) {
  Params<double> params;
  for (const auto& [path, array] : c.params.values()) {
    const double factor = path.find("/query/") != std::string::npos ? 1 / 3.7
                          : path.find("/key/") != std::string::npos ? 3.7
                                                                    : 1.0;
    params.set(path, Array<double>(array * factor));
  }
  const Mha other(params.scope() / "mha", c.options);
  const V same = other(V(c.query), V(c.value), {.key = V(c.key), .attention_mask = c.mask});
  CHECK(difference(same.value(), c.output()) < 1e-12);
}

}  // namespace

TEST_CASE("identities of attention hold on random configurations") {
  const std::uint64_t seed = from_environment("XTAPE_TEST_SEED", 20240501);
  const std::uint64_t count = from_environment("XTAPE_TEST_CONFIGURATIONS", 2000);
  std::cout << "attention properties: " << count << " configurations, XTAPE_TEST_SEED=" << seed
            << "\n";
  double shift = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    RandomStream stream(seed, i);
    const Case c(seed + 1000 * i, stream);
    INFO("configuration " << i << " of XTAPE_TEST_SEED=" << seed);
    check_scores(c);
    check_permutations(c, stream);
    shift = std::max(shift, check_gradients_of(c));
    check_rescaling(c);
  }
  std::cout << "gradients of the key's bias: at most " << shift << " of the largest\n";
}

TEST_CASE("with one key the output does not depend on the query") {
  Params<double> params({.seed = 1});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 3, .output_shape = 4});
  const V value(random_array<double>({2, 1, 5}, 1));
  const V a = layer(V(random_array<double>({2, 3, 6}, 2)), value);
  const V b = layer(V(random_array<double>({2, 3, 6}, 3)), value);
  CHECK(difference(a.value(), b.value()) < 1e-15);
}
