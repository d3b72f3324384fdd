// Calls kernels of the instruction set XTAPE_ARCH. Products must have the bits of their definition. Hashes of functions,
// softmax and sums are printed, so that tests/aarch64.sh can compare two processors.

#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/reduce.hpp"
#include "kernels/softmax.hpp"
#include "support/rounded_sum.hpp"

#include <cstdio>
#include <cstring>
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
  for (const Index length : {1, 7, 8, 33, 67, 1000}) {
    Loop<1> kept, reduced;
    const Index steps[] = {1};
    reduced.push(length, steps);
    std::vector<T> sum(1);
    Reductions<T, A>::reduce(Reduce::sum, kept, reduced, x.data(), sum.data());
    print("sum", sum);
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
  return differing == 0 ? 0 : 1;
}
