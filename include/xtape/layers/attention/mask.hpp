#pragma once
/// \file
/// Mask: which query may attend to which key, as a conjunction of conditions that is not evaluated
/// until it meets scores.

#include <xtape/array/array.hpp>

#include <cstddef>
#include <vector>

namespace xtape {

namespace detail {
struct MaskReader;
}

/// True = attend. Each condition says by its name what its axes mean, unlike a plain array, whose
/// meaning follows from its rank. For attention over one axis: T queries, S keys.
class Mask {
 public:
  /// No condition: everything is attended to.
  Mask() = default;
  /// Keys that exist: keep is (batch, S). ShapeError for another rank.
  static Mask padding(const Array<bool>& keep);
  /// The first lengths[b] keys of `size` exist. ValueError when a length is larger than size.
  static Mask padding(const std::vector<std::size_t>& lengths, std::size_t size);
  /// Queries that exist: keep is (batch, T). The others attend to nothing: their scores are zeros.
  static Mask queries(const Array<bool>& keep);
  /// Query i sees keys j <= i + offset. With an offset of S - T the last query sees everything.
  static Mask causal(std::ptrdiff_t offset = 0);
  /// Query i sees keys with |i + offset - j| < window. ValueError for a window of 0.
  static Mask sliding_window(std::size_t window, std::ptrdiff_t offset = 0);
  /// Any pattern: (T, S), (batch, T, S) or (batch, heads, T, S), extents of 1 broadcasting.
  /// ShapeError for another rank.
  static Mask pairwise(const Array<bool>& keep);

  /// Both conditions.
  friend Mask operator&(Mask a, const Mask& b) {
    a.parts_.insert(a.parts_.end(), b.parts_.begin(), b.parts_.end());
    return a;
  }

  /// Whether there is any condition.
  [[nodiscard]] bool empty() const { return parts_.empty(); }
  /// The conjunction as an array that broadcasts to scores (batch, free axes..., heads, T, S).
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

/// Where both are true, broadcast as in NumPy. ShapeError where they do not.
Array<bool> logical_and(const Array<bool>& a, const Array<bool>& b);

}  // namespace xtape
