#include "models/choice.hpp"

#include "base/instantiate.hpp"
#include "kernels/cross_entropy.hpp"
#include "ops/trailing_axes.hpp"
#include "threads/pool.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace xtape::detail {

template <class T> constexpr T kNever = -std::numeric_limits<T>::infinity();

template <class T>
StepLogits<T>::StepLogits(const std::string& name, Var<T> logits,
                          const std::vector<std::int64_t>& never)
    : vocabulary_(logits.shape()[1]), totals_(empty<T>({logits.shape()[0]})) {
  logits_ = std::move(logits).value();
  // The sum alone is used, so any label serves.
  const Array<std::int64_t> labels = full<std::int64_t>(totals_.shape(), 0);
  Array<T> losses = empty<T>(totals_.shape());
  const auto n = static_cast<Index>(vocabulary_);
  const auto count = static_cast<Index>(rows());
  parallel_for(count, rows_per_block(count, n), [&](Index begin, Index end) {
    kernels::cross_entropy(end - begin, n, logits_.data() + begin * n, labels.data() + begin, T(0),
                           losses.data() + begin, totals_.data() + begin);
  });
  for (std::size_t r = 0; r < rows(); ++r) {
    if (!std::isfinite(totals_.data()[r])) {
      fail<NonFiniteError>(name, "logits are not finite: those of hypothesis ", r,
                           " have no probabilities, expected finite numbers; look at the model's "
                           "weights");
    }
    for (const std::int64_t token : never) forbid(r, token);
  }
}

template <class T> void StepLogits<T>::forbid(std::size_t row, std::int64_t token) {
  logits_.data()[row * vocabulary_ + static_cast<std::size_t>(token)] = kNever<T>;
}

template <class T> Choice StepLogits<T>::choice(std::size_t row, std::size_t token) const {
  return {static_cast<std::int64_t>(token),
          static_cast<double>(logits_.data()[row * vocabulary_ + token]) -
              static_cast<double>(totals_.data()[row])};
}

template <class T> Choice StepLogits<T>::best(std::size_t row) const {
  const T* x = logits_.data() + row * vocabulary_;
  return choice(row, static_cast<std::size_t>(std::max_element(x, x + vocabulary_) - x));
}

template <class T>
void StepLogits<T>::best(std::size_t row, std::size_t count, std::vector<Choice>& to) const {
  const T* x = logits_.data() + row * vocabulary_;
  to.clear();
  // The list is short and sorted. One comparison rejects most blocks of tokens.
  constexpr std::size_t kBlock = 64;
  std::vector<std::size_t> list;
  list.reserve(std::min(count, vocabulary_) + 1);
  T least = kNever<T>;
  for (std::size_t from = 0; from < vocabulary_; from += kBlock) {
    const std::size_t size = std::min(kBlock, vocabulary_ - from);
    int better = 0;
    for (std::size_t i = 0; i < size; ++i) better += x[from + i] > least ? 1 : 0;
    for (std::size_t i = from; better > 0 && i < from + size; ++i) {
      if (!(x[i] > least)) continue;
      const auto at =
          std::find_if(list.begin(), list.end(), [&](std::size_t j) { return x[i] > x[j]; });
      list.insert(at, i);
      if (list.size() > count) list.pop_back();
      if (list.size() == count) least = x[list.back()];
    }
  }
  for (const std::size_t i : list) to.push_back(choice(row, i));
}

template <class T>
Choice StepLogits<T>::draw(std::size_t row, const SamplingOptions& o, RandomStream& stream) const {
  const T* x = logits_.data() + row * vocabulary_;
  std::vector<std::size_t> tokens;
  for (std::size_t i = 0; i < vocabulary_; ++i) {
    if (x[i] != kNever<T>) tokens.push_back(i);
  }
  const auto before = [x](std::size_t a, std::size_t b) {
    return x[a] > x[b] || (x[a] == x[b] && a < b);
  };
  if (o.top_k > 0 && o.top_k < tokens.size()) {
    const auto end = tokens.begin() + static_cast<std::ptrdiff_t>(o.top_k);
    std::nth_element(tokens.begin(), end - 1, tokens.end(), before);
    tokens.erase(end, tokens.end());
  }
  if (o.top_p < 1) std::sort(tokens.begin(), tokens.end(), before);
  const double top =
      static_cast<double>(x[*std::min_element(tokens.begin(), tokens.end(), before)]);
  std::vector<double> sums;  // of the probabilities so far, up to a factor
  double total = 0;
  for (const std::size_t i : tokens) {
    total += std::exp((static_cast<double>(x[i]) - top) / o.temperature);
    sums.push_back(total);
  }
  if (o.top_p < 1) {
    const auto last = std::lower_bound(sums.begin(), sums.end(), o.top_p * total);
    total = last == sums.end() ? total : *last;
  }
  const auto drawn = std::upper_bound(sums.begin(), sums.end(), stream.uniform() * total);
  const auto at =
      std::min<std::ptrdiff_t>(drawn - sums.begin(), static_cast<std::ptrdiff_t>(sums.size()) - 1);
  return choice(row, tokens[static_cast<std::size_t>(at)]);
}

XTAPE_CLASS_FOR_REALS(StepLogits);

}  // namespace xtape::detail
