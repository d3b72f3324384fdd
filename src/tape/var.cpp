#include <xtape/tape/var.hpp>

#include "base/message.hpp"

#include <xtape/tape/tape_state.hpp>

namespace xtape {

template <Real T> T Var<T>::item() const {
  if (size() != 1) {
    detail::fail<ShapeError>("item", "not a single element: operand is ", to_string(shape()),
                             ", expected one element; reduce it first, with sum() or mean()");
  }
  return data()[0];
}

template <Real T> Var<T> Var<T>::detach() const {
  detail::TapeState<T>* state = node_ref_.state;
  if (state == nullptr) return *this;
  // A handle into a cleared tape keeps its context as long as that tape lives.
  if (state->birth == 0 || node_ref_.stamp < state->birth) {
    detail::check_node_ref("detach", node_ref_);
  }
  return {value_, state->context()};
}

template <class T> std::ostream& operator<<(std::ostream& out, const Var<T>& x) {
  return x.has_value() ? out << x.value() : out << "(no value)";
}

template class Var<float>;
template class Var<double>;
template std::ostream& operator<<(std::ostream&, const Var<float>&);
template std::ostream& operator<<(std::ostream&, const Var<double>&);

}  // namespace xtape
