#include <xtape/products/products.hpp>

#include "base/message.hpp"
#include "kernels/amx.hpp"
#include "kernels/rounded_gemm.hpp"
#include "products/choice.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <vector>

namespace xtape {
namespace {

Products products_by_name(const char* where, std::string_view name) {
  if (name == "float32") return Products::float32;
  if (name == "bfloat16") return Products::bfloat16;
  std::string shown(name.substr(0, 40));
  // The text may hold anything, and a message may go to a terminal.
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  detail::fail<ValueError>(where, "unknown numbers: it is '", shown,
                           "', expected float32 or bfloat16; correct it, or leave it out for "
                           "float32");
}

std::atomic<Products>& setting() {
  static std::atomic<Products> products = [] {
    const char* text = std::getenv("XTAPE_PRODUCTS");
    return text == nullptr || *text == '\0' ? Products::float32
                                            : products_by_name("XTAPE_PRODUCTS", text);
  }();
  return products;
}

std::atomic<bool> g_plain{false};
std::atomic<const products::GemmTable<float>*> g_special{nullptr};

}  // namespace

void set_products(Products products) { setting().store(products, std::memory_order_relaxed); }

void set_products(std::string_view name) { set_products(products_by_name("set_products", name)); }

Products default_products() { return setting().load(std::memory_order_relaxed); }

namespace products {
namespace {

/// Returns a float of any kind: normal numbers first, then ones from denormal to large, then with infinities and NaN.
float number(std::uint32_t& state, int kind) {
  state = state * 1664525U + 1013904223U;
  const std::uint32_t random = state ^ (state >> 15U);
  const std::uint32_t exponent = kind == 0 ? 120U + random % 8U : random % 90U + 30U;
  std::uint32_t bits = (random & 0x807FFFFFU) | (exponent << 23U);
  if (kind == 1 && random % 17U == 0) bits &= 0x807FFFFFU;
  if (kind == 2 && random % 301U == 0) bits |= 0x7F800000U;
  return std::bit_cast<float>(bits);
}

std::vector<float> numbers(Index n, std::uint32_t& state, int kind) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& value : x) value = number(state, kind);
  return x;
}

/// The kernels for special instructions, beside Isa::avx512.
struct Special {
  const GemmTable<float>* table = nullptr;
  std::string_view name;
  std::string unused;  // the instructions that are not used, and why
};

#if defined(__x86_64__) && !defined(XTAPE_NO_AVX512)
/// Takes the kernels if they have the defined bits.
void consider(Special& special, std::string_view name, const GemmTable<float>& table) {
  if (same_bits(kernels::kGemmTable<float, kernels::RoundedGemm<kernels::Avx512>>, table)) {
    special.table = &table;
    special.name = name;
  } else {
    special.unused += "; " + std::string(name) + " is not used, because its bits differ";
  }
}
#endif

/// Returns the best kernels for special instructions of the processor. They are found once.
const Special& special() {
  static const Special found = [] {
    Special best;
#if defined(__x86_64__) && !defined(XTAPE_NO_AVX512)
#if !defined(XTAPE_NO_AMX)
    if (kernels::chooses_amx() && !kernels::may_use_amx()) {
      best.unused = "; amx is not used, because the operating system refuses it";
    } else if (kernels::chooses_amx()) {
      consider(best, kernels::kAmxName, kernels::amx_kernels());
    }
#endif
    if (best.table == nullptr && kernels::has_avx512_bf16()) {
      consider(best, "avx512_bf16",
               kernels::kGemmTable<float, kernels::RoundedGemm<kernels::Avx512Bf16>>);
    }
#endif
    return best;
  }();
  return found;
}

/// Returns the kernels for special instructions, or null.
const GemmTable<float>* special_kernels() {
  if (g_plain.load(std::memory_order_relaxed)) return nullptr;
  if (const auto* forced = g_special.load(std::memory_order_relaxed)) return forced;
  return kernels::active_isa() == kernels::Isa::avx512 ? special().table : nullptr;
}

/// Returns the kernels that round by software.
const GemmTable<float>* plain_rounded_kernels() {
  return kernels::on_isa(
      [](auto isa) { return &kernels::kGemmTable<float, kernels::RoundedGemm<decltype(isa)>>; });
}

}  // namespace

bool same_bits(const GemmTable<float>& a, const GemmTable<float>& b) {
  constexpr Index kM = 45, kN = 43, kK = 75;  // whole tiles and parts
  std::uint32_t state = 1;
  for (const int kind : {0, 1, 2}) {
    const std::vector<float> left = numbers(kM * kK, state, kind);
    const std::vector<float> right = numbers(kK * kN, state, kind);
    const std::vector<float> before = numbers(kM * kN, state, kind);
    std::vector<float> results[2] = {before, before};
    const GemmTable<float>* const tables[2] = {&a, &b};
    for (const int i : {0, 1}) {
      kernels::GemmBlock<float> block{kM, kN, kK, left.data(), kK, 1};
      block.accumulate = kernels::Accumulate::add;
      block.c = results[i].data();
      block.c_row = kN;
      tables[i]->small(block, right.data(), kN, 1);
    }
    const bool same =
        std::equal(results[0].begin(), results[0].end(), results[1].begin(), [](float x, float y) {
          return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y) ||
                 (std::isnan(x) && std::isnan(y));
        });
    if (!same) return false;
  }
  return true;
}

void force_plain_rounding(bool plain) noexcept { g_plain.store(plain, std::memory_order_relaxed); }

void force_special_kernels(const GemmTable<float>* kernels) noexcept {
  g_special.store(kernels, std::memory_order_relaxed);
}

template <class T> const GemmTable<T>* own_kernels(Products rounding) {
  if constexpr (std::is_same_v<T, float>) {
    if (rounding == Products::bfloat16) {
      const GemmTable<float>* const special = special_kernels();
      return special != nullptr ? special : plain_rounded_kernels();
    }
  }
  return kernels::on_isa([&](auto isa) -> const GemmTable<T>* {
    using A = decltype(isa);
    if constexpr (kernels::kFuses<A>) {
      return &kernels::kGemmTable<T, kernels::GemmKernels<T, A>>;
    } else {
      return nullptr;
    }
  });
}
template const GemmTable<float>* own_kernels<float>(Products);
template const GemmTable<double>* own_kernels<double>(Products);

template <class T> const GemmTable<T>* own_kernels(Products rounding, Index m, Index n, Index k) {
  const GemmTable<T>* const own = own_kernels<T>(rounding);
  if constexpr (std::is_same_v<T, float>) {
    const bool small =
        static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) < kSmallWork;
    if (own != nullptr && small && std::min({m, n, k}) < own->block.least)
      return plain_rounded_kernels();
  }
  return own;
}
template const GemmTable<float>* own_kernels<float>(Products, Index, Index, Index);
template const GemmTable<double>* own_kernels<double>(Products, Index, Index, Index);

}  // namespace products

std::string describe(Products products) {
  const std::string isa(kernels::name(kernels::active_isa()));
  if (products == Products::float32) return "float32 (" + isa + ")";
  if (const auto* table = products::special_kernels()) {
    const products::Special& special = products::special();
    return "bfloat16 (" +
           (table == special.table ? std::string(special.name) : "kernels of a test") + ")";
  }
  std::string text = "bfloat16 (" + isa + ", rounded by software";
  if (kernels::active_isa() == kernels::Isa::avx512) text += products::special().unused;
  return text + ")";
}

}  // namespace xtape
