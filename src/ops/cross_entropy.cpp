#include <xtape/ops/cross_entropy.hpp>

#include "base/check.hpp"
#include "base/instantiate.hpp"
#include "kernels/cross_entropy.hpp"
#include "ops/trailing_axes.hpp"
#include "threads/pool.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/indexing.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape/record.hpp>

#include <algorithm>

namespace xtape {

using detail::Index;
using detail::rows_per_block;

template <class T>
Var<T> sparse_softmax_cross_entropy(const Var<T>& logits, const ArrayArg<std::int64_t>& labels,
                                    std::optional<std::int64_t> ignore_class,
                                    double label_smoothing) {
  const char* op = "sparse_softmax_cross_entropy";
  if (logits.rank() == 0) {
    detail::fail<ShapeError>(op, "no class axis: logits is (), expected (..., classes)");
  }
  const Shape rows_shape = detail::reduced_shape(logits.shape(), {logits.rank() - 1}, false);
  if (labels.shape() != rows_shape) {
    detail::fail<ShapeError>(op, "shapes differ: labels is ", to_string(labels.shape()),
                             ", expected ", to_string(rows_shape), ", the shape of logits ",
                             to_string(logits.shape()), " without its last axis");
  }
  detail::check_unit(op, "label_smoothing", label_smoothing, true);
  const auto n = static_cast<std::int64_t>(logits.shape().back());
  const auto smoothing = static_cast<T>(label_smoothing);
  Array<std::int64_t> kept = labels;  // ignored rows are marked -1
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::int64_t& label = kept.data()[i];
    if (ignore_class && label == *ignore_class) {
      label = -1;
    } else if (label < 0 || label >= n) {
      detail::fail<ValueError>(op, "label out of range: element ", i, " of labels ",
                               to_string(labels.shape()), " is ", label, ", expected 0 to ", n - 1,
                               "; name a class to leave out with ignore_class");
    }
  }
  const Index rows = static_cast<Index>(kept.size());
  std::vector<Result<T>> outputs;
  outputs.emplace_back(rows_shape);
  Array<T> lse = detail::empty<T>(rows_shape);
  detail::parallel_for(rows, rows_per_block(rows, n), [&](Index begin, Index end) {
    kernels::cross_entropy(end - begin, n, logits.data() + begin * n, kept.data() + begin,
                           smoothing, outputs[0].data() + begin, lse.data() + begin);
  });
  auto fast = [kept, lse = std::move(lse), rows, n, smoothing](FusedBackward<T>& backward) {
    const Var<T>& x = backward.input(0);
    const T* g = backward.grad_output(0)->data();
    Result<T> gradient(x.shape());
    detail::parallel_for(rows, rows_per_block(rows, n), [&](Index begin, Index end) {
      kernels::cross_entropy_gradient(end - begin, n, x.data() + begin * n, kept.data() + begin,
                                      smoothing, lse.data() + begin, g + begin,
                                      gradient.data() + begin * n);
    });
    backward.add(0, std::move(gradient));
  };
  auto composed = [kept, smoothing](const Var<T>& given) {
    Array<bool> counts(kept.shape());
    Array<std::int64_t> ids = kept;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      counts.data()[i] = ids.data()[i] >= 0;
      ids.data()[i] = std::max<std::int64_t>(ids.data()[i], 0);
    }
    ids.reshape(detail::reduced_shape(given.shape(), {given.rank() - 1}, true));
    Array<bool> whole_rows = counts;
    whole_rows.reshape(ids.shape());
    const Var<T> x = where(whole_rows, given, Var<T>(T(0)));  // what is ignored may be NaN
    const Var<T> picked = reshape(take_along_axis(x, ids, -1), kept.shape());
    const Var<T> whole = logsumexp(x, {-1});
    Var<T> loss = whole - picked;
    if (smoothing != T(0)) {
      const Var<T> spread = (whole - mean(x, {-1})) * smoothing;
      loss = smoothing == T(1) ? spread : loss * (T(1) - smoothing) + spread;
    }
    return std::vector<Var<T>>{where(counts, loss, Var<T>(T(0)))};
  };
  return record_fused(op, std::move(outputs), std::move(fast), std::move(composed), logits)[0];
}
XTAPE_FOR_REALS(sparse_softmax_cross_entropy);

}  // namespace xtape
