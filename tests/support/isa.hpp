#pragma once
// Kernels of every instruction set that the processor has.

#include "kernels/isa.hpp"

#include "support/catch.hpp"

#include <optional>

namespace xtape::test {

/// Calls f() once per supported instruction set, which the kernels use meanwhile.
template <class F>
void on_each_isa(const F& f) {
  struct Restore {
    ~Restore() { kernels::force_isa(std::nullopt); }
  } restore;
  for (const auto isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (!kernels::supported(isa)) continue;
    kernels::force_isa(isa);
    INFO("instruction set " << kernels::name(isa));
    f();
  }
}

}  // namespace xtape::test
