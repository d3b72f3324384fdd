#pragma once
// A model as decoding sees it: one step per token.

#include "base/message.hpp"

#include <xtape/models/decoding.hpp>

#include <algorithm>
#include <memory>

namespace xtape::detail {

using Ids = std::vector<std::int64_t>;

/// The facts that decoding needs before it begins, and the steps of the model. The batch has one row per
/// hypothesis.
template <class T> class Stepper {
 public:
  virtual ~Stepper() = default;
  Stepper() = default;
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  /// Returns logits (rows, vocabulary) of the token after `tokens` (rows, n), which follow those before.
  virtual Var<T> step(const Array<std::int64_t>& tokens) = 0;
  /// Replaces row i by row rows[i].
  virtual void reorder(const Ids& rows) = 0;
  /// Returns the attention of row `row` in the last step: a mean over the heads per source token.
  [[nodiscard]] virtual std::vector<double> attention(std::size_t row) const = 0;

  /// Returns the tokens (rows, n) that the first step reads: as many as every prompt has.
  [[nodiscard]] Array<std::int64_t> first_tokens() const {
    std::size_t count = prompts.at(0).size();
    for (const Ids& p : prompts) count = std::min(count, p.size());
    Array<std::int64_t> tokens(Shape{prompts.size(), count});
    for (std::size_t r = 0; r < prompts.size(); ++r) {
      std::copy_n(prompts[r].begin(), count, tokens.data() + r * count);
    }
    return tokens;
  }

  std::string name;                 // for messages
  std::vector<Ids> prompts;         // what the rows begin with, none empty
  std::vector<std::int64_t> never;  // tokens that are not written
  std::optional<std::int64_t> end;
  std::vector<std::size_t> columns;  // source tokens of each row at the beginning
};

/// Returns the stepper for a call of `name` (greedy, ...), at the beginning. Throws ValueError or ShapeError
/// for anything in the call that is out of range.
template <class T>
std::unique_ptr<Stepper<T>> stepper(const std::string& name, const Seq2Seq<T>& model,
                                    const Array<std::int64_t>& source,
                                    const OptionalArray<bool>& mask,
                                    const DecodingOptions& options);
template <class T>
std::unique_ptr<Stepper<T>> stepper(const std::string& name, const LanguageModel<T>& model,
                                    const std::vector<Ids>& prompts,
                                    const DecodingOptions& options);

}  // namespace xtape::detail
