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

namespace {

// The elements as if the last two axes longer than 1 had been walked in the wrong order: what a
// transpose forgotten in a pullback gives. With one such axis, that axis reversed.
template <class T>
void swap_axes(const Shape& shape, const T* from, T* to) {
  std::size_t columns = 1;
  std::size_t rows = 1;
  for (std::size_t i = shape.size(); i-- > 0 && rows == 1;) {
    if (shape[i] > 1) (columns == 1 ? columns : rows) = shape[i];
  }
  const std::size_t matrix = rows * columns;
  for (std::size_t base = 0; base < size_of(shape); base += matrix) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        const std::size_t at = rows == 1 ? columns - 1 - c : c * rows + r;
        to[base + r * columns + c] = from[base + at];
      }
    }
  }
}

// Zeros in the last entry along the outermost axis longer than 1: a sum that ended one term early.
template <class T>
void drop_term(const Shape& shape, T* p) {
  std::size_t block = size_of(shape);
  for (const std::size_t extent : shape) {
    if (extent > 1) {
      block /= extent;
      break;
    }
  }
  std::fill(p + size_of(shape) - block, p + size_of(shape), T(0));
}

}  // namespace

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
    case FaultKind::dropped_term: drop_term(altered.shape(), p); break;
    case FaultKind::swapped_axis: swap_axes(altered.shape(), g.data(), p); break;
    case FaultKind::none: break;
  }
  // Zeros and elements that are equal may come out as they were: then no mistake has been made.
  bool changed = false;
  for (std::size_t i = 0; i < n; ++i) changed = changed || p[i] != g.data()[i];
  if (!changed) return;
  ++f.made;
  g = Var<T>(ArrayPtr<T>(std::move(altered)), g.node_ref());
}

template void apply_fault(const char*, std::size_t, Var<float>&);
template void apply_fault(const char*, std::size_t, Var<double>&);

}  // namespace xtape::detail

#endif
