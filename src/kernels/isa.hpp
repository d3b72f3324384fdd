#pragma once
// The instruction set that kernels use. Kernels are compiled once per instruction set from the same
// sources, as members of templates whose last parameter is one of the tags below; on_isa() picks one.

#include <optional>
#include <string_view>
#include <type_traits>

/// Defines the function `name`: member `member` of Kernels<T, A> with the active instruction set A. T is the type of the
/// numbers that the first pointer to floating-point numbers points to.
#define XTAPE_KERNEL(name, Kernels, member)                                              \
  template <class... Args> decltype(auto) name(Args&&... args) {                         \
    using T = typename ElementOf<std::decay_t<Args>...>::type;                           \
    return on_isa([&](auto isa) { return Kernels<T, decltype(isa)>::member(args...); }); \
  }

namespace xtape::kernels {

struct Baseline {};  // every processor of the target: SSE2 on x86-64, NEON on AArch64
struct Avx2 {};      // with FMA
struct Avx512 {};    // F, CD, DQ, BW

/// Whether the kernels of A have fused multiply-adds, and so products of their own.
#if defined(__aarch64__)
template <class A> inline constexpr bool kFuses = true;
#else
template <class A> inline constexpr bool kFuses = true;
template <> inline constexpr bool kFuses<Baseline> = false;
#endif

enum class Isa { baseline, avx2, avx512 };
inline constexpr Isa kAllIsas[] = {Isa::avx512, Isa::avx2, Isa::baseline};  // the best first

/// Returns the best instruction set that processor and operating system support, or the supported one that
/// the environment variable XTAPE_ISA names. It is chosen once.
Isa active_isa() noexcept;
bool supported(Isa isa) noexcept;
std::string_view name(Isa isa) noexcept;
/// Makes active_isa() return a supported one, or the default again. For tests.
void force_isa(std::optional<Isa> isa) noexcept;

/// Has the type that the first pointer to floating-point numbers among the arguments points to.
template <class Argument, class... Rest> struct ElementOf : ElementOf<Rest...> {};
template <class T, class... Rest>
requires std::is_floating_point_v<T>
struct ElementOf<T*, Rest...> {
  using type = std::remove_const_t<T>;
};

/// Calls f with the tag of the active instruction set.
template <class F> decltype(auto) on_isa(F&& f) {
#if defined(__x86_64__)
  switch (active_isa()) {
#if defined(XTAPE_NO_AVX512)
    case Isa::avx512: break;
#else
    case Isa::avx512: return f(Avx512{});
#endif
#if defined(XTAPE_NO_AVX2)
    case Isa::avx2: break;
#else
    case Isa::avx2: return f(Avx2{});
#endif
    case Isa::baseline: break;
  }
#endif
  return f(Baseline{});
}

}  // namespace xtape::kernels
