// Functions of a tape and its parameters: penalties, and gradients by parameter.

#include "base/message.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <utility>
#include <vector>

namespace xtape {

template <class T> Var<T> Params<T>::penalties(const detail::NodeRef<T>& ref) const {
  const detail::NodeRef<T> context = detail::join("penalties", ref);
  Var<T> total(Var<T>(T(0)).pointer(), context);
  std::vector<std::pair<const detail::LeafSource<T>*, std::uint64_t>> asked;
  for (const Parameter<T>& p : all()) {
    if (!p.built() || !p.trainable() || !p.regularizer()) continue;
    const Var<T> weights = p.value_for(context);
    total = total + sum(p.regularizer()(weights, p.path()));
    if (weights.tracked()) asked.emplace_back(&p.slot(), weights.node_ref().stamp);
  }
  for (const auto& [slot, stamp] : asked) context.state->penalties.weights_asked[slot] = stamp;
  return total;
}

template <class T> Var<T> Tape<T>::penalties() { return xtape::penalties(input(Var<T>(T(0)))); }

template <class T> Var<T> Tape<T>::penalties(const Params<T>& params) {
  return xtape::penalties(input(Var<T>(T(0))), params);
}

template <class T> Var<T> penalties(const Var<T>& x) {
  const detail::NodeRef<T> ref = detail::join("penalties", x.node_ref());
  Var<T> total(Var<T>(T(0)).pointer(), ref);
  if (ref.state == nullptr) return total;
  ref.state->penalties.outputs_asked = true;
  for (const Var<T>& penalty : ref.state->penalties.outputs) total = total + sum(penalty);
  return total;
}

template <class T> Var<T> penalties(const Var<T>& x, const Params<T>& params) {
  const Var<T> weights = params.penalties(x);
  return penalties(x) + weights;
}

template <class T> bool Gradients<T>::contains(const Parameter<T>& parameter) const {
  return find(&parameter.slot()) != nullptr;
}

template <class T> Var<T> Gradients<T>::operator[](const Parameter<T>& parameter) const {
  const Entry* entry = find(&parameter.slot());
  if (entry == nullptr) {
    detail::fail<TapeError>(
        "gradients", "no gradient for parameter '", parameter.path(),
        "': the result does not depend on it, or it is not trainable, expected one "
        "that contains() knows; ask it first");
  }
  return scaled(*entry);
}

#define XTAPE_INSTANTIATE(T)                                             \
  template Var<T> Params<T>::penalties(const detail::NodeRef<T>&) const; \
  template Var<T> Tape<T>::penalties();                                  \
  template Var<T> Tape<T>::penalties(const Params<T>&);                  \
  template Var<T> penalties(const Var<T>&);                              \
  template Var<T> penalties(const Var<T>&, const Params<T>&);            \
  template bool Gradients<T>::contains(const Parameter<T>&) const;       \
  template Var<T> Gradients<T>::operator[](const Parameter<T>&) const;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
