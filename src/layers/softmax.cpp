#include <xtape/layers/softmax.hpp>

namespace xtape {

template <class T>
Var<T> Softmax<T>::operator()(const Var<T>& x, const std::optional<Array<bool>>& mask) const {
  return softmax(x, options_.axes, mask);
}

template class Softmax<float>;
template class Softmax<double>;

}  // namespace xtape
