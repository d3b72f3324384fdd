#include "run/reducer.hpp"

#include "array/shapes.hpp"
#include "base/crc.hpp"
#include "base/instantiate.hpp"
#include "threads/loops.hpp"

#include <algorithm>
#include <bit>

namespace xtape::detail {

namespace {

template <class T> std::span<const std::byte> bytes_of(const T* from, std::size_t n) {
  return std::as_bytes(std::span(from, n));
}
template <class T> std::span<std::byte> room_in(T* to, std::size_t n) {
  return std::as_writable_bytes(std::span(to, n));
}
template <class T> void copy(const T* from, std::size_t n, T* to) {
  parallel_for(static_cast<kernels::Index>(n), [=](kernels::Index begin, kernels::Index end) {
    std::copy(from + begin, from + end, to + begin);
  });
}
template <class T> void add_to(const T* from, std::size_t n, T* to) {
  parallel_add_to(static_cast<kernels::Index>(n), from, to);
}

/// Returns the elements of an array that nobody else has; a shared one is copied.
template <class T> T* alone(Var<T>& array) {
  if (!array.pointer().unique()) array = Var<T>(Array<T>(array.value()));
  return array.pointer().mutate().data();
}

/// Keeps the room from one sum to the next.
template <class T> T* room(std::vector<T>& elements, std::size_t n) {
  if (elements.size() < n) elements.resize(n);
  return elements.data();
}

}  // namespace

template <class T>
Reducer<T>::Reducer(const Params<T>& params, Team& team, std::int64_t shards,
                    std::size_t most_elements)
    : params_(params), team_(team), count_(shards), most_elements_(most_elements) {
  const auto first = [&](int r) {
    return static_cast<std::int64_t>(first_of(r, team.size(), static_cast<std::size_t>(shards)));
  };
  for (int r = 0; r < team.size(); ++r) cover_.push_back(cover({shards, first(r), first(r + 1)}));
  // Ranks and the shards of each are powers of two: a rank has one node, and they make a perfect tree.
  const auto ranks = static_cast<std::uint64_t>(team.size()),
             count = static_cast<std::uint64_t>(shards);
  halves_ = std::has_single_bit(ranks) && count % ranks == 0 && std::has_single_bit(count / ranks);
}

template <class T> std::string Reducer<T>::layout() const {
  std::string digits;
  for (const Parameter<T>& p : params_.all()) {
    digits += p.built() && p.trainable() ? '1' : '0';
  }
  return digits;
}

// Returns the parameters in the order in which their gradients are complete: those that nothing reads,
// then from the last one that is read to the first.
template <class T> std::vector<std::uint32_t> Reducer<T>::order_in(Sweep<T>& sweep) const {
  std::vector<std::pair<std::size_t, std::uint32_t>> reads;
  for (const Parameter<T>& p : params_.all()) {
    const auto read = sweep.state().reads.find(&p.slot());
    const std::size_t node = read == sweep.state().reads.end() ? SIZE_MAX : read->second.first;
    reads.emplace_back(node, static_cast<std::uint32_t>(reads.size()));
  }
  std::sort(reads.rbegin(), reads.rend());
  std::vector<std::uint32_t> order;
  for (const auto& read : reads) order.push_back(read.second);
  return order;
}

// Appends the parameters with these digits. Large arrays are added where they are: packing and unpacking
// would take longer than messages of their own.
template <class T> void Reducer<T>::append(const std::string& wanted) {
  const std::vector<Parameter<T>> all = params_.all();
  const std::size_t nodes = cover_[static_cast<std::size_t>(team_.rank())].size();
  Bucket pack{{}, 0, 0, true};
  const auto close = [&] {
    if (!pack.members.empty()) buckets_.push_back(std::exchange(pack, {{}, 0, 0, true}));
  };
  for (std::size_t k = 0; k < all.size(); ++k) {
    const std::size_t i = order_.size() == all.size() ? order_[k] : k;
    if (i >= wanted.size() || wanted[i] == '0') continue;
    const std::size_t size = all[i].value().size(), place = summands_.size();
    summands_.push_back({all[i], std::vector<Var<T>>(nodes)});
    if (size >= most_elements_ / 4) {
      for (std::size_t at = 0; at < size; at += most_elements_) {
        buckets_.push_back({{place}, at, std::min(most_elements_, size - at), false});
      }
      continue;
    }
    if (pack.size + size > most_elements_) close();
    pack.members.push_back(place);
    pack.size += size;
  }
  close();
}

template <class T> void Reducer<T>::begin(std::vector<Node> nodes) {
  if (std::exchange(under_way_, true)) {
    fail<TeamError>("team",
                    "a sum was given up: pieces may still arrive, expected none; make a new team");
  }
  nodes_ = std::move(nodes);
  folded_ = launched_ = 0;
  if (laid_out_ == agreed_) return;
  summands_.clear();
  buckets_.clear();
  append(agreed_);
  laid_out_ = agreed_;
}

// Adds the nodes of this rank that make one node of the tree, from right to left: neighbours first.
template <class T> void Reducer<T>::fold(Summand& to, Var<T> last) {
  const auto& own = cover_[static_cast<std::size_t>(team_.rank())];
  auto node = nodes_.rbegin();
  to.present = false;
  for (std::size_t k = own.size(); k-- > 0;) {
    Var<T> sum = std::exchange(last, {});
    for (; node != nodes_.rend() && node->shards.begin >= own[k].begin; ++node) {
      Var<T> left = node->sum ? node->sum->take(to.parameter.slot()) : Var<T>();
      if (!left.has_value()) continue;
      if (sum.has_value()) add_to(sum.data(), sum.size(), alone(left));
      sum = std::move(left);
    }
    to.present = to.present || sum.has_value();
    to.sums[k] = std::move(sum);
  }
}

// An absent gradient is -0, which changes nothing that it is added to; 0 would change -0.
template <class T> T* Reducer<T>::elements(Summand& of, std::size_t node) const {
  Var<T>& sum = of.sums[node];
  if (!sum.has_value()) sum = Var<T>(full<T>(of.parameter.value().shape(), -T(0)));
  return alone(sum);
}

template <class T> void Reducer<T>::launch() {
  for (; launched_ < buckets_.size(); ++launched_) {
    Bucket& b = buckets_[launched_];
    if (b.members.back() >= folded_) return;
    const std::size_t nodes = summands_[b.members.front()].sums.size();
    b.own.resize(nodes);
    b.packs.resize(nodes);
    b.round = 0;
    b.channel = static_cast<int>(launched_) + 1;
    for (std::size_t k = 0; k < nodes; ++k) {
      if (!b.packed) {
        b.own[k] = elements(summands_[b.members.front()], k) + b.begin;
        continue;
      }
      T* to = b.own[k] = room(b.packs[k], b.size);
      for (const std::size_t i : b.members) {
        const std::size_t n = summands_[i].parameter.value().size();
        const Var<T>& sum = summands_[i].sums[k];
        if (sum.has_value()) copy(sum.data(), n, to);
        if (!sum.has_value()) std::fill(to, to + n, -T(0));
        to += n;
      }
    }
    if (advance(b) && moves(b)) moving_.push_back(&b);
  }
}

template <class T> bool Reducer<T>::advance(Bucket& b) {
  if (halves_ ? by_halves(b) : by_segments(b)) return true;
  const T* from = b.own.front();
  for (const std::size_t i : b.members) {
    if (!b.packed) break;
    const std::size_t n = summands_[i].parameter.value().size();
    copy(from, n, elements(summands_[i], 0));
    from += n;
  }
  return false;
}

// Goes on as far as messages are here. If they always are, as in a team that only waits, each bucket is
// over before the next one: all ranks exchange in one order.
template <class T> bool Reducer<T>::moves(Bucket& b) {
  while (b.pending->done()) {
    if (!advance(b)) return false;
  }
  return true;
}

// Lets the oldest buckets move. MPI moves large messages only inside of calls, but those of any bucket.
template <class T> void Reducer<T>::poll(std::size_t but) {
  constexpr std::size_t kLooks = 4;
  for (std::size_t i = but; i < std::min(but + kLooks, moving_.size());) {
    if (moves(*moving_[i])) {
      ++i;
    } else {
      moving_.erase(moving_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

template <class T> void Reducer<T>::passed(Sweep<T>& sweep) {
  if (found_order_.empty() && team_.lead()) found_order_ = order_in(sweep);
  while (folded_ < summands_.size() && sweep.complete(summands_[folded_].parameter.slot())) {
    Summand& next = summands_[folded_++];
    fold(next, sweep.take(next.parameter.slot()));
  }
  launch();
  poll();
}

template <class T> void Reducer<T>::end(Gradients<T> last) {
  for (std::size_t i = 0; i < folded_; ++i) {
    if (!last.contains(summands_[i].parameter)) continue;
    fail<TapeError>("backward", "late gradient: '", summands_[i].parameter.path(),
                    "' was complete and got another one, expected none; let a function in "
                    "checkpoint() use the same parameters each time");
  }
  last_ = std::move(last);
  fold_rest();
  launch();
  poll();
}

template <class T> void Reducer<T>::fold_rest() {
  for (; folded_ < summands_.size(); ++folded_) {
    fold(summands_[folded_], last_.take(summands_[folded_].parameter.slot()));
  }
}

template <class T> void Reducer<T>::put(std::string& bytes) {
  own_ = layout();
  if (own_ != agreed_) {  // those that are new follow in result()
    std::string others = own_;
    for (std::size_t i = 0; i < agreed_.size(); ++i) {
      if (agreed_[i] == '1') others[i] = '0';
    }
    append(others);
    fold_rest();
    laid_out_.clear();
  }
  std::string facts = own_;
  for (const Parameter<T>& p : params_.all()) {
    if (p.built()) facts += to_string(p.value().shape());
  }
  checksum_ = crc32c(std::as_bytes(std::span(facts)));
  detail::put<std::uint64_t>(bytes,
                             static_cast<std::uint64_t>(std::count(own_.begin(), own_.end(), '1')));
  detail::put<std::uint32_t>(bytes, checksum_);
  const std::size_t told = own_ != agreed_ || order_.empty() ? found_order_.size() : 0;
  detail::put<std::uint64_t>(bytes, told);
  for (std::size_t i = 0; i < told; ++i) detail::put<std::uint32_t>(bytes, found_order_[i]);
  present_.assign((summands_.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < summands_.size(); ++i) {
    if (summands_[i].present) present_[i / 8] = static_cast<char>(present_[i / 8] | (1 << (i % 8)));
  }
  put_text(bytes, present_);
}

template <class T> void Reducer<T>::get(Reader& reader, int rank) {
  const auto theirs = reader.get<std::uint64_t>();
  if (reader.get<std::uint32_t>() != checksum_) {
    fail<TeamError>("team", "other parameters: ", team_.name_of(rank), " has ", theirs,
                    " built and trainable ones, expected the ",
                    std::count(own_.begin(), own_.end(), '1'), " of ", team_.name_of(team_.rank()),
                    " with its shapes; build all layers before, and freeze the same ones on all "
                    "ranks");
  }
  if (const auto told = reader.get<std::uint64_t>(); told > 0) {
    order_.resize(told);
    for (std::uint32_t& i : order_) i = reader.get<std::uint32_t>();
    laid_out_.clear();  // the next sum has it
  }
  const std::string bits = reader.text();
  for (std::size_t i = 0; i < present_.size(); ++i) {
    present_[i] = static_cast<char>(present_[i] | bits[i]);
  }
}

// Returns the elements of the bucket that this rank adds after so many halvings.
template <class T> auto Reducer<T>::part(const Bucket& b, int halvings) const -> Range {
  Range range{0, b.size};
  for (int i = 0; i < halvings; ++i) {
    const std::size_t middle = range.first + (range.second - range.first) / 2;
    (((team_.rank() >> i) & 1) == 0 ? range.second : range.first) = middle;
  }
  return range;
}

// Vector halving with distance doubling (Rabenseifner): neighbours first, as the tree adds; then the
// same backwards. The first exchange is the largest.
template <class T> bool Reducer<T>::by_halves(Bucket& b) {
  const int levels = std::countr_zero(static_cast<unsigned>(team_.size())), round = b.round++;
  T* const own = b.own.front();
  b.received.resize(1);
  if (round > 0 && round <= levels) {
    const auto [begin, end] = part(b, round);
    add_to(b.received[0].data(), end - begin, own + begin);
  }
  if (round == 2 * levels) return false;
  const int level = round < levels ? round : 2 * levels - 1 - round,
            other = team_.rank() ^ (1 << level);
  const auto [begin, end] = part(b, level + 1);
  const auto [first, last] = part(b, level);
  const Range rest = begin == first ? Range(end, last) : Range(first, begin);
  const std::size_t n = end - begin, n_rest = rest.second - rest.first;
  const bool adds = round < levels;
  const Outgoing send{other, adds ? bytes_of(own + rest.first, n_rest) : bytes_of(own + begin, n)};
  const Incoming receive{
      other, adds ? room_in(room(b.received[0], n), n) : room_in(own + rest.first, n_rest)};
  b.pending = team_.start(b.channel, {&send, 1}, {&receive, 1});
  return true;
}

// Any ranks and shards: each rank gets its segment of every node, adds along the tree, and gives the sum
// to all. A rank has at most 2 log2(shards) nodes.
template <class T> bool Reducer<T>::by_segments(Bucket& b) {
  const int ranks = team_.size(), rank = team_.rank(), round = b.round++;
  if (round == 2) return false;
  const auto first = [&](int r) { return first_of(r, ranks, b.size); };
  const auto size_of = [&](int r) { return first(r + 1) - first(r); };
  const std::size_t begin = first(rank), size = size_of(rank);
  std::vector<Outgoing> send;
  std::vector<Incoming> receive;
  if (round == 1) add_pieces(b, begin, size);
  std::size_t pieces = 0;
  for (const auto& nodes : cover_) pieces += nodes.size();
  b.received.resize(pieces);
  for (int k = 1; k < ranks; ++k) {  // each rank begins with another one
    const int to = (rank + k) % ranks;
    if (round == 1 && size > 0) send.push_back({to, bytes_of(b.own[0] + begin, size)});
    if (round == 1 && size_of(to) > 0) {
      receive.push_back({to, room_in(b.own[0] + first(to), size_of(to))});
    }
    for (T* own : b.own) {
      if (round == 0 && size_of(to) > 0) {
        send.push_back({to, bytes_of(own + first(to), size_of(to))});
      }
    }
  }
  std::size_t piece = 0;
  for (int r = 0; r < ranks; ++r) {
    for (std::size_t i = 0; i < cover_[static_cast<std::size_t>(r)].size(); ++i, ++piece) {
      if (round == 0 && r != rank && size > 0) {
        receive.push_back({r, room_in(room(b.received[piece], size), size)});
      }
    }
  }
  b.pending = team_.start(b.channel, send, receive);
  return true;
}

// Adds what all nodes have of this rank's segment.
template <class T>
void Reducer<T>::add_pieces(Bucket& b, std::size_t begin, std::size_t size) const {
  std::vector<std::pair<TreeNode, T*>> stack;
  std::size_t piece = 0;
  for (std::size_t r = 0; r < cover_.size(); ++r) {
    for (std::size_t i = 0; i < cover_[r].size(); ++i, ++piece) {
      const bool here = r == static_cast<std::size_t>(team_.rank());
      stack.emplace_back(cover_[r][i], here ? b.own[i] + begin : b.received[piece].data());
      while (stack.size() > 1 &&
             siblings(stack[stack.size() - 2].first, stack.back().first, count_)) {
        const auto [right, term] = stack.back();
        stack.pop_back();
        stack.back().first.end = right.end;
        add_to(term, size, stack.back().second);
      }
    }
  }
  if (stack.front().second != b.own[0] + begin) copy(stack.front().second, size, b.own[0] + begin);
}

template <class T> std::optional<Gradients<T>> Reducer<T>::result() {
  launch();
  for (poll(); !moving_.empty(); poll()) moving_.front()->pending->wait([this] { poll(1); });
  under_way_ = false;
  agreed_ = own_;
  nodes_.clear();
  last_ = {};
  Gradients<T> sum;
  for (std::size_t i = 0; i < summands_.size(); ++i) {
    Summand& s = summands_[i];
    const bool present = ((present_[i / 8] >> (i % 8)) & 1) != 0;
    if (present) sum.accumulate(s.parameter.leaf(), nullptr, 0, std::move(s.sums[0]));
    s.sums.assign(s.sums.size(), {});
  }
  if (sum.empty()) return std::nullopt;
  return in_order(params_, sum);
}

template class Reducer<float>;
template class Reducer<double>;

}  // namespace xtape::detail
