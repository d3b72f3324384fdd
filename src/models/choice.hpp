#pragma once
// The choice of the next token: the logits of one step, row by row, and the ways to choose from them.

#include "models/stepper.hpp"

namespace xtape::detail {

struct Choice {
  std::int64_t token = 0;
  double log_probability = 0;
};

/// The logits of one step, without forbidden tokens.
template <class T> class StepLogits {
 public:
  /// `logits` (rows, vocabulary), not shared. NonFiniteError where a row has no probabilities.
  StepLogits(const std::string& name, Var<T> logits, const std::vector<std::int64_t>& never);

  [[nodiscard]] std::size_t rows() const { return logits_.shape()[0]; }
  /// Forbids a token in a row, for later choices.
  void forbid(std::size_t row, std::int64_t token);

  /// Returns the most probable token, the first of equal ones.
  [[nodiscard]] Choice best(std::size_t row) const;
  /// Sets `to` to the `count` most probable tokens that are not forbidden, the first of equal ones first.
  void best(std::size_t row, std::size_t count, std::vector<Choice>& to) const;
  /// Returns a token drawn at random.
  [[nodiscard]] Choice draw(std::size_t row, const SamplingOptions& options,
                            RandomStream& stream) const;

 private:
  [[nodiscard]] Choice choice(std::size_t row, std::size_t token) const;

  std::size_t vocabulary_;
  Array<T> logits_;
  Array<T> totals_;  // log of the sum of the exponentials of each row, of all tokens
};

}  // namespace xtape::detail
