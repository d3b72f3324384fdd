// Compares the processor's tiles with the definition of rounded products in docs/arithmetic.md, and attention on them with
// attention on software's kernels, to the bit. tests/amx.sh runs it as the only process of an emulated computer.

#include "kernels/amx.hpp"
#include "kernels/amx_tiles.hpp"
#include "kernels/attention.hpp"
#include "kernels/rounded_tile.hpp"
#include "products/choice.hpp"
#include "products/gemm.hpp"
#include "support/rounded_sum.hpp"
#include "support/tile_model_kernels.hpp"

#include <fcntl.h>
#include <immintrin.h>
#include <sys/io.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

// Linux permits tiles where the processor can defer them (XFD). The emulated one cannot, so its refusal is printed and
// overruled: tiles.ko has switched them on, and no other process uses them.
extern "C" long __real_syscall(long number, long a, long b, long c);
extern "C" long __wrap_syscall(long number, long a, long b, long c) {
  const long answer = __real_syscall(number, a, b, c);
  if (number != SYS_arch_prctl || a != 0x1023) return answer;
  std::printf("arch_prctl(ARCH_REQ_XCOMP_PERM, %ld): %ld\n", b, answer);
  return 0;
}

using namespace xtape;
using kernels::Accumulate;
using kernels::GemmBlock;
using kernels::GemmTable;
using kernels::Index;
using Floats = std::vector<float>;

