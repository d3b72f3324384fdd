#pragma once
// A small model, its batches, and fits of it, for the tests of fit.

#include "support/arrays.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace xtape::test {

template <class T>
struct Batch {
  Array<T> x, y;
};

/// A line through points, learnt by a network with dropout.
template <class T>
struct Network {
  Params<T> params{ParamsOptions{3}};
  Dense<T> hidden;
  Dropout<T> dropout;
  Dense<T> output;
  Network()
      : hidden(params.scope() / "hidden", {.units = 5, .activation = "tanh"}),
        dropout({.rate = 0.25}),
        output(params.scope() / "output", {.units = 1}) {}

  Var<T> operator()(const Var<T>& x) const { return output(dropout(hidden(x))); }
  /// What fit calls; the weight is the number of samples.
  StepResult<T> step(Tape<T>& tape, const Batch<T>& b) const {
    return {mean_squared_error((*this)(tape.input(b.x)), Var<T>(b.y)),
            static_cast<double>(b.x.shape()[0]), 1};
  }
};

template <class T>
Batch<T> make_batch(std::uint64_t seed, std::size_t size = 4) {
  Batch<T> b{random_array<T>(Shape{size, 2}, seed), Array<T>(Shape{size, 1})};
  for (std::size_t i = 0; i < size; ++i) b.y(i, 0) = b.x(i, 0) - T(2) * b.x(i, 1);
  return b;
}

/// Batches whose contents and order depend on the epoch, made on a background thread.
template <class T>
class BackgroundBatches {
 public:
  explicit BackgroundBatches(std::size_t count) : count_(count) {}
  [[nodiscard]] std::size_t steps(std::int64_t) const { return count_; }

  class Range {
   public:
    Range(std::size_t count, std::int64_t epoch, std::size_t first) {
      for (std::size_t i = first; i < count; ++i) ++left_;
      worker_ = std::thread([this, count, epoch, first] {
        for (std::size_t i = first; i < count; ++i) {
          // The last batch is smaller.
          Batch<T> batch =
              make_batch<T>(static_cast<std::uint64_t>(epoch) * 100 + i, i + 1 == count ? 3 : 4);
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [&] { return ready_.size() < 2 || ended_; });
          if (ended_) return;
          ready_.push_back(std::move(batch));
          changed_.notify_all();
        }
      });
    }
    ~Range() {
      {
        const std::lock_guard lock(mutex_);
        ended_ = true;
      }
      changed_.notify_all();
      worker_.join();
    }
    Range(const Range&) = delete;
    Range& operator=(const Range&) = delete;

    struct End {};
    struct Iterator {
      Range* range;
      const Batch<T>& operator*() const { return range->front(); }
      Iterator& operator++() {
        range->pop();
        return *this;
      }
      bool operator!=(End) const { return range->left_ > 0; }
    };
    Iterator begin() { return {this}; }
    End end() { return {}; }

   private:
    const Batch<T>& front() {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !ready_.empty(); });
      return ready_.front();
    }
    void pop() {
      front();
      const std::lock_guard lock(mutex_);
      ready_.pop_front();
      --left_;
      changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Batch<T>> ready_;
    std::size_t left_ = 0;
    bool ended_ = false;
    std::thread worker_;
  };

  [[nodiscard]] Range epoch(std::int64_t epoch, std::size_t first = 0) const {
    return {count_, epoch, first};
  }

 private:
  std::size_t count_;
};

inline ProgressOptions silent() { return {.style = ProgressStyle::none}; }

/// Collects messages.
struct Said {
  std::vector<std::string> texts;
  Messages sink() {
    return [this](const std::string& text) { texts.push_back(text); };
  }
};

}  // namespace xtape::test
