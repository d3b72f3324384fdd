#pragma once
/// \file
/// Batches of examples: their order is a function of seed and epoch. Options sort by length, limit the
/// tokens, and prepare batches on a background thread.
///
///     auto batches = batches_of(pairs, [](const Pair& p) { return p.source.size(); },
///                               {.batch_size = 64, .seed = 1, .bucket_window = 6400}, make_batch);
///     for (std::int64_t epoch = 0; epoch < 10; ++epoch) {
///       for (const Batch& batch : batches.epoch(epoch)) ...
///     }

#include <xtape/array/array.hpp>
#include <xtape/base/shards.hpp>
#include <xtape/data/pipeline.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

/// Options of Batches and BatchOrder.
struct BatchOptions {
  std::size_t batch_size = 32;  ///< examples at most; 0 where max_tokens alone decides
  /// The limit of (examples x the longest of them) in a batch; 0 for none.
  std::size_t max_tokens = 0;
  bool shuffle = true;     ///< a new order every epoch; otherwise that of the examples
  std::uint64_t seed = 0;  ///< of the order
  /// Leaves out the last batch if it is not full: without max_tokens the surplus examples are random
  /// ones.
  bool drop_last = false;
  /// Sorts by length within windows of this many (shuffled) examples, then shuffles the batches: each
  /// has examples of similar lengths. Good values are 50 to 200 times batch_size; 0 does not sort.
  std::size_t bucket_window = 0;
  /// Batches prepared ahead, on a background thread; 0 prepares each when it is needed. The batches
  /// do not depend on it.
  std::size_t prefetch = 2;
};

/// The examples of each batch: a function of seed and epoch, the same on every machine.
class BatchOrder {
 public:
  /// Examples 0 to count - 1. ValueError for no examples, options out of range, drop_last where
  /// nothing would remain, and options that need lengths.
  BatchOrder(std::size_t count, const BatchOptions& options);
  /// Examples of these lengths. ValueError also for one that is longer than max_tokens.
  BatchOrder(std::vector<std::size_t> lengths, const BatchOptions& options);

  /// Batches in this epoch, at least one; under max_tokens epochs may differ. Epochs count from 0;
  /// ValueError for a negative one.
  [[nodiscard]] std::size_t steps(std::int64_t epoch) const;
  /// The examples of each batch of this epoch.
  [[nodiscard]] std::vector<std::vector<std::size_t>> epoch(std::int64_t epoch) const;
  /// Returns the options.
  [[nodiscard]] const BatchOptions& options() const noexcept { return options_; }
  /// The number of examples.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

 private:
  void check() const;
  [[nodiscard]] std::vector<std::vector<std::size_t>> cut(
      const std::vector<std::size_t>& order) const;

  std::size_t count_;
  std::vector<std::size_t> lengths_;  // none where they are not known
  BatchOptions options_;
};

namespace detail {
/// Returns the length of example i. ValueError for a negative one; it must be an integer.
template <std::integral N> std::size_t checked_length(N length, std::size_t i) {
  if (std::cmp_less(length, 0)) {
    throw ValueError("Batches: negative length: that of example " + std::to_string(i) + " is " +
                     std::to_string(length) +
                     ", expected 0 or more; look at the function of lengths");
  }
  return static_cast<std::size_t>(length);
}
/// ValueError unless first <= steps.
void check_first_batch(std::size_t first, std::size_t steps);

/// The examples that Epoch makes each batch of, and where each is from; no places for whole batches.
struct EpochOrder {
  std::vector<std::vector<std::size_t>> indices;
  std::vector<ShardPlace> places = {};
};
/// Returns those shards of the batches from `first` on that have examples. ValueError for shards out
/// of range.
EpochOrder cut_into_shards(const std::vector<std::vector<std::size_t>>& batches, std::size_t first,
                           const Shards& shards);
}  // namespace detail

