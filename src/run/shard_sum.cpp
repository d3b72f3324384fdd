#include <xtape/run/shard_sum.hpp>

#include "base/check.hpp"
#include "base/instantiate.hpp"
#include "run/ranks.hpp"
#include "run/reducer.hpp"

namespace xtape {

template <class T>
void set_gradient(Gradients<T>& gradients, const Parameter<T>& parameter, Array<T> gradient) {
  const Shape& shape = parameter.value().shape();
  if (gradient.shape() != shape) {
    detail::fail<ShapeError>("gradients", "gradient of another shape: the gradient of '",
                             parameter.path(), "' is ", to_string(gradient.shape()), ", expected ",
                             to_string(shape), ", the shape of the parameter");
  }
  if (gradients.contains(parameter) || gradients.stored_scale() != 1.0) {
    Gradients<T> others;
    for (const auto& entry : gradients.entries()) {
      if (entry.slot.get() == &parameter.slot()) continue;
      const auto scale = static_cast<T>(gradients.stored_scale());
      others.accumulate(entry.slot, entry.tape, entry.stamp,
                        scale == T(1) ? entry.gradient : detail::scale(entry.gradient, scale));
    }
    gradients = std::move(others);
  }
  gradients.accumulate(parameter.leaf(), nullptr, 0, Var<T>(std::move(gradient)));
}
XTAPE_FOR_REALS(set_gradient);

template <class T> struct ShardSum<T>::State {
  State(const Params<T>& model, std::int64_t count, Team* ranks)
      : params(model), team(ranks), shards(shards_of(ranks, count)), tree(shards) {
    if (team != nullptr) reducer.emplace(params, *team, count);
  }
  /// Returns the sum over all ranks. The weights are then those of all shards.
  [[nodiscard]] std::optional<Gradients<T>> sum_of_team();

  const Params<T>& params;
  Team* team;
  Shards shards;
  detail::GradientTree<T> tree;
  std::optional<detail::Reducer<T>> reducer;
  std::int64_t next = shards.begin;
  std::vector<double> weights = {};  // of the shards so far
};

template <class T> ShardSum<T>::ShardSum(const Params<T>& params, std::int64_t shards, Team* team) {
  detail::check_count("ShardSum", "shards", shards);
  detail::check_ranks("ShardSum", team, shards);
  state_ = std::make_unique<State>(params, shards, team);
}
template <class T> ShardSum<T>::~ShardSum() = default;

template <class T> Shards ShardSum<T>::mine() const noexcept { return state_->shards; }

template <class T>
void ShardSum<T>::add(std::int64_t shard, Gradients<T> gradients, double weight) {
  State& s = *state_;
  detail::check_not_negative("ShardSum", "weight", weight);
  if (shard < s.next || shard >= s.shards.end) {
    detail::fail<ValueError>("ShardSum", "shard out of order: shard is ", shard, ", expected ",
                             s.next, " to ", s.shards.end - 1, ", ascending");
  }
  gradients.scale(weight);  // throws for a weight that T does not hold
  s.next = shard + 1;
  s.weights.push_back(weight);
  s.tree.add(shard, std::move(gradients));
}

// Tells the team the reason of an error before the reducer gives up pieces that are under way.
template <class T> std::optional<Gradients<T>> ShardSum<T>::State::sum_of_team() {
  return detail::ending_team(team, [&] {
    const std::vector<double> own = std::exchange(weights, {});
    std::string mine;
    detail::put<std::uint64_t>(mine, own.size());
    for (const double weight : own) detail::put<double>(mine, weight);
    reducer->begin(tree.take());
    reducer->end();
    reducer->put(mine);
    const std::vector<std::string> all = team->all_gather(mine, [&] { reducer->poll(); });
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      detail::Reader reader(all[rank]);
      for (auto n = reader.get<std::uint64_t>(); n > 0; --n) {
        weights.push_back(reader.get<double>());
      }
      reducer->get(reader, static_cast<int>(rank));
    }
    return reducer->result();
  });
}

template <class T> Gradients<T> ShardSum<T>::finish() {
  State& s = *state_;
  s.next = s.shards.begin;
  std::optional<Gradients<T>> sum;
  if (s.team != nullptr) {
    sum = s.sum_of_team();
  } else if (auto nodes = s.tree.take(); nodes.front().sum) {
    sum = detail::in_order(s.params, *nodes.front().sum);
  }
  double total = 0;
  for (const double weight : std::exchange(s.weights, {})) total += weight;
  if (!sum && total > 0) sum.emplace();  // no shard had a gradient
  if (!sum || !(total > 0)) {
    detail::fail<ValueError>("ShardSum", "nothing to add: the weights sum to ", total,
                             ", expected a positive sum and gradients; add() a shard first");
  }
  sum->scale(1.0 / total);
  return std::move(*sum);
}

template class ShardSum<float>;
template class ShardSum<double>;

}  // namespace xtape
