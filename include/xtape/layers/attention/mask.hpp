#pragma once
/// \file
/// Mask: which query may attend to which key, as a conjunction of conditions. It is evaluated when it
/// meets scores.

#include <xtape/array/array.hpp>

#include <cstddef>
#include <vector>

namespace xtape {

namespace detail {
struct MaskReader;
}

/// True = attend. The name of a condition gives the meaning of its axes, unlike a plain array, whose
/// meaning follows from its rank. Masks serve attention over one axis: T queries, S keys.
class Mask {
 public:
  /// Makes a mask without conditions: everything is attended to.
  Mask() = default;
  /// Masks keys that do not exist: keep is (batch, S). ShapeError for another rank.
  static Mask padding(const ArrayArg<bool>& keep);
  /// Keeps the first lengths[b] of `size` keys. ValueError when a length is larger than size.
  static Mask padding(const std::vector<std::size_t>& lengths, std::size_t size);
  /// Masks queries that do not exist: keep is (batch, T). They attend to nothing: their scores are zeros.
  static Mask queries(const ArrayArg<bool>& keep);
  /// Lets query i see keys j <= i + offset. With offset = S - T the last query sees every key.
  static Mask causal(std::ptrdiff_t offset = 0);
  /// Lets query i see keys j with |i + offset - j| < window. ValueError for a window of 0.
  static Mask sliding_window(std::size_t window, std::ptrdiff_t offset = 0);
  /// Makes a mask of any pattern: (T, S), (batch, T, S) or (batch, heads, T, S), extents of 1 broadcasting.
  /// ShapeError for another rank.
  static Mask pairwise(const ArrayArg<bool>& keep);

  /// Returns the conjunction.
  friend Mask operator&(Mask a, const Mask& b) {
    a.parts_.insert(a.parts_.end(), b.parts_.begin(), b.parts_.end());
    return a;
  }

  /// Returns whether there is no condition.
  [[nodiscard]] bool empty() const { return parts_.empty(); }
  /// Returns the conjunction as an array that broadcasts to scores (batch, free axes..., heads, T, S).
  /// ShapeError naming `path` and the condition that does not fit.
  [[nodiscard]] Array<bool> evaluate(const std::string& path, const Shape& scores) const;

 private:
  friend struct detail::MaskReader;
  enum class Kind { padding, queries, causal, window, pairwise };
  struct Part {
    Kind kind;
    Array<bool> keep = {};
    std::ptrdiff_t offset = 0;
    std::ptrdiff_t window = 0;
  };
  explicit Mask(Part part) { parts_.push_back(std::move(part)); }
  static Array<bool> evaluate(const Part& part, const std::string& path, const Shape& scores);

  std::vector<Part> parts_;
};

/// Returns where both are true, broadcast as in NumPy. ShapeError if they do not broadcast.
Array<bool> logical_and(const ArrayArg<bool>& a, const ArrayArg<bool>& b);

}  // namespace xtape
