#include <xtape/ops/cross_entropy.hpp>

#include "array/shapes.hpp"
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

using detail::fail;
using detail::Index;
using detail::rows_per_block;

template <class T>
Var<T> sparse_softmax_cross_entropy(const Var<T>& logits, const ArrayArg<std::int64_t>& labels,
                                    std::optional<std::int64_t> ignore_class) {
  const char* op = "sparse_softmax_cross_entropy";
  if (logits.rank() == 0) {
    fail<ShapeError>(op, "no class axis: logits is (), expected (..., classes)");
  }
  const Shape rows_shape = detail::reduced_shape(logits.shape(), {logits.rank() - 1}, false);
  if (labels.shape() != rows_shape) {
    fail<ShapeError>(op, "shapes differ: labels is ", to_string(labels.shape()), ", expected ",
                     to_string(rows_shape), ", the shape of logits ", to_string(logits.shape()),
                     " without its last axis");
  }
  const auto n = static_cast<std::int64_t>(logits.shape().back());
  Array<std::int64_t> kept = labels;  // ignored rows are marked -1
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::int64_t& label = kept.data()[i];
    if (ignore_class && label == *ignore_class) {
      label = -1;
    } else if (label < 0 || label >= n) {
      fail<ValueError>(op, "label out of range: element ", i, " of labels ",
                       to_string(labels.shape()), " is ", label, ", expected 0 to ", n - 1,
                       "; name a class to leave out with ignore_class");
    }
  }
  const Index rows = static_cast<Index>(kept.size());
  std::vector<Result<T>> outputs;
  outputs.emplace_back(rows_shape);
  Array<T> lse = detail::empty<T>(rows_shape);
  {
    const T* px = logits.data();
    const std::int64_t* pl = kept.data();
    T* loss = outputs[0].data();
    T* pe = lse.data();
    detail::parallel_for(rows, rows_per_block(rows, n), [=](Index begin, Index end) {
      kernels::cross_entropy(end - begin, n, px + begin * n, pl + begin, loss + begin, pe + begin);
    });
  }
  auto fast = [kept, lse = std::move(lse), rows, n](FusedBackward<T>& backward) {
    Result<T> gradient(backward.input(0).shape());
    const T* px = backward.input(0).data();
    const std::int64_t* pl = kept.data();
    const T* pe = lse.data();
    const T* pg = backward.grad_output(0)->data();
    T* dx = gradient.data();
    detail::parallel_for(rows, rows_per_block(rows, n), [=](Index begin, Index end) {
      kernels::cross_entropy_gradient(end - begin, n, px + begin * n, pl + begin, pe + begin,
                                      pg + begin, dx + begin * n);
    });
    backward.add(0, std::move(gradient));
  };
  auto composed = [kept](const Var<T>& x) {
    Array<bool> counts(kept.shape());
    Array<std::int64_t> ids = kept;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      counts.data()[i] = ids.data()[i] >= 0;
      ids.data()[i] = std::max<std::int64_t>(ids.data()[i], 0);
    }
    std::vector<std::size_t> column(ids.shape().begin(), ids.shape().end());
    column.push_back(1);
    ids.reshape(Shape(column.begin(), column.end()));
    const Var<T> picked = reshape(take_along_axis(x, ids, -1), kept.shape());
    return std::vector<Var<T>>{where(counts, logsumexp(x, {-1}) - picked, Var<T>(T(0)))};
  };
  return record_fused(op, std::move(outputs), std::move(fast), std::move(composed), logits)[0];
}
XTAPE_FOR_REALS(sparse_softmax_cross_entropy);

}  // namespace xtape
