#include "run/reducer.hpp"

#include "base/instantiate.hpp"
#include "threads/loops.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace xtape::detail {

namespace {

void unite(Presence& a, const Presence& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = a[i] || b[i];
}

template <class T> std::span<const std::byte> bytes_of(const T* from, std::size_t n) {
  return std::as_bytes(std::span(from, n));
}
template <class T> std::span<std::byte> room_in(T* to, std::size_t n) {
  return std::as_writable_bytes(std::span(to, n));
}

template <class T> void parallel_copy(const T* from, std::size_t n, T* to) {
  parallel_for(static_cast<kernels::Index>(n), [=](kernels::Index begin, kernels::Index end) {
    std::copy(from + begin, from + end, to + begin);
  });
}

}  // namespace

void check_ranks(const char* who, const Team* team, std::int64_t shards) {
  if (team == nullptr || team->size() <= shards) return;
  fail<ValueError>(who, "fewer shards than ranks: shards is ", shards, ", expected at least ",
                   team->size(), ", one for each rank; give ", team->size(),
                   " shards, and note that it changes the result");
}

/// A sum of shards; `data` has the elements of the segment that is worked on.
template <class T> struct Reducer<T>::Partial {
  TreeNode shards;
  T* data;
  Presence present;
};

template <class T> bool Reducer<T>::Leaf::any() const {
  return std::find(present.begin(), present.end(), true) != present.end();
}

template <class T>
Reducer<T>::Reducer(const Params<T>& params, Team& team, std::int64_t shards)
    : params_(params),
      team_(team),
      count_(shards),
      leaves_(static_cast<std::size_t>(team.size())) {}

template <class T> void Reducer<T>::lay_out() {
  parameters_.clear();
  at_.assign(1, 0);
  for (const Parameter<T>& p : params_.all()) {
    if (!p.built() || !p.trainable()) continue;
    parameters_.push_back(p);
    at_.push_back(at_.back() + p.value().size());
  }
}

template <class T>
void Reducer<T>::put_presence(std::string& bytes,
                              const std::vector<typename GradientTree<T>::Node>& nodes) {
  lay_out();
  put<std::uint64_t>(bytes, parameters_.size());
  for (const auto& node : nodes) {
    std::string bits((parameters_.size() + 7) / 8, '\0');
    for (std::size_t i = 0; i < parameters_.size() && node.sum; ++i) {
      if (!node.sum->contains(parameters_[i])) continue;
      bits[i / 8] = static_cast<char>(bits[i / 8] | (1 << (i % 8)));
    }
    put_text(bytes, bits);
  }
}

template <class T> void Reducer<T>::get_presence(Reader& reader, int rank) {
  std::vector<Leaf>& leaves = leaves_[static_cast<std::size_t>(rank)];
  leaves.clear();
  const auto theirs = reader.get<std::uint64_t>();
  if (theirs != parameters_.size()) {
    fail<TeamError>("team", "other parameters: ", team_.name_of(rank), " has ", theirs,
                    " built and trainable ones, expected ", parameters_.size(), " as on ",
                    team_.name_of(team_.rank()),
                    "; build all layers before, and freeze the same ones on all ranks");
  }
  const auto first = [&](int r) {
    return static_cast<std::int64_t>(first_of(r, team_.size(), static_cast<std::size_t>(count_)));
  };
  for (const TreeNode& node : cover({count_, first(rank), first(rank + 1)})) {
    const std::string bits = reader.text();
    Leaf leaf{node, rank, Presence(parameters_.size())};
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      leaf.present[i] = ((bits[i / 8] >> (i % 8)) & 1) != 0;
    }
    leaves.push_back(std::move(leaf));
  }
}

template <class T> void Reducer<T>::pack(const Gradients<T>& gradients, T* to) const {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!gradients.contains(parameters_[i])) continue;
    const Var<T> g = gradients[parameters_[i]];
    parallel_copy(g.data(), g.size(), to + at_[i]);
  }
}

// Adds the elements begin ... end - 1 of the flat arrays. An absent gradient adds nothing.
template <class T>
void Reducer<T>::add(Partial& left, const Partial& right, std::size_t begin,
                     std::size_t end) const {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::size_t from = std::max(begin, at_[i]), to = std::min(end, at_[i + 1]);
    if (from >= to || !right.present[i]) continue;
    T* sum = left.data + (from - begin);
    const T* term = right.data + (from - begin);
    if (left.present[i]) {
      parallel_add_to(static_cast<kernels::Index>(to - from), term, sum);
    } else {
      parallel_copy(term, to - from, sum);
    }
  }
  unite(left.present, right.present);
  left.shards.end = right.shards.end;
}

// Ranks and the shards of each are powers of two: a rank has one node, and they make a perfect tree.
template <class T> bool Reducer<T>::halves() const {
  const auto ranks = static_cast<std::uint64_t>(team_.size());
  const auto count = static_cast<std::uint64_t>(count_);
  return std::has_single_bit(ranks) && count % ranks == 0 && std::has_single_bit(count / ranks);
}

// Returns what the sum over the aligned block of `ranks` ranks has that contains this one.
template <class T> Presence Reducer<T>::block_of(int rank, int ranks) const {
  Presence present(parameters_.size());
  const auto first = static_cast<std::size_t>(rank - rank % ranks);
  for (std::size_t r = first; r < first + static_cast<std::size_t>(ranks); ++r) {
    unite(present, leaves_[r].front().present);
  }
  return present;
}

