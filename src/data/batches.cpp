#include <xtape/base/random.hpp>
#include <xtape/data/batches.hpp>

#include "base/check.hpp"

#include <numeric>

namespace xtape {
namespace {

constexpr std::size_t kMostPrefetch = 65536;

template <class V> void shuffle(std::vector<V>& values, RandomStream& stream) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[stream.below(i)]);
}

/// Whether `examples` of at most this length fit into max_tokens; without overflow.
bool fits(std::size_t examples, std::size_t longest, std::size_t max_tokens) {
  return max_tokens == 0 || longest == 0 || examples <= max_tokens / longest;
}

}  // namespace

BatchOrder::BatchOrder(std::size_t count, const BatchOptions& options)
    : count_(count), options_(options) {
  if (options.bucket_window != 0 || options.max_tokens != 0) {
    detail::fail<ValueError>("Batches", "lengths are not known: ",
                             options.bucket_window != 0 ? "bucket_window" : "max_tokens", " is ",
                             std::max(options.bucket_window, options.max_tokens),
                             ", expected 0; pass the examples' lengths");
  }
  check();
}

BatchOrder::BatchOrder(std::vector<std::size_t> lengths, const BatchOptions& options)
    : count_(lengths.size()), lengths_(std::move(lengths)), options_(options) {
  check();
}

void BatchOrder::check() const {
  const BatchOptions& o = options_;
  detail::check_option(o.batch_size != 0 || o.max_tokens != 0, "Batches", "batch_size",
                       o.batch_size, "1 or more, or 0 with max_tokens");
  detail::check_option(o.prefetch <= kMostPrefetch, "Batches", "prefetch", o.prefetch,
                       "0 to 65536 batches");
  if (count_ == 0) {
    detail::fail<ValueError>("Batches", "no examples: count is 0, expected 1 or more");
  }
  if (o.max_tokens != 0) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (lengths_[i] > o.max_tokens) {
        detail::fail<ValueError>("Batches", "example over the budget: the length of example ", i,
                                 " is ", lengths_[i], ", expected at most max_tokens ",
                                 o.max_tokens, "; shorten or leave out the example");
      }
    }
  }
  // This happens only when all examples fit into one batch with room to spare, so in every epoch.
  if (o.drop_last && epoch(0).empty()) {
    detail::fail<ValueError>("Batches", "drop_last leaves nothing: count is ", count_,
                             ", expected enough for one full batch; batch_size is ", o.batch_size,
                             " and max_tokens ", o.max_tokens);
  }
}

std::size_t BatchOrder::steps(std::int64_t epoch) const {
  detail::check_whole("Batches", "epoch", epoch);
  if (options_.max_tokens != 0) return this->epoch(epoch).size();
  const std::size_t full = count_ / options_.batch_size;
  return full + (options_.drop_last || full * options_.batch_size == count_ ? 0 : 1);
}

std::vector<std::vector<std::size_t>> BatchOrder::epoch(std::int64_t epoch) const {
  detail::check_whole("Batches", "epoch", epoch);
  const BatchOptions& o = options_;
  RandomStream stream(o.seed, stable_hash("batches") + static_cast<std::uint64_t>(epoch));
  std::vector<std::size_t> order(count_);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (o.shuffle) shuffle(order, stream);
  if (o.drop_last && o.max_tokens == 0) {
    order.resize(count_ / o.batch_size * o.batch_size);  // before sorting, which would choose
  }
  if (o.bucket_window == 0) return cut(order);

  // Windows are sorted upwards and downwards in turn: a batch across their border has similar lengths
  // too. The first direction is random, so that drop_last does not always leave out the longest.
  bool up = !o.shuffle || stream.below(2) == 0;
  for (std::size_t begin = 0; begin < order.size(); up = !up) {
    const std::size_t window = std::min(o.bucket_window, order.size() - begin);
    const auto from = order.begin() + static_cast<std::ptrdiff_t>(begin);
    std::stable_sort(from, from + static_cast<std::ptrdiff_t>(window),
                     [this, up](std::size_t a, std::size_t b) {
                       return up ? lengths_[a] < lengths_[b] : lengths_[b] < lengths_[a];
                     });
    begin += window;
  }
  std::vector<std::vector<std::size_t>> batches = cut(order);
  if (o.shuffle) shuffle(batches, stream);
  return batches;
}

std::vector<std::vector<std::size_t>> BatchOrder::cut(const std::vector<std::size_t>& order) const {
  const std::size_t limit = options_.batch_size == 0 ? count_ : options_.batch_size;
  const std::size_t budget = options_.max_tokens;
  std::vector<std::vector<std::size_t>> batches;
  std::size_t longest = 0;
  for (const std::size_t i : order) {
    const std::size_t length = lengths_.empty() ? 0 : lengths_[i];
    if (batches.empty() || batches.back().size() == limit ||
        !fits(batches.back().size() + 1, std::max(longest, length), budget)) {
      batches.emplace_back();
      if (budget == 0) batches.back().reserve(std::min(limit, order.size()));
      longest = 0;
    }
    batches.back().push_back(i);
    longest = std::max(longest, length);
  }
  // A batch is full when one more example of its own length would not fit.
  const auto full = [&](std::size_t size) {
    return (options_.batch_size != 0 && size == limit) || !fits(size + 1, longest, budget);
  };
  if (options_.drop_last && !batches.empty() && !full(batches.back().size())) batches.pop_back();
  return batches;
}

void detail::check_first_batch(std::size_t first, std::size_t steps) {
  if (first <= steps) return;
  fail<ValueError>("Batches", "first batch out of range: first is ", first, ", expected 0 to ",
                   steps, ", the batches of the epoch");
}

detail::EpochOrder detail::cut_into_shards(const std::vector<std::vector<std::size_t>>& batches,
                                           std::size_t first, const Shards& shards) {
  check_first_batch(first, batches.size());
  check_count("Batches", "count of shards", shards.count);
  if (shards.begin < 0 || shards.begin > shards.end || shards.end > shards.count) {
    fail<ValueError>("Batches", "shards out of range: they are ", shards.begin, " to ", shards.end,
                     ", expected a range within 0 to ", shards.count);
  }
  EpochOrder order;
  for (std::size_t batch = first; batch < batches.size(); ++batch) {
    const std::vector<std::size_t>& all = batches[batch];
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
      const std::size_t from = first_of(shard, shards.count, all.size());
      const std::size_t to = first_of(shard + 1, shards.count, all.size());
      if (from == to) continue;
      order.indices.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(from),
                                 all.begin() + static_cast<std::ptrdiff_t>(to));
      order.places.push_back({batch, shard, to - from});
    }
  }
  return order;
}

Padded pad(const std::vector<std::vector<std::int64_t>>& sequences, std::int64_t pad_id) {
  if (sequences.empty()) {
    detail::fail<ValueError>("pad", "no sequences: their number is 0, expected 1 or more");
  }
  std::size_t longest = 0;
  for (const auto& sequence : sequences) longest = std::max(longest, sequence.size());
  const Shape shape{sequences.size(), longest};
  Padded padded{detail::full<std::int64_t>(shape, pad_id), detail::full<bool>(shape, false),
                detail::empty<std::int64_t>({sequences.size()})};
  for (std::size_t row = 0; row < sequences.size(); ++row) {
    const auto& sequence = sequences[row];
    std::copy(sequence.begin(), sequence.end(), padded.ids.data() + row * longest);
    std::fill_n(padded.mask.data() + row * longest, sequence.size(), true);
    padded.lengths(row) = static_cast<std::int64_t>(sequence.size());
  }
  return padded;
}

}  // namespace xtape
