#pragma once
// A producer that works ahead of its consumer on a thread of its own, or on the consumer's.

#include <cstddef>
#include <functional>
#include <memory>

namespace xtape::detail {

/// Calls make(step) for step = begin ... end - 1 on a thread, at most `ahead` steps beyond the one the
/// consumer has; next() calls it when `ahead` is 0. The destructor stops the thread and waits for a
/// running make. Use it from one thread.
class Pipeline {
 public:
  Pipeline(std::size_t begin, std::size_t end, std::size_t ahead,
           std::function<void(std::size_t)> make);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Releases the present step and waits for the next one; false at the end. Throws the exception of
  /// make at its step, which is then the last.
  bool next();
  /// The present step.
  [[nodiscard]] std::size_t step() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xtape::detail
