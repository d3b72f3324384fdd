#pragma once
// A producer that works ahead of its consumer on a thread of its own, or on the consumer's.

#include <cstddef>
#include <functional>
#include <memory>

namespace xtape::detail {

/// Calls make(step) for begin, begin + 1, ..., end - 1 in this order, at most `ahead` steps beyond
/// the one the consumer has; with `ahead` 0 in next() itself. The destructor stops the thread and joins it,
/// which takes as long as a make that is under way. Used from one thread.
class Pipeline {
 public:
  Pipeline(std::size_t begin, std::size_t end, std::size_t ahead,
           std::function<void(std::size_t)> make);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Gives the step taken last back, if any, and waits for the following one: false at the end.
  /// What make threw is thrown here, at its step, and nothing follows it.
  bool next();
  /// The step next() came to.
  [[nodiscard]] std::size_t step() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xtape::detail
