#pragma once
// Running a test under every instruction set that this processor has.

#include "kernels/isa.hpp"

namespace xtape::test {

template <class F>
void for_every_isa(const F& body) {
  struct Restore {
    ~Restore() { kernels::force_isa(std::nullopt); }
  } restore;
  for (const auto isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (!kernels::supported(isa)) continue;
    kernels::force_isa(isa);
    body(isa);
  }
}

}  // namespace xtape::test
