#pragma once
// Kernels of every instruction set that the processor has, and every formula of the table of functions.

#include "kernels/functions.hpp"
#include "kernels/isa.hpp"

#include "support/catch.hpp"

#include <optional>
#include <string>
#include <vector>

namespace xtape::test {

inline std::vector<kernels::Isa> supported_isas() {
  std::vector<kernels::Isa> found;
  for (const auto isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (kernels::supported(isa)) found.push_back(isa);
  }
  return found;
}

/// As the first variable of a test case: runs it once per supported instruction set.
class EachIsa {
 public:
  EachIsa() : isa_(GENERATE(from_range(supported_isas()))) { kernels::force_isa(isa_); }
  ~EachIsa() { kernels::force_isa(std::nullopt); }
  EachIsa(const EachIsa&) = delete;
  EachIsa& operator=(const EachIsa&) = delete;
  [[nodiscard]] auto name() const { return kernels::name(isa_); }

 private:
  kernels::Isa isa_;
};

/// Calls f() once per supported instruction set, which the kernels use meanwhile.
template <class F> void on_each_isa(const F& f) {
  struct Restore {
    ~Restore() { kernels::force_isa(std::nullopt); }
  } restore;
  for (const kernels::Isa isa : supported_isas()) {
    kernels::force_isa(isa);
    INFO("instruction set " << kernels::name(isa));
    f();
  }
}

struct NamedFormula {
  std::string name;  // with a prime for each derivative
  kernels::Unary function;
};

inline std::vector<NamedFormula> every_formula() {
  std::vector<NamedFormula> all;
  kernels::Unary f("identity");  // the first row
  const auto add = [&](const auto& row) {
    f.orders = row.formulas;
    for (f.order = 0; f.order < f.orders; ++f.order) {
      all.push_back({std::string(row.name) + std::string(f.order, '\''), f});
    }
    ++f.row;
  };
  std::apply([&](const auto&... rows) { (add(rows), ...); }, kernels::kFunctions);
  return all;
}

}  // namespace xtape::test
