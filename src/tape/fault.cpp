#include "tape/fault.hpp"

#ifdef XTAPE_FAULTS

#include <algorithm>
#include <cmath>

namespace xtape::detail {

Fault& fault() {
  static Fault instance;
  return instance;
}

std::vector<std::pair<std::string, std::size_t>>& pullbacks_seen() {
  static std::vector<std::pair<std::string, std::size_t>> seen;
  return seen;
}

template <class T>
void apply_fault(const char* op, std::size_t operand, Var<T>& g) {
  auto& seen = pullbacks_seen();
  const std::pair<std::string, std::size_t> key{op, operand};
  if (std::find(seen.begin(), seen.end(), key) == seen.end()) seen.push_back(key);
  Fault& f = fault();
  if (f.kind == FaultKind::none || f.op != op || f.operand != operand || g.size() == 0) return;
  Array<T> altered = g.value();
  T* p = altered.data();
  const std::size_t n = altered.size();
  switch (f.kind) {
    case FaultKind::factor:
      for (std::size_t i = 0; i < n; ++i) p[i] *= T(1.001);
      break;
    case FaultKind::dropped_element: p[n / 2] = 0; break;
    case FaultKind::dropped_term: std::fill(p, p + n, T(0)); break;
    case FaultKind::swapped_axis: std::reverse(p, p + n); break;
    case FaultKind::none: break;
  }
  ++f.made;
  g = Var<T>(ArrayPtr<T>(std::move(altered)), g.place());
}

template void apply_fault(const char*, std::size_t, Var<float>&);
template void apply_fault(const char*, std::size_t, Var<double>&);

}  // namespace xtape::detail

#endif
