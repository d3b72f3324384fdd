#pragma once
// Adds the gradients of all ranks along the tree over shards. The bits depend on no number of ranks.

#include "run/gradient_tree.hpp"
#include "run/packing.hpp"

#include <xtape/run/team.hpp>

#include <deque>
#include <string>
#include <vector>

namespace xtape::detail {

/// A sum is begin(), backward of this rank's last shard, end(), put(), get() of every rank, result().
/// Gradients are sent while that backward goes on, if the ranks agreed on the parameters before.
template <class T> class Reducer final : public BackwardWatch<T> {
 public:
  using Node = typename GradientTree<T>::Node;

  /// Both must outlive it. A bucket has at most so many elements.
  Reducer(const Params<T>& params, Team& team, std::int64_t shards,
          std::size_t most_elements = std::size_t{1} << 20);
  Reducer(const Reducer&) = delete;
  Reducer& operator=(const Reducer&) = delete;
  /// Ends the team if gradients are under way.
  ~Reducer() override {
    if (!moving_.empty()) team_.fail("a sum of gradients was given up");
  }

  /// Begins a sum of these nodes of this rank. Its last shard may follow.
  void begin(std::vector<Node> nodes);
  void passed(Sweep<T>& sweep) override;
  /// Adds the rest of the last shard, as backward returned it. TapeError for a gradient that came
  /// after its parameter was complete.
  void end(Gradients<T> last = {});
  /// Writes the parameters of this rank, and which have a gradient: part of a message to all ranks.
  void put(std::string& bytes);
  /// Reads what rank `rank` wrote. TeamError for other parameters than those here.
  void get(Reader& reader, int rank);
  /// Lets pieces that are under way move, but for those of the oldest buckets.
  void poll(std::size_t but = 0);
  /// Returns the sum over all shards, the same on all ranks; nothing if no shard had gradients.
  [[nodiscard]] std::optional<Gradients<T>> result();

 private:
  /// The gradients of a parameter.
  struct Summand {
    Parameter<T> parameter;
    std::vector<Var<T>> sums;  // by node of this rank; the first becomes the sum of all
    bool present = false;      // a shard of this rank has it
  };
  /// Elements that are added up at a time: a part of one array, or several small arrays, packed.
  struct Bucket {
    std::vector<std::size_t> members;  // summands
    std::size_t begin, size;           // elements, of the only member or of the packed ones
    bool packed;
    int channel = 0;
    std::vector<std::vector<T>> packs = {};  // by node
    std::vector<T*> own = {};                // elements, by node
    std::vector<std::vector<T>> received = {};
    int round = 0;
    std::unique_ptr<Team::Pending> pending = {};
  };
  using Range = std::pair<std::size_t, std::size_t>;

  [[nodiscard]] std::string layout() const;
  [[nodiscard]] std::vector<std::uint32_t> order_in(Sweep<T>& sweep) const;
  void append(const std::string& wanted);
  void fold(Summand& to, Var<T> last);
  void fold_rest();
  T* elements(Summand& of, std::size_t node) const;
  void launch();
  bool advance(Bucket& bucket);
  bool moves(Bucket& bucket);
  // Both end a round of a bucket and start the next one. They return false after the last.
  bool by_halves(Bucket& bucket);
  bool by_segments(Bucket& bucket);
  void add_pieces(Bucket& bucket, std::size_t begin, std::size_t size) const;
  [[nodiscard]] Range part(const Bucket& bucket, int halvings) const;

  const Params<T>& params_;
  Team& team_;
  std::int64_t count_;
  std::size_t most_elements_;
  bool halves_ = false;
  std::vector<std::vector<TreeNode>> cover_;  // by rank
  std::string laid_out_, agreed_, own_;       // a digit for each parameter: whether it takes part
  std::uint32_t checksum_ = 0;                // of own_ and of the shapes
  bool under_way_ = false;                    // begun, and result() was not reached
  std::vector<std::uint32_t> found_order_, order_;  // of parameters: on rank 0, and as it told
  std::vector<Summand> summands_;                   // in the order of sending
  std::deque<Bucket> buckets_;
  std::vector<Node> nodes_;
  Gradients<T> last_;
  std::size_t folded_ = 0;      // summands
  std::size_t launched_ = 0;    // buckets
  std::deque<Bucket*> moving_;  // launched, and not yet added up
  std::string present_;         // bits of summands, of all ranks
};

}  // namespace xtape::detail
