#include <xtape/ops/dropout.hpp>

#include "base/check.hpp"
#include "base/instantiate.hpp"
#include "kernels/dropout.hpp"
#include "ops/trailing_axes.hpp"
#include "threads/pool.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/tape/record.hpp>

namespace xtape {

using detail::fail;
using detail::Index;

template <class T> RandomKey next_random_key(const Var<T>& x) {
  detail::TapeState<T>* state = x.node_ref().state;
  if (state == nullptr) {
    fail<TapeError>("random", "no tape: the operand ", to_string(x.shape()),
                    " has no context, expected a tape to draw random numbers from; pass inputs "
                    "through tape.input(), or give the layer a seed");
  }
  detail::check_node_ref("random", x.node_ref());
  return {state->seed, state->random_index++};
}
XTAPE_FOR_REALS(next_random_key);

template <class T>
Var<T> dropout(const Var<T>& x, double rate, RandomKey key,
               const std::optional<Shape>& noise_shape) {
  detail::check_unit("dropout", "rate", rate, true);
  if (noise_shape && *noise_shape != x.shape()) {
    if (noise_shape->size() != x.rank() || !detail::broadcasts_to(*noise_shape, x.shape())) {
      fail<ShapeError>("dropout", "noise_shape does not fit: noise_shape is ",
                       to_string(*noise_shape), ", expected ", to_string(x.shape()),
                       " or extents of 1");
    }
    const Var<T> noise = dropout(Var<T>(detail::full<T>(*noise_shape, T(1))), rate, key);
    return where(greater(noise, T(0)), x * noise, T(0));  // dropped NaN is 0
  }
  Result<T> y(x.shape());
  detail::parallel_for(static_cast<Index>(y.size()), detail::kRowGrain,
                       [&](Index begin, Index end) {
                         kernels::dropout(begin, end - begin, rate, key.seed, key.index,
                                          x.data() + begin, y.data() + begin);
                       });
  return record("dropout", std::move(y),
                wrt(x, [rate, key](const Var<T>& g) { return dropout(g, rate, key); }));
}
XTAPE_FOR_REALS(dropout);

}  // namespace xtape
