#include <xtape/tape/record.hpp>

#include "base/instantiate.hpp"
#include "base/message.hpp"
#include "kernels/elementwise.hpp"

#include <string>

namespace xtape::detail {
template <class T>
static void check_finite(const char* op, const Array<T>& value, Operands<T> operands) {
  const auto at =
      kernels::first_non_finite(static_cast<kernels::Index>(value.size()), value.data());
  if (at < 0) return;
  std::string text = message(op, "result is not finite: element ", at, " of ",
                             to_string(value.shape()), " is ", value.data()[at], "; operands are");
  for (const Var<T>* x : operands) {
    if (!x->has_value()) continue;
    const bool bad =
        kernels::first_non_finite(static_cast<kernels::Index>(x->size()), x->data()) >= 0;
    text += ' ';
    text += to_string(x->shape());
    text += bad ? " (not finite)" : " (finite)";
  }
  throw NonFiniteError(text + ", expected a finite result; look at the operands' range");
}

template <class T>
Recording<T> begin(const char* op, Operands<T> operands, std::span<const Result<T>> outputs) {
  Recording<T> r;
  bool tracked = false;
  for (const Var<T>* x : operands) {
    join_into(op, r.context, x->node_ref());
    tracked = tracked || x->tracked();
  }
  if (r.context.state == nullptr) return r;
  const TapeState<T>& state = *r.context.state;
  if (state.check_finite) {
    for (const Result<T>& y : outputs) check_finite(op, y.array(), operands);
  }
  r.records = tracked && state.recording();
  if (tracked && !r.records && state.inside_checkpoint > 0) {
    fail<TapeError>(op,
                    "tracked value captured inside checkpoint(): no gradient would pass to it, "
                    "expected it among the inputs; pass it as an argument of checkpoint(fn, ...)");
  }
  return r;
}
XTAPE_FOR_REALS(begin);

}  // namespace xtape::detail
