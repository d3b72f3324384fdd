// Attention whose products are rounded to bfloat16, forward and backward, against its definition in
// docs/arithmetic.md, to the bit, for every kernel that this processor has.

#include "kernels/attention.hpp"
#include "kernels/rounded_tile.hpp"
#include "products/choice.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/rounded_kernels.hpp"
#include "support/rounded_sum.hpp"

#include <bit>
#include <limits>
#include <vector>

using namespace xtape;
using kernels::Index;
using test::rounded_sum;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
using Floats = std::vector<float>;

float product(float c, Index k, const float* a, Index a_step, const float* b, Index b_step) {
  const kernels::FlushDenormals flushing;
  return rounded_sum(c, k, a, a_step, b, b_step);
}

/// Returns 2^x by attention's polynomial.
float exp2_of(float x) {
  if (!(x >= -126)) return 0;
  const float n = std::nearbyint(x);
  const float f = x - n;
  float y = std::fma(1.53458075e-4F, f, 1.33999312e-3F);
  for (const float c : {9.61848897e-3F, 5.55032878e-2F, 2.40226469e-1F, 6.93147206e-1F, 1.0F}) {
    y = std::fma(y, f, c);
  }
  return std::ldexp(y, static_cast<int>(n));
}

/// Returns the sum of sixteen lanes, folded in halves.
float folded(float (&lane)[16]) {
  for (int by = 8; by > 0; by /= 2) {
    for (int l = 0; l < by; ++l) lane[l] = lane[l] + lane[l + by];
  }
  return lane[0];
}

/// One head of queries and keys of the same depth.
struct Head {
  Index queries, keys, depth;
  bool causal;
  float scale = 0.25F;
  Floats q, k, v, g;
  Floats o, row_max, inverse_sum, dq, dk, dv;

  Head(Index i, Index j, Index d, bool band, std::uint64_t seed)
      : queries(i), keys(j), depth(d), causal(band) {
    const auto random = [&](Index rows, double size) {
      const auto a = test::random_array<float>(
          {static_cast<std::size_t>(rows), static_cast<std::size_t>(d)}, seed++, -size, size);
      return Floats(a.data(), a.data() + a.size());
    };
    q = random(i, 4);
    k = random(j, 4);
    v = random(j, 1);
    g = random(i, 1);
    clear();
  }
  void clear() {
    const auto of = [&](Index n) { return static_cast<std::size_t>(n); };
    o.assign(of(queries * depth), 7);
    dq = o;
    dk.assign(of(keys * depth), 7);
    dv = dk;
    row_max.assign(of(queries), 0);
    inverse_sum = row_max;
  }
  [[nodiscard]] Floats results() const {
    Floats all;
    for (const Floats* part : {&o, &dq, &dk, &dv})
      all.insert(all.end(), part->begin(), part->end());
    return all;
  }
  [[nodiscard]] bool sees(Index i, Index j) const { return !causal || j <= i; }
  [[nodiscard]] float score(Index i, Index j) const {
    return sees(i, j) ? product(0, depth, &q[at(i)], 1, &k[at(j)], 1) : -kInfinity;
  }
  [[nodiscard]] std::size_t at(Index row) const { return static_cast<std::size_t>(row * depth); }
  [[nodiscard]] float unit() const { return scale * 1.4426950408889634F; }

  void forward_by_definition() {
    for (Index i = 0; i < queries; ++i) {
      float most = -kInfinity;
      float sum = 0;
      float* const to = &o[at(i)];
      std::fill_n(to, depth, 0.0F);
      for (Index j0 = 0; j0 < keys; j0 += 128) {
        const Index n = std::min<Index>(128, keys - j0);
        float e[128];
        float top = -kInfinity;
        for (Index j = 0; j < n; ++j) {
          e[j] = score(i, j0 + j);
          top = std::max(top, e[j]);
        }
        const float shift = std::max(top * unit(), most);
        float lane[16] = {};
        for (Index j = 0; j < n; ++j) {
          e[j] = exp2_of(std::fma(e[j], unit(), -shift));
          lane[j % 16] = lane[j % 16] + e[j];
        }
        const float by = j0 == 0 ? 1.0F : exp2_of(most - shift);
        sum = sum * by + folded(lane);
        for (Index c = 0; c < depth; ++c) {
          to[c] = product(to[c] * by, n, e, 1, &v[at(j0)] + c, depth);
        }
        most = shift;
      }
      row_max[static_cast<std::size_t>(i)] = most;
      inverse_sum[static_cast<std::size_t>(i)] = 1 / sum;
      for (Index c = 0; c < depth; ++c) to[c] = to[c] * (1 / sum);
    }
  }

