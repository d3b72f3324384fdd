#include "run/gradient_tree.hpp"

#include "base/instantiate.hpp"

#include <bit>

namespace xtape::detail {

bool siblings(const TreeNode& left, const TreeNode& right, std::int64_t count) noexcept {
  const std::int64_t size = left.size();
  const bool is_left = std::has_single_bit(static_cast<std::uint64_t>(size)) &&
                       left.begin % (2 * size) == 0 && left.end == right.begin;
  return is_left && (right.size() == size || (right.size() < size && right.end == count));
}

std::vector<TreeNode> cover(const Shards& shards) {
  std::vector<TreeNode> nodes;
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
    nodes.push_back({shard, shard + 1});
    while (nodes.size() > 1 && siblings(nodes[nodes.size() - 2], nodes.back(), shards.count)) {
      nodes[nodes.size() - 2].end = nodes.back().end;
      nodes.pop_back();
    }
  }
  return nodes;
}

template <class T> void GradientTree<T>::push(std::optional<Gradients<T>> gradients) {
  nodes_.push_back({{next_, next_ + 1}, std::move(gradients)});
  ++next_;
  while (nodes_.size() > 1 &&
         siblings(nodes_[nodes_.size() - 2].shards, nodes_.back().shards, shards_.count)) {
    Node right = std::move(nodes_.back());
    nodes_.pop_back();
    Node& left = nodes_.back();
    left.shards.end = right.shards.end;
    if (!left.sum) {
      left.sum = std::move(right.sum);
    } else if (right.sum) {
      left.sum->add(*right.sum);
    }
  }
}

template <class T> void GradientTree<T>::add(std::int64_t shard, Gradients<T> gradients) {
  while (next_ < shard) push({});
  push(std::move(gradients));
}

template <class T> auto GradientTree<T>::take_before(std::int64_t shard) -> std::vector<Node> {
  while (next_ < shard) push({});
  next_ = shards_.begin;
  return std::exchange(nodes_, {});
}

template <class T> Gradients<T> in_order(const Params<T>& params, const Gradients<T>& gradients) {
  Gradients<T> ordered;
  for (const Parameter<T>& p : params.all()) {
    if (gradients.contains(p)) ordered.accumulate(p.leaf(), nullptr, 0, gradients[p]);
  }
  return ordered;
}

template class GradientTree<float>;
template class GradientTree<double>;
XTAPE_FOR_REALS(in_order);

}  // namespace xtape::detail