/// The batches of one epoch in order, an input range: they are made during one walk. It may outlive
/// its Batches. The destructor stops the background thread and waits for the batch being made.
///
/// When `make` throws, the batches before arrive first; then begin() or ++ throws the exception and
/// the range ends. Movable; use an object from one thread. Using a moved-from one is a ValueError.
template <class Batch> class Epoch {
  struct State;

 public:
  /// A function that makes a batch from the indices of its examples.
  using Make = std::function<Batch(std::span<const std::size_t>)>;

  /// An input iterator over the batches.
  class Iterator {
   public:
    /// The type of the elements.
    using value_type = Batch;
    /// The type of distances.
    using difference_type = std::ptrdiff_t;
    /// The kind of iterator.
    using iterator_concept = std::input_iterator_tag;

    Iterator() = default;
    /// The batch, which lives until the next ++; it may be moved from.
    /// ValueError at the end.
    Batch& operator*() const { return checked(state_).current(); }
    /// Returns the batch.
    Batch* operator->() const { return &checked(state_).current(); }
    /// Where the batch, or the shard of a batch, is in the epoch. ValueError at the end.
    [[nodiscard]] ShardPlace place() const { return checked(state_).place(); }
    /// Goes to the next batch.
    Iterator& operator++() {
      checked(state_).advance();
      return *this;
    }
    /// Goes to the next batch.
    void operator++(int) { ++*this; }
    /// Returns whether the epoch is over.
    friend bool operator==(const Iterator& it, std::default_sentinel_t /*end*/) {
      return it.over();
    }

   private:
    friend class Epoch;
    [[nodiscard]] bool over() const { return checked(state_).over; }
    explicit Iterator(State* state) : state_(state) {}
    State* state_ = nullptr;
  };

  /// Is called by Batches::epoch.
  Epoch(std::shared_ptr<const Make> make, detail::EpochOrder order, std::size_t first,
        std::size_t prefetch)
      : state_(std::make_unique<State>(std::move(make), std::move(order), first, prefetch)) {}

  /// Starts the preparation and waits for the first batch. A second call returns the present position.
  Iterator begin() {
    if (!checked(state_).pipeline) state_->start();
    return Iterator(state_.get());
  }
  /// Returns the end of the epoch.
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }
  /// How many batches the whole range has.
  [[nodiscard]] std::size_t size() const { return checked(state_).count() - state_->first; }

 private:
  template <class Pointer> static State& checked(const Pointer& state) {
    if (state == nullptr) detail::fail_no_value("Epoch");
    return *state;
  }
  struct State {
    State(std::shared_ptr<const Make> make_batch, detail::EpochOrder epoch_order,
          std::size_t first_step, std::size_t prefetch)
        : make(std::move(make_batch)),
          order(std::move(epoch_order)),
          first(first_step),
          ahead(std::min(prefetch, count() - first_step)),
          slots(ahead + 1) {}

    [[nodiscard]] std::size_t count() const { return order.indices.size(); }
    [[nodiscard]] ShardPlace place() const {
      const std::size_t step = pipeline->step();
      if (order.places.empty()) return {step, 0, order.indices[step].size()};
      return order.places[step];
    }
    void start() {
      pipeline.emplace(first, count(), ahead, [this](std::size_t step) {
        slots[step % slots.size()].emplace((*make)(order.indices[step]));
      });
      advance();
    }
    void advance() {
      if (held) current_slot().reset();
      held = false;
      over = true;  // also when what follows throws
      held = pipeline->next();
      over = !held;
    }
    std::optional<Batch>& current_slot() { return slots[pipeline->step() % slots.size()]; }
    Batch& current() {
      if (!held) detail::fail_no_value("Epoch");
      return *current_slot();
    }

    std::shared_ptr<const Make> make;
    detail::EpochOrder order;
    std::size_t first;
    std::size_t ahead;
    std::vector<std::optional<Batch>> slots;  // one in use, the others being filled
    bool held = false;
    bool over = false;
    std::optional<detail::Pipeline> pipeline;  // last: its thread ends before the rest does
  };
  std::unique_ptr<State> state_;
};

/// Batches, epoch after epoch. `make` turns the indices of examples into a batch. It runs on a
/// background thread for each epoch that is walked over, so it must only read shared data. Cheap to
/// copy; usable from many threads.
template <class Batch> class Batches {
 public:
  /// A function that makes a batch from the indices of its examples.
  using Make = typename Epoch<Batch>::Make;

  /// Batches of examples 0 to count - 1. ValueError as BatchOrder.
  Batches(std::size_t count, const BatchOptions& options, Make make)
      : order_(std::make_shared<const BatchOrder>(count, options)),
        make_(std::make_shared<const Make>(std::move(make))) {}
  /// Batches of examples of these lengths. ValueError as BatchOrder.
  Batches(std::vector<std::size_t> lengths, const BatchOptions& options, Make make)
      : order_(std::make_shared<const BatchOrder>(std::move(lengths), options)),
        make_(std::make_shared<const Make>(std::move(make))) {}

  /// Batches in this epoch, as BatchOrder::steps.
  [[nodiscard]] std::size_t steps(std::int64_t epoch) const { return order_->steps(epoch); }
  /// The batches of this epoch from number `first` on, the same as in the whole epoch. `first` may be
  /// steps(epoch), which gives none; ValueError beyond.
  [[nodiscard]] Epoch<Batch> epoch(std::int64_t epoch, std::size_t first = 0) const {
    std::vector<std::vector<std::size_t>> order = order_->epoch(epoch);
    detail::check_first_batch(first, order.size());
    return Epoch<Batch>(make_, {std::move(order)}, first, order_->options().prefetch);
  }
  /// These shards of the batches from number `first` on, in order, each made like a batch; shards
  /// without examples are left out. ValueError as above, and for shards out of range.
  [[nodiscard]] Epoch<Batch> epoch(std::int64_t epoch, std::size_t first,
                                   const Shards& shards) const {
    return Epoch<Batch>(make_, detail::cut_into_shards(order_->epoch(epoch), first, shards), 0,
                        order_->options().prefetch);
  }
  /// Returns the order of the examples.
  [[nodiscard]] const BatchOrder& order() const noexcept { return *order_; }

 private:
  std::shared_ptr<const BatchOrder> order_;
  std::shared_ptr<const Make> make_;
};