  void backward_by_definition() {
    for (Floats* x : {&dq, &dk, &dv}) std::fill(x->begin(), x->end(), 0.0F);
    for (Index j0 = 0; j0 < keys; j0 += 128) {
      const Index n = std::min<Index>(128, keys - j0);
      for (Index i0 = 0; i0 < queries; i0 += 48) {
        const Index rows = std::min<Index>(48, queries - i0);
        Floats p(48 * 128), ds(48 * 128);
        for (Index i = i0; i < i0 + rows; ++i) {
          float lane[16] = {};
          for (Index c = 0; c < depth; ++c) {
            lane[c % 16] = std::fma(o[at(i) + static_cast<std::size_t>(c)],
                                    g[at(i) + static_cast<std::size_t>(c)], lane[c % 16]);
          }
          const float delta = folded(lane);
          for (Index j = 0; j < n; ++j) {
            const auto row = static_cast<std::size_t>(i);
            const float e =
                exp2_of(std::fma(score(i, j0 + j), unit(), -row_max[row])) * inverse_sum[row];
            const float de = product(0, depth, &g[at(i)], 1, &v[at(j0 + j)], 1);
            const auto here = static_cast<std::size_t>((i - i0) * 128 + j);
            p[here] = e;
            ds[here] = (e == 0 ? 0 : e * (de - delta)) * scale;
          }
          for (Index c = 0; c < depth; ++c) {
            float& to = dq[at(i) + static_cast<std::size_t>(c)];
            to = product(to, n, &ds[static_cast<std::size_t>((i - i0) * 128)], 1, &k[at(j0)] + c,
                         depth);
          }
        }
        for (Index j = 0; j < n; ++j) {
          for (Index c = 0; c < depth; ++c) {
            const std::size_t to = at(j0 + j) + static_cast<std::size_t>(c);
            dk[to] =
                product(dk[to], rows, &ds[static_cast<std::size_t>(j)], 128, &q[at(i0)] + c, depth);
            dv[to] =
                product(dv[to], rows, &p[static_cast<std::size_t>(j)], 128, &g[at(i0)] + c, depth);
          }
        }
      }
    }
  }

  void by_kernels() {
    kernels::AttentionHeads<float> h;
    h.queries = queries;
    h.keys = h.last_key = keys;
    h.depth = h.value_depth = h.q_row = h.k_row = h.v_row = depth;
    h.q = q.data();
    h.k = k.data();
    h.v = v.data();
    h.scale = scale;
    h.rounded = products::own_kernels<float>(Products::bfloat16);
    if (causal) h.ahead = 0;
    kernels::AttentionForward<float> forward;
    forward.o = o.data();
    forward.o_row = depth;
    forward.row_max = row_max.data();
    forward.inverse_sum = inverse_sum.data();
    forward.end = queries;
    Floats delta(static_cast<std::size_t>(queries));
    kernels::AttentionBackward<float> backward;
    backward.o = o.data();
    backward.g = g.data();
    backward.o_row = depth;
    backward.row_max = row_max.data();
    backward.inverse_sum = inverse_sum.data();
    backward.delta = delta.data();
    backward.dq = dq.data();
    backward.dk = dk.data();
    backward.dv = dv.data();
    kernels::Prefetch<float> prefetch;
    kernels::on_isa([&](auto isa) {
      kernels::AttentionKernels<float, decltype(isa)>::forward(h, forward, prefetch);
      kernels::AttentionKernels<float, decltype(isa)>::backward(h, backward, prefetch);
    });
  }
};

/// Kernels without fused multiply-adds have other exponentials.
template <class F> void on_each_kernel(const F& f) { test::on_each_rounded_kernel(1, f); }

