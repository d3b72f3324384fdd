#pragma once
// Adds the gradients of all ranks along the tree over shards. The bits depend on no number of ranks.

#include "run/gradient_tree.hpp"
#include "run/packing.hpp"

#include <xtape/run/team.hpp>

#include <string>
#include <vector>

namespace xtape::detail {

/// Which parameters have a gradient.
using Presence = std::vector<bool>;

/// Throws ValueError for fewer shards than ranks.
void check_ranks(const char* who, const Team* team, std::int64_t shards);

template <class T> class Reducer {
 public:
  /// Both must outlive it.
  Reducer(const Params<T>& params, Team& team, std::int64_t shards);

  /// Writes which gradients these nodes of this rank have: part of a message to all ranks.
  void put_presence(std::string& bytes, const std::vector<typename GradientTree<T>::Node>& nodes);
  /// Reads what rank `rank` wrote.
  void get_presence(Reader& reader, int rank);
  /// Returns the sum over all shards, the same on all ranks; nothing if no shard had gradients.
  [[nodiscard]] std::optional<Gradients<T>> sum(std::vector<typename GradientTree<T>::Node> nodes);

 private:
  struct Leaf {  // a node of a rank
    TreeNode shards;
    int rank;
    Presence present;
    [[nodiscard]] bool any() const;
  };
  struct Partial;  // a sum over part of the elements

  void lay_out();
  void pack(const Gradients<T>& gradients, T* to) const;
  void add(Partial& left, const Partial& right, std::size_t begin, std::size_t end) const;
  [[nodiscard]] bool halves() const;
  [[nodiscard]] Presence block_of(int rank, int ranks) const;
  // Both return all elements of the sum.
  const T* by_halves(T* own);
  const T* by_segments(const std::vector<T*>& own);

  const Params<T>& params_;
  Team& team_;
  std::int64_t count_;
  std::vector<Parameter<T>> parameters_;   // built and trainable ones
  std::vector<std::size_t> at_;            // where each begins in the flat arrays, and the end
  std::vector<std::vector<Leaf>> leaves_;  // by rank
  Presence total_;
  std::vector<std::vector<T>> flat_, received_;
  std::vector<T> result_;
};

}  // namespace xtape::detail
