#pragma once
// Deliberate mistakes in gradients, for the test that the tests notice them. Needs a library with
// XTAPE_FAULTS, which hands each gradient of a pullback to a hook.

#include "tape/fault.hpp"

#include <xtape/xtape.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace xtape::test {

enum class FaultKind {
  none,
  factor,           // all elements times 1.001
  dropped_element,  // one element is zero
  dropped_term,     // the last slice is zero, as after a loop that ended early
  swapped_axis      // the last two axes are walked in the wrong order
};

struct Fault {
  FaultKind kind = FaultKind::none;
  std::string op;           // of the node whose pullback is altered
  std::size_t operand = 0;  // position among the operands that get a gradient
  std::size_t made = 0;     // how often it changed a value
};

inline Fault& fault() {
  static Fault instance;
  return instance;
}

/// Lists every (op, operand) whose pullback ran since the list was last emptied.
inline std::vector<std::pair<std::string, std::size_t>>& pullbacks_seen() {
  static std::vector<std::pair<std::string, std::size_t>> seen;
  return seen;
}

// Copies the elements as a pullback does that forgets a transpose: the last two axes longer than 1 are
// walked in the wrong order. A single such axis is reversed.
template <class T> void swap_axes(const Shape& shape, const T* from, T* to) {
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

// Zeroes the last entry along the outermost axis longer than 1, as a sum that ends one term early.
template <class T> void drop_term(const Shape& shape, T* p) {
  std::size_t block = size_of(shape);
  for (const std::size_t extent : shape) {
    if (extent > 1) {
      block /= extent;
      break;
    }
  }
  std::fill(p + size_of(shape) - block, p + size_of(shape), T(0));
}

template <class T> void apply_fault(const char* op, std::size_t operand, Var<T>& g) {
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
  // Zeros or equal elements may be unchanged. Then no mistake was made.
  bool changed = false;
  for (std::size_t i = 0; i < n; ++i) changed = changed || p[i] != g.data()[i];
  if (!changed) return;
  ++f.made;
  g = Var<T>(detail::ArrayPtr<T>(std::move(altered)), g.node_ref());
}

/// Makes the library call apply_fault().
inline void install_faults() {
  detail::gradient_hook<float> = apply_fault<float>;
  detail::gradient_hook<double> = apply_fault<double>;
}

}  // namespace xtape::test