namespace {

/// Returns floats of all signs, with denormals. Kind 0: near one; 1: over many powers of two; 2: with infinities and NaN.
Floats numbers(Index n, int kind) {
  static std::mt19937 words;
  Floats x(static_cast<std::size_t>(n));
  for (float& value : x) {
    const auto word = static_cast<std::uint32_t>(words());
    std::uint32_t exponent = kind == 0 ? 120 + word % 8 : word % 91 + 30;
    if (kind > 0 && word % 17 == 0) exponent = 0;
    if (kind == 2 && word % 2003 == 0) exponent = 255;
    value =
        std::bit_cast<float>((static_cast<std::uint32_t>(words()) & 0x807FFFFFU) | exponent << 23U);
  }
  return x;
}

/// Counts results with other bits, and prints the count.
struct Count {
  long compared = 0, differing = 0;
  void see(float x, float y) {
    const bool same = std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
    differing += same || (std::isnan(x) && std::isnan(y)) ? 0 : 1;
    ++compared;
  }
  long report(const char* name) const {
    std::printf("  %s: %ld of %ld results differ\n", name, differing, compared);
    return differing;
  }
};

/// Compares products of one form. Results of large sizes are computed from a packed B as well.
Count products(const GemmTable<float>& table, bool a_turned, bool b_turned) {
  Count count;
  struct Size {
    Index m, n, k;
  };
  for (const Size& s : {Size{16, 16, 32},
                        {1, 1, 1},
                        {7, 9, 31},
                        {15, 17, 33},
                        {33, 31, 2},
                        {48, 32, 64},
                        {45, 43, 75},
                        {53, 83, 257},
                        {12, 256, 20},
                        {500, 330, 32},
                        {310, 505, 10}}) {
    for (const int kind : {0, 1, 2}) {
      const Floats a = numbers(s.m * s.k, kind), b = numbers(s.k * s.n, kind),
                   bias = numbers(s.n, kind);
      const Floats before = numbers(s.m * s.n, kind);
      const Index b_row = b_turned ? 1 : s.n, b_column = b_turned ? s.k : 1;
      Floats packed(static_cast<std::size_t>(table.packed_size(s.k, s.n)));
      table.pack(s.k, s.n, 0, s.n, b.data(), b_row, b_column, packed.data());
      Floats small = before, large = before;
      GemmBlock<float> block{
          s.m, s.n, s.k, a.data(), a_turned ? 1 : s.k, a_turned ? s.m : 1, packed.data()};
      block.accumulate = s.k % 3 == 0   ? Accumulate::add
                         : s.k % 3 == 1 ? Accumulate::bias
                                        : Accumulate::overwrite;
      block.bias = bias.data();
      block.c_row = s.n;
      block.c = small.data();
      table.small(block, b.data(), b_row, b_column);
      block.c = large.data();
      table.multiply(block);
      const kernels::FlushDenormals flushing;
      for (Index i = 0; i < s.m * s.n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const float start = block.accumulate == Accumulate::overwrite ? 0.0F
                            : block.accumulate == Accumulate::bias
                                ? bias[static_cast<std::size_t>(i % s.n)]
                                : before[at];
        const float sum = test::rounded_sum(start, s.k, a.data() + i / s.n * block.a_row,
                                            block.a_column, b.data() + i % s.n * b_column, b_row);
        count.see(small[at], sum);
        count.see(large[at], sum);
      }
    }
  }
  return count;
}

/// Returns outputs and gradients of attention.
Floats attention(const GemmTable<float>& table, Index queries, Index keys, Index depth,
                 bool causal) {
  const auto random = [&](Index n) {
    Floats x(static_cast<std::size_t>(n));
    std::mt19937 words(static_cast<unsigned>(n));
    for (float& value : x) value = static_cast<float>(words() >> 8U) * 0x1p-22F - 2;
    return x;
  };
  const Floats q = random(queries * depth), k = random(keys * depth), v = random(keys * depth + 1);
  const Floats g = random(queries * depth + 2);
  Floats o(q.size()), top(static_cast<std::size_t>(queries)), sums(top), delta(top);
  Floats dq(q.size()), dk(k.size()), dv(k.size());
  kernels::AttentionHeads<float> h;
  h.queries = queries;
  h.keys = h.last_key = keys;
  h.depth = h.value_depth = h.q_row = h.k_row = h.v_row = depth;
  h.q = q.data();
  h.k = k.data();
  h.v = v.data();
  h.scale = 0.25F;
  h.rounded = &table;
  if (causal) h.ahead = 0;
  kernels::AttentionForward<float> forward;
  forward.o = o.data();
  forward.o_row = depth;
  forward.row_max = top.data();
  forward.inverse_sum = sums.data();
  forward.end = queries;
  kernels::AttentionBackward<float> backward;
  backward.o = o.data();
  backward.g = g.data();
  backward.o_row = depth;
  backward.row_max = top.data();
  backward.inverse_sum = sums.data();
  backward.delta = delta.data();
  backward.dq = dq.data();
  backward.dk = dk.data();
  backward.dv = dv.data();
  kernels::Prefetch<float> prefetch;
  kernels::AttentionKernels<float, kernels::Avx512>::forward(h, forward, prefetch);
  kernels::AttentionKernels<float, kernels::Avx512>::backward(h, backward, prefetch);
  for (const Floats* part : {&dq, &dk, &dv}) o.insert(o.end(), part->begin(), part->end());
  return o;
}

/// Compares VCVTNE2PS2BF16, which packs the library's operands, with the definition of rounding.
[[gnu::target("avx512f,avx512bf16")]] Count rounding() {
  alignas(64) float x[32];
  alignas(64) std::uint16_t y[32];
  Count count;
  for (int i = 0; i < 1000; ++i) {
    const Floats all = numbers(32, i % 3);
    std::copy(all.begin(), all.end(), x);
    const auto r = _mm512_cvtne2ps_pbh(_mm512_load_ps(x + 16), _mm512_load_ps(x));
    std::memcpy(y, &r, sizeof(y));
    for (int j = 0; j < 32; ++j) {
      count.see(std::bit_cast<float>(static_cast<std::uint32_t>(y[j]) << 16U),
                kernels::round_to_bfloat16(x[j]));
    }
  }
  return count;
}

/// Compares three forms, and prints the counts.
long all_forms(const char* name, const GemmTable<float>& table) {
  std::printf("%s\n", name);
  return products(table, false, false).report("NN") + products(table, false, true).report("NT") +
         products(table, true, false).report("TN");
}

/// Compares a batch of products, as the library computes them, with software's.
Count batch() {
  constexpr Index kBatch = 260, kSide = 64, kDepth = 33;
  Count count;
  for (const int kind : {0, 1, 2}) {
    const Floats a = numbers(kBatch * kSide * kDepth, kind),
                 b = numbers(kBatch * kDepth * kSide, kind);
    Floats c[2];
    for (const bool plain : {false, true}) {
      products::force_plain_rounding(plain);
      Floats& to = c[plain ? 1 : 0];
      to.resize(static_cast<std::size_t>(kBatch * kSide * kSide));
      products::Product<float> p;
      p.m = p.n = p.b_row = p.c_row = kSide;
      p.k = p.a_row = kDepth;
      p.a_column = p.b_column = 1;
      p.a = a.data();
      p.b = b.data();
      p.c = to.data();
      p.rounding = Products::bfloat16;
      kernels::Loop<3> each;
      each.push(kBatch, {kSide * kDepth, kDepth * kSide, kSide * kSide});
      products::multiply(p, each);
    }
    for (std::size_t i = 0; i < c[0].size(); ++i) count.see(c[0][i], c[1][i]);
  }
  products::force_plain_rounding(false);
  return count;
}

/// Returns whether the tiles have the defined bits, and the library uses them if and only if its kernels have. `more`:
/// with more comparisons than an emulated processor has time for.
bool run(bool more) {
  if (!kernels::has_amx()) {
    std::printf("no AMX\n");
    return false;
  }
  const std::string used = describe(Products::bfloat16);
  std::printf("the library's choice: %s\n", used.c_str());
  using Plain = kernels::AmxGemm<kernels::AmxTiles<test::PlainPacking>>;
  const GemmTable<float>& tiles = kernels::kGemmTable<float, Plain>;
  const GemmTable<float>& library = kernels::amx_kernels();
  const GemmTable<float>& software =
      kernels::kGemmTable<float, kernels::RoundedGemm<kernels::Avx512>>;
  long wrong = all_forms("software", software);
  wrong += all_forms("tiles, packed one by one", tiles);
  Count count;
  for (const bool causal : {false, true}) {
    for (const Index depth : {8, 20, 32, 64}) {
      for (const Index length : {7, 75, 300, 640}) {
        if (length > 300 && !more) continue;
        const Index keys = causal ? length : length + 9;
        const Floats x = attention(tiles, length, keys, depth, causal);
        const Floats y = attention(software, length, keys, depth, causal);
        for (std::size_t i = 0; i < x.size(); ++i) count.see(x[i], y[i]);
      }
    }
  }
  wrong += count.report("attention, forward and backward");
  if (more) wrong += batch().report("a batch, by the library");
  static_cast<void>(rounding().report("VCVTNE2PS2BF16"));
  const bool same = all_forms("the library's tiles, packed by AVX512-BF16", library) == 0;
  return wrong == 0 && same == (used == "bfloat16 (amx)");
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  const bool alone = getpid() == 1;
  if (alone) {
    std::printf("tiles.ko: %ld\n", syscall(SYS_finit_module, open("/tiles.ko", O_RDONLY), "", 0));
  }
  const bool passed = run(!alone);
  std::printf("%s\n", passed ? "passed" : "failed");
  if (!alone) return passed ? 0 : 1;
  tcdrain(STDOUT_FILENO);
  // Bochs ends at this word.
  if (iopl(3) != 0) return 1;
  for (const char c : {'S', 'h', 'u', 't', 'd', 'o', 'w', 'n'}) {
    outb(static_cast<unsigned char>(c), 0x8900);
  }
  return 1;
}
