// Calls kernels of the instruction set XTAPE_ARCH. Products must have the bits of their definition. Hashes of functions,
// softmax, sums and attention are printed, so that tests/aarch64.sh can compare two processors.

#include "kernels/attention.hpp"
#include "kernels/attention_step.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/reduce.hpp"
#include "kernels/softmax.hpp"
#include "support/rounded_sum.hpp"

#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

using namespace xtape::kernels;

namespace {

template <class T> std::vector<T> uniform(Index n, T low, T high) {
  static std::mt19937 words;
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& value : x) value = low + (high - low) * static_cast<T>(words() >> 8U) * T(0x1p-24);
  return x;
}

/// Returns floats of all signs and exponents, with denormals.
std::vector<float> all_kinds(Index n) {
  static std::mt19937 words;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& value : x) {
    const auto word = static_cast<std::uint32_t>(words() & 0x807FFFFFU);
    const auto exponent = static_cast<std::uint32_t>(words() % 91U);
    value = std::bit_cast<float>(word | (exponent == 0 ? 0U : (exponent + 30U) << 23U));
  }
  return x;
}

template <class T> bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

struct Count {
  long compared = 0, differing = 0;
};

/// Compares C = sum of `definition` for products of many sizes.
template <class T, class Kernels, class Fill, class Definition>
Count products(const Fill& fill, const Definition& definition) {
  Count count;
  for (const Index m : {1, 5, 12, 30}) {
    for (const Index n : {1, 3, 4, 8, 9, 16, 33}) {
      for (const Index k : {1, 2, 31, 32, 33, 257}) {
        for (const bool turned : {false, true}) {
          const std::vector<T> a = fill(m * k), b = fill(k * n), before = fill(m * n);
          std::vector<T> c = before;
          GemmBlock<T> block{m, n, k, a.data(), turned ? 1 : k, turned ? m : 1};
          block.accumulate = Accumulate::add;
          block.c = c.data();
          block.c_row = n;
          const Index b_row = turned ? 1 : n, b_column = turned ? k : 1;
          Kernels::small(block, b.data(), b_row, b_column);
          for (Index i = 0; i < m * n; ++i) {
            const T expected =
                definition(before[static_cast<std::size_t>(i)], k, a.data() + i / n * block.a_row,
                           block.a_column, b.data() + i % n * b_column, b_row);
            count.differing += same(expected, c[static_cast<std::size_t>(i)]) ? 0 : 1;
            ++count.compared;
          }
        }
      }
    }
  }
  return count;
}

template <class T> T chain(T c, Index k, const T* a, Index a_step, const T* b, Index b_step) {
  for (Index p = 0; p < k; ++p) c = std::fma(a[p * a_step], b[p * b_step], c);
  return c;
}

float rounded_chain(float c, Index k, const float* a, Index a_step, const float* b, Index b_step) {
  const FlushDenormals flushing;
  return xtape::test::rounded_sum(c, k, a, a_step, b, b_step);
}

/// Prints a hash of y.
template <class T> void print(const char* name, const std::vector<T>& y) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const T value : y) {
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    for (const unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001B3ULL;
  }
  std::printf("%zu %s %016llx\n", sizeof(T), name, static_cast<unsigned long long>(hash));
}

template <class T> void hashes() {
  using A = XTAPE_ARCH;
  constexpr Index kRows = 37, kLength = 67, kAll = kRows * kLength;
  const std::vector<T> x = uniform<T>(kAll, T(-9), T(9));
  std::vector<T> y = x;
  const auto function = [&](const char* name, Unary f) {
    UnaryFunctions<T, A>::apply(f, kAll, x.data(), y.data(), {});
    print(name, y);
  };
  function("exp", "exp");
  function("tanh", "tanh");
  function("sigmoid", "sigmoid");
  function("softplus", "softplus");
  function("gelu", "gelu");
  function("reciprocal", "reciprocal");
  Softmax<T, A>::rows(false, kRows, kLength, x.data(), y.data());
  print("softmax", y);
  Softmax<T, A>::rows(true, kRows, kLength, x.data(), y.data());
  print("log_softmax", y);
  const std::vector<T> g = uniform<T>(kAll, T(-2), T(2));
  std::vector<T> dx = x;
  Softmax<T, A>::gradient(kRows, kLength, y.data(), g.data(), dx.data());
  print("gradient of softmax", dx);
  const std::vector<std::int64_t> labels(kRows, 5);
  for (const T smoothing : {T(0), T(0.1)}) {
    std::vector<T> losses(kRows), lse = losses;
    CrossEntropy<T, A>::value(kRows, kLength, x.data(), labels.data(), smoothing, losses.data(),
                              lse.data());
    CrossEntropy<T, A>::gradient(kRows, kLength, x.data(), labels.data(), smoothing, lse.data(),
                                 losses.data(), dx.data());
    print("cross entropy", losses);
    print("gradient of cross entropy", dx);
  }
  for (const Index length : {1, 7, 8, 33, 67, 1000}) {
    Loop<1> kept, reduced;
    const Index steps[] = {1};
    reduced.push(length, steps);
    std::vector<T> sum(1);
    Reductions<T, A>::reduce(Reduce::sum, kept, reduced, x.data(), sum.data());
    print("sum", sum);
  }
}

