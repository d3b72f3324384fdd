#pragma once
// Deliberate mistakes in gradients, for the test that asks whether the tests would notice. Compiled
// in only with XTAPE_FAULTS; then the test program sets the fault to make.

#include <xtape/tape/var.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace xtape::detail {

// All elements times 1.001; one element zero; the last slice zero, as of a loop that ended early; the
// last two axes walked in the wrong order.
enum class FaultKind { none, factor, dropped_element, dropped_term, swapped_axis };

struct Fault {
  FaultKind kind = FaultKind::none;
  std::string op;           // of the node whose pullback is altered
  std::size_t operand = 0;  // position among the operands that get a gradient
  std::size_t made = 0;     // how often it changed a value
};

#ifdef XTAPE_FAULTS
Fault& fault();
// Every (op, operand) whose pullback ran since the list was last emptied.
std::vector<std::pair<std::string, std::size_t>>& pullbacks_seen();
template <class T>
void apply_fault(const char* op, std::size_t operand, Var<T>& g);
#endif

}  // namespace xtape::detail
