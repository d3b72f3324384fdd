#pragma once
// Arrays of layers that are no parameters: running statistics. They live among the parameters, so that
// files and checkpoints have them, and are never trained.

#include <xtape/params/params.hpp>

namespace xtape::detail {

/// Reserves a state. Params::set_trainable leaves it untrained.
template <class T> Parameter<T> reserve_state(const Scope<T>& scope, const std::string& name);

/// Returns the path of the first state, or an empty text.
template <class T> std::string state_path(const Params<T>& params);

}  // namespace xtape::detail