std::size_t differing(const Floats& x, const Floats& y) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    count += std::bit_cast<std::uint32_t>(x[i]) != std::bit_cast<std::uint32_t>(y[i]) ? 1 : 0;
  }
  return count;
}

}  // namespace

TEST_CASE("rounded attention has the defined bits, forward and backward", "[attention]") {
  std::size_t results = 0;
  for (const bool causal : {false, true}) {
    for (const Index depth : {8, 20, 32}) {
      for (const Index length : {7, 30, 75, 300, 460}) {
        Head head(length, causal ? length : length + 9, depth, causal, 1);
        head.forward_by_definition();
        head.backward_by_definition();
        const Floats expected = head.results();
        on_each_kernel([&] {
          CAPTURE(causal, depth, length);
          head.clear();
          head.by_kernels();
          CHECK(differing(head.results(), expected) == 0);
          results += expected.size();
        });
      }
    }
  }
  if (kernels::supported(kernels::Isa::avx2)) CHECK(results >= 1'000'000);
}

TEST_CASE(
    "rounded layers of attention: close to float32, gradients close to double's, equal everywhere",
    "[attention][threads]") {
  const Shape shape{3, 70, 32};
  struct Pass {
    Array<float> y, g;
  };
  const auto pass = [&]<class T>(T, Products products, bool scores) {
    Params<T> params({.seed = 1});
    const MultiHeadAttention<T> layer(
        params.scope() / "m", {.num_heads = 4, .key_dim = 8, .dropout = scores ? 0.0 : 0.2});
    Tape<T> tape({.training = true, .seed = 2, .products = products});
    const Var<T> x = tape.watch(test::random_array<T>(shape, 1));
    const Var<T> y = layer(x, x, {.use_causal_mask = true});
    const Array<T> g = tape.backward(sum(y * y))[x].value();
    return Pass{Array<float>(xt::cast<float>(y.value())), Array<float>(xt::cast<float>(g))};
  };
  const Pass exact = pass(double{}, Products::bfloat16, true);
  std::optional<Pass> first;
  on_each_kernel([&] {
    for (const std::size_t threads : {1U, 2U, 4U}) {
      set_num_threads(threads);
      const Pass rounded = pass(float{}, Products::bfloat16, true);
      CHECK(test::difference(rounded.y, exact.y) < 0x1p-7);
      CHECK(test::difference(rounded.y, exact.y) > 1e-5);
      CHECK(test::difference(rounded.g, exact.g) < 0x1p-4);
      const Pass dropped = pass(float{}, Products::bfloat16, false);
      if (!first) first = dropped;
      CHECK(test::difference(first->y, dropped.y) == 0);
      CHECK(test::difference(first->g, dropped.g) == 0);
    }
  });
  set_num_threads(2);
}

TEST_CASE("rounded attention of grouped heads, windows and wide heads is close to double's",
          "[attention]") {
  const auto pass = [&]<class T>(T, Products products) {
    Params<T> params({.seed = 1});
    const MultiHeadAttention<T> layer(params.scope() / "m", {.num_heads = 4,
                                                             .key_dim = 200,
                                                             .value_dim = 40,
                                                             .sliding_window = 60,
                                                             .num_key_value_heads = 2});
    Tape<T> tape({.seed = 2, .products = products});
    const Var<T> x = tape.watch(test::random_array<T>({2, 230, 32}, 1));
    const Var<T> y = layer(x, x, {.use_causal_mask = true});
    const Array<T> g = tape.backward(sum(y * y))[x].value();
    return std::pair(Array<float>(xt::cast<float>(y.value())), Array<float>(xt::cast<float>(g)));
  };
  const auto exact = pass(double{}, Products::bfloat16);
  const auto first = pass(float{}, Products::bfloat16);
  on_each_kernel([&] {
    const auto rounded = pass(float{}, Products::bfloat16);
    CHECK(test::difference(rounded.first, exact.first) < 0x1p-6);
    CHECK(test::difference(rounded.first, exact.first) > 1e-5);
    CHECK(test::difference(rounded.second, exact.second) < 0x1p-3);
    CHECK(test::difference(rounded.first, first.first) == 0);
    CHECK(test::difference(rounded.second, first.second) == 0);
  });
}
