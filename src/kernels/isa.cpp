#include "kernels/isa.hpp"

#include "kernels/rounded_gemm.hpp"

#include <atomic>
#include <cstdlib>

namespace xtape::kernels {
namespace {

Isa best() noexcept {
  if (const char* wanted = std::getenv("XTAPE_ISA")) {
    for (const Isa isa : kAllIsas) {
      if (name(isa) == wanted && supported(isa)) return isa;
    }
  }
  for (const Isa isa : kAllIsas) {
    if (supported(isa)) return isa;
  }
  return Isa::baseline;
}

std::atomic<Isa>& active() noexcept {
  static std::atomic<Isa> isa{best()};
  return isa;
}

}  // namespace

bool supported(Isa isa) noexcept {
#if defined(__x86_64__)
  // The builtins also ask whether the operating system saves the wide registers.
  switch (isa) {
#if defined(XTAPE_NO_AVX512)
    case Isa::avx512: return false;
#else
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#endif
#if defined(XTAPE_NO_AVX2)
    case Isa::avx2: return false;
#else
    case Isa::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    case Isa::baseline: return true;
  }
#endif
  return isa == Isa::baseline;
}

std::string_view name(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx512: return "avx512";
    case Isa::avx2: return "avx2";
    case Isa::baseline: break;
  }
#if defined(__aarch64__)
  return "neon";
#else
  return "baseline";
#endif
}

bool has_avx512_bf16() noexcept {
#if defined(__x86_64__)
  return supported(Isa::avx512) && __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

Isa active_isa() noexcept { return active().load(std::memory_order_relaxed); }

void force_isa(std::optional<Isa> isa) noexcept { active().store(isa ? *isa : best()); }

}  // namespace xtape::kernels
