#include <xtape/layers/softmax.hpp>

#include "base/instantiate.hpp"

namespace xtape {

template <class T>
Var<T> Softmax<T>::operator()(const Var<T>& x, const std::optional<Array<bool>>& mask) const {
  return softmax(x, options_.axes, mask);
}

XTAPE_CLASS_FOR_REALS(Softmax);

}  // namespace xtape
