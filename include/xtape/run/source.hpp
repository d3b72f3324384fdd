#pragma once
/// \file
/// The batches of fit, and the results of its steps.

#include <xtape/base/shards.hpp>
#include <xtape/tape/tape.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

/// The result of a step: its loss, its weight in the mean over the epoch (the number of samples), and
/// its number of tokens, for the report. The weight of a shard is the number of samples or tokens that
/// its loss is the mean of.
template <class T> struct StepResult {
  /// A loss that counts as one.
  StepResult(Var<T> step_loss) : loss(std::move(step_loss)) {}
  /// A loss with its weight in the mean of the epoch.
  StepResult(Var<T> step_loss, double step_weight, double step_tokens = 0)
      : loss(std::move(step_loss)), weight(step_weight), tokens(step_tokens), weighted(true) {}
  Var<T> loss;            ///< the loss of the batch
  double weight = 1;      ///< finite, 0 or more
  double tokens = 0;      ///< tokens of the batch, for reports
  bool weighted = false;  ///< a weight was given
};

/// Batches by epoch: steps(epoch) is their number, epoch(epoch, first) a range from the batch `first`
/// on, whose order depends on the epoch alone.
template <class B>
concept BatchSource = requires(const B& batches, std::int64_t epoch, std::size_t first) {
  { batches.steps(epoch) } -> std::convertible_to<std::size_t>;
  batches.epoch(epoch, first).begin() != batches.epoch(epoch, first).end();
};

/// Batches that can be cut: epoch(epoch, first, shards) has the same type, its elements are shards in
/// order, and the place() of an iterator tells which.
template <class B>
concept ShardedSource = BatchSource<B> &&
    requires(const B& batches, std::int64_t epoch, std::size_t first, const Shards& shards) {
  { batches.epoch(epoch, first, shards) } -> std::same_as<decltype(batches.epoch(epoch, first))>;
  { batches.epoch(epoch, first, shards).begin().place() } -> std::convertible_to<ShardPlace>;
};

/// The same batches, in the same order, in every epoch: a vector, or an array.
template <class B>
concept BatchList = !BatchSource<B> && requires(const B& batches) {
  std::span(batches.data(), batches.size());
};

namespace detail {

/// Returns a checksum of the examples of each batch.
std::uint32_t order_checksum(const std::vector<std::vector<std::size_t>>& batches);

/// A source and a step on its batches, without their types.
template <class T> class Feed {
 public:
  virtual ~Feed() = default;
  [[nodiscard]] virtual std::size_t steps(std::int64_t epoch) const = 0;
  virtual void begin(std::int64_t epoch, std::size_t first) = 0;
  /// Whether begin() takes shards.
  [[nodiscard]] virtual bool sharded() const = 0;
  /// Begins with these shards of the batches from `first` on.
  virtual void begin(std::int64_t epoch, std::size_t first, const Shards& shards) = 0;
  /// Which shard is present.
  [[nodiscard]] virtual ShardPlace place() const = 0;
  /// Returns a checksum of the order of an epoch, 0 if the source does not tell it.
  [[nodiscard]] virtual std::uint32_t order_checksum(std::int64_t epoch) const = 0;
  /// Whether there is a batch.
  [[nodiscard]] virtual bool more() = 0;
  /// Runs the step on the present batch. next() moves to the following one.
  [[nodiscard]] virtual StepResult<T> run(Tape<T>& tape) = 0;
  virtual void next() = 0;
  /// Releases the range and its background thread.
  virtual void end() = 0;
};

/// B is a reference when the caller keeps the batches.
template <class T, class B, class Step> class FeedOf final : public Feed<T> {
 public:
  FeedOf(B&& batches, Step step) : batches_(std::forward<B>(batches)), step_(std::move(step)) {}

  [[nodiscard]] std::size_t steps(std::int64_t epoch) const override {
    if constexpr (BatchSource<std::remove_cvref_t<B>>) {
      return batches_.steps(epoch);
    } else {
      return batches_.size();
    }
  }
  void begin(std::int64_t epoch, std::size_t first) override {
    running_.reset();
    running_.emplace(range_of(batches_, epoch, first));
  }
  [[nodiscard]] bool sharded() const override { return kSharded; }
  void begin(std::int64_t epoch, std::size_t first, const Shards& shards) override {
    running_.reset();
    if constexpr (kSharded) running_.emplace(batches_.epoch(epoch, first, shards));
  }
  [[nodiscard]] ShardPlace place() const override {
    if constexpr (kSharded) return running_->at.place();
    return {};
  }
  [[nodiscard]] std::uint32_t order_checksum(std::int64_t epoch) const override {
    if constexpr (requires { detail::order_checksum(batches_.order().epoch(epoch)); }) {
      return detail::order_checksum(batches_.order().epoch(epoch));
    }
    return 0;
  }
  [[nodiscard]] bool more() override { return running_->at != running_->end; }
  [[nodiscard]] StepResult<T> run(Tape<T>& tape) override { return step_(tape, *running_->at); }
  void next() override { ++running_->at; }
  void end() override { running_.reset(); }

 private:
  static constexpr bool kSharded = ShardedSource<std::remove_cvref_t<B>>;
  static decltype(auto) range_of(const std::remove_cvref_t<B>& batches, std::int64_t epoch,
                                 std::size_t first) {
    if constexpr (BatchSource<std::remove_cvref_t<B>>) {
      return batches.epoch(epoch, first);
    } else {
      return std::span(batches.data(), batches.size()).subspan(first);
    }
  }
  struct Running {
    using Range = decltype(range_of(std::declval<const std::remove_cvref_t<B>&>(), 0, 0));
    explicit Running(Range&& all)
        : range(std::forward<Range>(all)), at(range.begin()), end(range.end()) {}
    Range range;
    decltype(std::declval<Range&>().begin()) at;
    decltype(std::declval<Range&>().end()) end;
  };
  B batches_;
  Step step_;
  std::optional<Running> running_;
};

template <class T, class B, class Step> auto make_feed(B&& batches, Step&& step) {
  static_assert(BatchSource<std::remove_cvref_t<B>> || BatchList<std::remove_cvref_t<B>>,
                "batches need steps(epoch) and epoch(epoch, first), or data() and size()");
  return std::make_unique<FeedOf<T, B, std::decay_t<Step>>>(std::forward<B>(batches),
                                                            std::forward<Step>(step));
}

}  // namespace detail

/// Batches and a step for validation. An lvalue of batches must outlive it; a temporary is moved in.
template <class T> class Validation {
 public:
  Validation() = default;
  /// Batches with the step that computes their loss.
  template <class B, class Step>
  Validation(B&& batches, Step&& step)
      : feed_(detail::make_feed<T>(std::forward<B>(batches), std::forward<Step>(step))) {}
  /// Returns whether there is a validation.
  explicit operator bool() const noexcept { return feed_ != nullptr; }
  /// Returns the batches and the step; for fit.
  [[nodiscard]] detail::Feed<T>& feed() const { return *feed_; }

 private:
  std::shared_ptr<detail::Feed<T>> feed_;
};

}  // namespace xtape
