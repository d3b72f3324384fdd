#pragma once
/// \file
/// check_gradients(): compares a function's gradients with differences, first and second order.

#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <functional>
#include <string>
#include <vector>

namespace xtape {

/// Options of check_gradients.
struct GradcheckOptions {
  double eps = 1e-5;               ///< step of the central differences
  double tolerance = 1e-6;         ///< first order, relative to the largest gradient entry
  double second_tolerance = 1e-5;  ///< second order, likewise
  bool second_order = true;
  bool training = false;         ///< of the tape the function runs on
  std::uint64_t seed = 1;        ///< of the random directions, and of the tape
  std::size_t all_outputs = 32;  ///< up to this many outputs each gets its own backward
  std::size_t all_inputs = 512;  ///< up to this many input elements each is moved by itself
};

/// What check_gradients found.
struct GradcheckReport {
  bool passed = true;
  int order = 1;              ///< of the worst deviation
  double worst = 0.0;         ///< |analytic - numeric| / max(1e-3, largest gradient entry)
  double worst_first = 0.0;   ///< the worst deviation of the first order
  double worst_second = 0.0;  ///< and of the second
  std::string where;          ///< "input 1", a parameter's path, or "direction 3"
  std::size_t index = 0;      ///< element within it, row-major
  double value = 0.0;         ///< the element's value
  double analytic = 0.0;
  double numeric = 0.0;
  std::string message;  ///< the above in words; names the first failure
  explicit operator bool() const noexcept { return passed; }
};

/// A function to check: Vars in, one Var of any shape out. It must be deterministic.
using GradcheckFunction = std::function<Var<double>(const std::vector<Var<double>>&)>;

/// Compares the gradients of `f` at `inputs` (and for all trainable parameters of `params`, where
/// given) with central differences in double: the full Jacobian when it is small, random directions
/// when it is large. The second order compares derivatives of the gradients, also by the seed
/// gradient. Also fails when a second backward differs by a bit, when a zero seed gives anything but
/// zeros, or when a recorded backward (create_graph) gives another gradient. Reproducible: everything
/// follows from options.seed. Parameters are left as they were. After PyTorch's gradcheck and
/// gradgradcheck.
GradcheckReport check_gradients(const GradcheckFunction& f,
                                const std::vector<Array<double>>& inputs,
                                const GradcheckOptions& options = {},
                                Params<double>* params = nullptr);

}  // namespace xtape
