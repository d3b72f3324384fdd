#pragma once
// The penalties of one tape, and whether the loss contains them. Recording and backward do not depend
// on this; a reader of the engine may skip it.

#include <xtape/tape/var.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace xtape::detail {

template <class T> struct LeafSource;

template <class T> struct PenaltyLedger {
  std::vector<Var<T>> outputs;  // penalties of layers' outputs, as they arise
  bool outputs_asked = false;   // Tape::penalties() was called after the last of them
  // Parameters whose penalty was asked for, with the stamp of the leaf.
  std::unordered_map<const LeafSource<T>*, std::uint64_t> weights_asked;
  // Regularized parameters used inside checkpoint(), with the number of nodes before. They have no leaf.
  std::unordered_map<std::shared_ptr<const LeafSource<T>>, std::size_t> weights_hidden;

  /// Forgets penalties behind the first `count`, and uses of parameters from node `nodes` on.
  void rewind(std::size_t count, std::size_t nodes);
};

/// Keeps a scalar for Tape::penalties(). TapeError inside checkpoint(), which would lose its gradient.
template <class T>
void add_penalty(TapeState<T>& state, const std::string& who, const Var<T>& penalty);
/// Throws TapeError when penalties of outputs or of weights in use were not asked for: then the loss
/// lacks them.
template <class T> void check_penalties(const TapeState<T>& state);

}  // namespace xtape::detail
