#include "kernels/isa.hpp"

#include "kernels/amx.hpp"
#include "kernels/rounded_gemm.hpp"

#include <atomic>
#include <cstdlib>

#if defined(__x86_64__) && defined(__linux__) && !defined(XTAPE_NO_AMX)
#define XTAPE_HAS_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

#if defined(XTAPE_HAS_AMX)
bool has_amx() noexcept {
  static const bool found = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kSavesState = 1U << 27U;  // OSXSAVE: without it XGETBV is illegal
    if (!supported(Isa::avx512) || !__builtin_cpu_supports("avx512bf16") ||
        __get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSavesState) == 0) {
      return false;
    }
    constexpr unsigned kTiles = 1U << 24U | 1U << 22U;  // AMX-TILE, AMX-BF16
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTiles) != kTiles) return false;
    constexpr unsigned kStates = 1U << 18U | 1U << 17U;  // tiles and their configuration
    unsigned low = 0, high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & kStates) == kStates;
  }();
  return found;
}

bool may_use_amx() noexcept {
  static const bool granted = [] {
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return granted;
}
#else
bool has_amx() noexcept { return false; }
bool may_use_amx() noexcept { return false; }
#endif

bool chooses_amx() noexcept {
  const char* wanted = std::getenv("XTAPE_ISA");
  return has_amx() && (wanted == nullptr || *wanted == '\0' || kAmxName == wanted);
}

Isa active_isa() noexcept { return active().load(std::memory_order_relaxed); }

void force_isa(std::optional<Isa> isa) noexcept { active().store(isa ? *isa : best()); }

}  // namespace xtape::kernels