/// Prints hashes of attention of some lengths and depths, and of one query of a cache.
template <class T> void attention(const char* name, const GemmTable<T>* rounded, bool causal) {
  using A = XTAPE_ARCH;
  std::vector<T> all;
  for (const Index depth : {8, 20, 32}) {
    for (const Index queries : {7, 75, 300}) {
      const Index keys = causal ? queries : queries + 9;
      const std::vector<T> q = uniform<T>(queries * depth, -2, 2),
                           k = uniform<T>(keys * depth, -2, 2), v = uniform<T>(keys * depth, -2, 2),
                           g = uniform<T>(queries * depth, -2, 2);
      std::vector<T> o(q.size()), top(static_cast<std::size_t>(queries)), sums = top, delta = top;
      std::vector<T> dq(q.size()), dk(k.size()), dv(k.size());
      AttentionHeads<T> h;
      h.queries = queries;
      h.keys = h.last_key = keys;
      h.depth = h.value_depth = h.q_row = h.k_row = h.v_row = depth;
      h.q = q.data();
      h.k = k.data();
      h.v = v.data();
      h.scale = T(0.25);
      h.rounded = rounded;
      if (causal) h.ahead = 0;
      AttentionForward<T> forward;
      forward.o = o.data();
      forward.o_row = depth;
      forward.row_max = top.data();
      forward.inverse_sum = sums.data();
      forward.end = queries;
      AttentionBackward<T> backward;
      backward.o = o.data();
      backward.g = g.data();
      backward.o_row = depth;
      backward.row_max = top.data();
      backward.inverse_sum = sums.data();
      backward.delta = delta.data();
      backward.dq = dq.data();
      backward.dk = dk.data();
      backward.dv = dv.data();
      Prefetch<T> prefetch;
      AttentionKernels<T, A>::forward(h, forward, prefetch);
      AttentionKernels<T, A>::backward(h, backward, prefetch);
      for (const auto* part : {&o, &dq, &dk, &dv}) {
        all.insert(all.end(), part->begin(), part->end());
      }
      std::vector<T> rounded_k = k, rounded_v = v;
      AttentionStepKernels<T, A>::round(keys * depth, k.data(), rounded_k.data());
      AttentionStepKernels<T, A>::round(keys * depth, v.data(), rounded_v.data());
      for (const Index heads : {1, 4}) {
        for (const bool once : {false, true}) {
          if (once && rounded == nullptr) continue;
          std::vector<T> row(static_cast<std::size_t>(heads * depth));
          AttentionStep<T> step;
          step.heads = step.key_heads = heads;
          step.depth = step.value_depth = depth;
          step.capacity = step.keys = step.last = keys / heads;
          step.q = q.data();
          step.k = once ? rounded_k.data() : k.data();
          step.v = once ? rounded_v.data() : v.data();
          step.scale = T(0.25);
          step.rounded = rounded != nullptr;
          step.cache_rounded = once;
          step.o = row.data();
          std::vector<T> space(static_cast<std::size_t>(heads * attention_step_pitch(step)) +
                               64 / sizeof(T));
          void* work = space.data();
          std::size_t bytes = space.size() * sizeof(T);
          AttentionStepKernels<T, A>::row(step, 0,
                                          static_cast<T*>(std::align(64, bytes - 64, work, bytes)));
          all.insert(all.end(), row.begin(), row.end());
        }
      }
    }
  }
  print(name, all);
}

template <class T> void attentions() {
  attention<T>("attention", nullptr, false);
  attention<T>("causal attention", nullptr, true);
  if constexpr (sizeof(T) == sizeof(float)) {
    const auto& rounded = kGemmTable<float, RoundedGemm<XTAPE_ARCH>>;
    attention<T>("attention in bfloat16", &rounded, false);
    attention<T>("causal attention in bfloat16", &rounded, true);
  }
}

}  // namespace

int main() {
  long differing = 0;
  const auto report = [&](const char* name, const Count& count) {
    std::printf("%s: %ld of %ld products differ\n", name, count.differing, count.compared);
    differing += count.differing;
  };
  using A = XTAPE_ARCH;
  report("float", products<float, GemmKernels<float, A>>(
                      [](Index n) { return uniform<float>(n, -2, 2); }, chain<float>));
  report("double", products<double, GemmKernels<double, A>>(
                       [](Index n) { return uniform<double>(n, -2, 2); }, chain<double>));
  report("bfloat16", products<float, RoundedGemm<A>>(all_kinds, rounded_chain));
  hashes<float>();
  hashes<double>();
  attentions<float>();
  attentions<double>();
  return differing == 0 ? 0 : 1;
}
