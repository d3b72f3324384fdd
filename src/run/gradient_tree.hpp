#pragma once
// The tree along which gradients of shards are added. It depends on the count of shards alone.

#include <xtape/base/shards.hpp>
#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <optional>
#include <vector>

namespace xtape::detail {

/// A node: the shards begin ... end - 1. Its left child has as many as the largest power of two that is
/// smaller, so neighbours are added first.
struct TreeNode {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const noexcept { return end - begin; }
};

/// Whether `left` and `right` are the children of one node of the tree over `count` shards.
bool siblings(const TreeNode& left, const TreeNode& right, std::int64_t count) noexcept;
/// Returns the largest nodes that the shards begin ... end - 1 of the tree make, in order.
std::vector<TreeNode> cover(const Shards& shards);

/// Adds the gradients of a range of shards as they come. It holds at most log2(shards) + 1 of them.
template <class T> class GradientTree {
 public:
  struct Node {
    TreeNode shards;
    std::optional<Gradients<T>> sum;  // empty if no shard had gradients
  };
  explicit GradientTree(const Shards& shards) : shards_(shards), next_(shards.begin) {}

  /// Adds a shard; they come in ascending order, and some may be left out.
  void add(std::int64_t shard, Gradients<T> gradients);
  /// Returns the sums of cover(), and begins again.
  [[nodiscard]] std::vector<Node> take() { return take_before(shards_.end); }
  /// Returns the sums over the shards before this one, and begins again.
  [[nodiscard]] std::vector<Node> take_before(std::int64_t shard);

 private:
  void push(std::optional<Gradients<T>> gradients);

  Shards shards_;
  std::int64_t next_;
  std::vector<Node> nodes_;
};

/// Returns the gradients of parameters in the order of `params`: so the norm adds in that order.
template <class T> Gradients<T> in_order(const Params<T>& params, const Gradients<T>& gradients);

}  // namespace xtape::detail