// Vector halving with distance doubling (Rabenseifner): neighbours first, as the tree adds; then the
// same backwards. The first exchange is the largest.
template <class T> const T* Reducer<T>::by_halves(T* own) {
  const int rank = team_.rank();
  received_.resize(1);
  received_[0].resize((at_.back() + 1) / 2);
  std::size_t begin = 0, end = at_.back();  // the part that is added here
  std::vector<std::pair<std::size_t, std::size_t>> parts;
  for (int distance = 1; distance < team_.size(); distance *= 2) {
    const int other = rank ^ distance;
    const bool low = (rank & distance) == 0;
    const std::size_t middle = begin + (end - begin) / 2;
    parts.emplace_back(begin, end);
    const std::size_t give = low ? middle : begin, give_end = low ? end : middle;
    (low ? end : begin) = middle;
    const Outgoing send{other, bytes_of(own + give, give_end - give)};
    const Incoming receive{other, room_in(received_[0].data(), end - begin)};
    team_.exchange({&send, 1}, {&receive, 1});
    Partial mine{{}, own + begin, block_of(rank, distance)};
    add(mine, {{}, received_[0].data(), block_of(other, distance)}, begin, end);
  }
  for (int distance = team_.size() / 2; distance >= 1; distance /= 2) {
    const auto [first, last] = parts.back();
    parts.pop_back();
    const int other = rank ^ distance;
    const std::size_t get = begin == first ? end : first;
    const Outgoing send{other, bytes_of(own + begin, end - begin)};
    const Incoming receive{other, room_in(own + get, (last - first) - (end - begin))};
    team_.exchange({&send, 1}, {&receive, 1});
    begin = first;
    end = last;
  }
  return own;
}

// Any ranks and shards: each rank gets its segment of every node, adds along the tree, and gives the sum
// to all. A rank has at most 2 log2(shards) nodes.
template <class T> const T* Reducer<T>::by_segments(const std::vector<T*>& own) {
  const int ranks = team_.size(), rank = team_.rank();
  const auto first = [&](int r) { return first_of(r, ranks, at_.back()); };
  const std::size_t begin = first(rank), end = first(rank + 1);
  std::vector<Outgoing> send;
  std::vector<Incoming> receive;
  std::vector<Partial> partials;
  result_.resize(at_.back());
  std::size_t pieces = 0;
  for (const auto& leaves : leaves_) pieces += leaves.size();
  received_.resize(pieces);
  std::size_t piece = 0;
  for (int r = 0; r < ranks; ++r) {
    const auto& leaves = leaves_[static_cast<std::size_t>(r)];
    for (std::size_t i = 0; i < leaves.size(); ++i, ++piece) {
      T* data = r == rank ? own[i] + begin : nullptr;
      if (r != rank && leaves[i].any() && begin < end) {
        received_[piece].resize(end - begin);
        data = received_[piece].data();
        receive.push_back({r, room_in(data, end - begin)});
      }
      partials.push_back({leaves[i].shards, data, leaves[i].present});
    }
  }
  for (int k = 1; k < ranks; ++k) {  // each rank begins with another one
    const int to = (rank + k) % ranks;
    const auto& leaves = leaves_[static_cast<std::size_t>(rank)];
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (!leaves[i].any() || first(to) == first(to + 1)) continue;
      send.push_back({to, bytes_of(own[i] + first(to), first(to + 1) - first(to))});
    }
  }
  team_.exchange(send, receive);
  std::vector<Partial> stack;
  for (Partial& partial : partials) {
    stack.push_back(std::move(partial));
    while (stack.size() > 1 &&
           siblings(stack[stack.size() - 2].shards, stack.back().shards, count_)) {
      const Partial right = std::move(stack.back());
      stack.pop_back();
      Partial& left = stack.back();
      if (left.data == nullptr) {
        left.data = right.data;
        left.present = right.present;
        left.shards.end = right.shards.end;
      } else {
        add(left, right, begin, end);
      }
    }
  }
  if (stack.front().data != nullptr) {
    std::copy(stack.front().data, stack.front().data + (end - begin),
              result_.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  send.clear();
  receive.clear();
  for (int k = 1; k < ranks; ++k) {
    const int other = (rank + k) % ranks;
    if (begin < end) send.push_back({other, bytes_of(result_.data() + begin, end - begin)});
    const std::size_t from = first(other), to = first(other + 1);
    if (from < to) receive.push_back({other, room_in(result_.data() + from, to - from)});
  }
  team_.exchange(send, receive);
  return result_.data();
}

template <class T>
std::optional<Gradients<T>> Reducer<T>::sum(std::vector<typename GradientTree<T>::Node> nodes) {
  total_.assign(parameters_.size(), false);
  for (const auto& leaves : leaves_) {
    for (const Leaf& leaf : leaves) unite(total_, leaf.present);
  }
  if (std::find(total_.begin(), total_.end(), true) == total_.end()) return std::nullopt;
  flat_.resize(nodes.size());
  std::vector<T*> own;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    flat_[i].resize(at_.back());
    if (nodes[i].sum) pack(*nodes[i].sum, flat_[i].data());
    nodes[i].sum.reset();
    own.push_back(flat_[i].data());
  }
  const T* const result = halves() ? by_halves(own.front()) : by_segments(own);
  Gradients<T> gradients;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!total_[i]) continue;
    Array<T> array(parameters_[i].value().shape());
    parallel_copy(result + at_[i], array.size(), array.data());
    gradients.accumulate(parameters_[i].leaf(), nullptr, 0, Var<T>(std::move(array)));
  }
  return gradients;
}

template class Reducer<float>;
template class Reducer<double>;

}  // namespace xtape::detail
