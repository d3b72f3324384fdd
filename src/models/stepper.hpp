#pragma once
// A model that is asked for one token after the other, as decoding sees it.

#include "base/message.hpp"

#include <xtape/models/decoding.hpp>

#include <memory>

namespace xtape::detail {

using Ids = std::vector<std::int64_t>;

/// What decoding needs to know before it begins, and what the model gives as it goes. The batch has
/// one row per hypothesis.
template <class T>
class Stepper {
 public:
  virtual ~Stepper() = default;
  Stepper() = default;
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  /// Logits (rows, vocabulary) of the token after `tokens` (rows, n), which follow those before.
  virtual Var<T> step(const Array<std::int64_t>& tokens) = 0;
  /// Row i becomes what row rows[i] was.
  virtual void reorder(const Ids& rows) = 0;
  /// Where row `row` of the last step looked: means over the heads, one number per source token.
  [[nodiscard]] virtual std::vector<double> attention(std::size_t row) const = 0;

  std::string name;  // for messages
  std::size_t vocabulary = 0;
  std::vector<Ids> prompts;         // what the rows begin with, none empty
  std::vector<std::int64_t> never;  // tokens that are not written
  std::optional<std::int64_t> end;
  std::vector<std::size_t> columns;  // source tokens of each row at the beginning
};

/// The stepper for a call of `name` (greedy, ...), at the beginning. ValueError or ShapeError for anything in the call
/// that is out of range.
template <class T>
std::unique_ptr<Stepper<T>> stepper(const std::string& name, const Seq2Seq<T>& model,
                                    const Array<std::int64_t>& source,
                                    const std::optional<Array<bool>>& mask,
                                    const DecodingOptions& options);
template <class T>
std::unique_ptr<Stepper<T>> stepper(const std::string& name, const LanguageModel<T>& model,
                                    const std::vector<Ids>& prompts,
                                    const DecodingOptions& options);

}  // namespace xtape::detail