/// Deduces the type of a batch from the function.
template <class F>
Batches(std::size_t, BatchOptions, F)
    -> Batches<std::invoke_result_t<F&, std::span<const std::size_t>>>;
/// Deduces the type of a batch from the function.
template <class F>
Batches(std::vector<std::size_t>, BatchOptions, F)
    -> Batches<std::invoke_result_t<F&, std::span<const std::size_t>>>;

/// Some of many examples, in the order of a batch; a view.
template <class Example> class Selection {
 public:
  /// Views some of the examples. The indices must be within them.
  Selection(std::span<const Example> all, std::span<const std::size_t> indices)
      : all_(all), indices_(indices) {}
  /// Returns the number of elements.
  [[nodiscard]] std::size_t size() const noexcept { return indices_.size(); }
  /// Returns one of the selected examples.
  [[nodiscard]] const Example& operator[](std::size_t i) const { return all_[indices_[i]]; }
  /// Where it is among all examples.
  [[nodiscard]] std::size_t index(std::size_t i) const { return indices_[i]; }

  /// An iterator over the selected examples.
  class Iterator {
   public:
    /// The type of the elements.
    using value_type = Example;
    /// The type of distances.
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    /// Starts at a position of the selection.
    Iterator(const Selection* selection, std::size_t at) : selection_(selection), at_(at) {}
    /// Returns the example.
    const Example& operator*() const { return (*selection_)[at_]; }
    /// Returns the example.
    const Example* operator->() const { return &(*selection_)[at_]; }
    /// Goes to the next example.
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    /// Goes to the next example.
    Iterator operator++(int) { return {selection_, at_++}; }
    /// Returns whether both are at the same position.
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const Selection* selection_ = nullptr;
    std::size_t at_ = 0;
  };
  /// Returns an iterator to the first one.
  [[nodiscard]] Iterator begin() const { return {this, 0}; }
  /// Returns the end of the range.
  [[nodiscard]] Iterator end() const { return {this, size()}; }

 private:
  std::span<const Example> all_;
  std::span<const std::size_t> indices_;
};

namespace detail {
template <class Example, class F>
using BatchOf = std::invoke_result_t<F&, const Selection<Example>&>;

/// The type of a range's elements. (<ranges> would cost every user's file 4 % of its time to compile.)
template <class Range>
using ExampleOf = std::remove_cvref_t<decltype(*std::begin(std::declval<Range&>()))>;

/// Copies the range's elements; moves a vector that is an rvalue.
template <class Range> auto collect(Range&& examples) {
  using Example = ExampleOf<Range>;
  if constexpr (std::is_same_v<Range, std::vector<Example>>) {
    return std::make_shared<const std::vector<Example>>(std::forward<Range>(examples));
  } else {
    std::vector<Example> all;
    if constexpr (requires { std::size(examples); }) all.reserve(std::size(examples));
    for (auto&& example : examples) all.emplace_back(std::forward<decltype(example)>(example));
    return std::make_shared<const std::vector<Example>>(std::move(all));
  }
}

template <class Example, class F>
auto over_examples(std::shared_ptr<const std::vector<Example>> all, F make) {
  return [all = std::move(all), make = std::move(make)](std::span<const std::size_t> indices) {
    return std::invoke(make, Selection<Example>(*all, indices));
  };
}
}  // namespace detail

/// Returns Batches of any range of examples, which are copied (an rvalue vector is moved): `make`
/// turns a Selection of them into a batch.
template <class Range, class F>
auto batches_of(Range&& examples, const BatchOptions& options, F make) {
  using Example = detail::ExampleOf<Range>;
  const auto all = detail::collect(std::forward<Range>(examples));
  return Batches<detail::BatchOf<Example, F>>(all->size(), options,
                                              detail::over_examples(all, std::move(make)));
}

/// Returns Batches that know the length of each example, from a function or a member: for
/// bucket_window and max_tokens.
template <class Range, class Length, class F>
auto batches_of(Range&& examples, Length length, const BatchOptions& options, F make) {
  using Example = detail::ExampleOf<Range>;
  const auto all = detail::collect(std::forward<Range>(examples));
  std::vector<std::size_t> lengths;
  lengths.reserve(all->size());
  for (const Example& example : *all) {
    const auto n = std::invoke(length, example);
    lengths.push_back(detail::checked_length(n, lengths.size()));
  }
  return Batches<detail::BatchOf<Example, F>>(std::move(lengths), options,
                                              detail::over_examples(all, std::move(make)));
}

/// Sequences as one array, padded to the longest.
struct Padded {
  Array<std::int64_t> ids;      ///< (sequences, the longest length)
  Array<bool> mask;             ///< of that shape: true where a sequence has an element
  Array<std::int64_t> lengths;  ///< (sequences,)
};

/// Pads sequences with pad_id to the length of the longest of them. ValueError for no sequences.
Padded pad(const std::vector<std::vector<std::int64_t>>& sequences, std::int64_t pad_id = 0);

}  // namespace xtape
