#include <xtape/layers/reshape.hpp>

#include "base/instantiate.hpp"
#include "base/message.hpp"

#include <algorithm>

namespace xtape {

template <class T> Var<T> Flatten<T>::operator()(const Var<T>& x) const {
  if (x.rank() == 0) {
    detail::fail<ShapeError>("Flatten", "no axes: x is (), expected (batch, ...)");
  }
  std::size_t elements = 1;  // x.size() / batch does not tell it for an empty batch
  for (std::size_t axis = 1; axis < x.rank(); ++axis) elements *= x.shape()[axis];
  return reshape(x, Shape{x.shape()[0], elements});
}

template <class T> Reshape<T>::Reshape(Options options) : options_(std::move(options)) {
  const std::vector<int>& target = options_.target_shape;
  for (const int extent : target) {
    if (extent >= -1) continue;
    detail::fail<ValueError>("Reshape", "target_shape out of range: an extent is ", extent,
                             ", expected 0 or more, or -1 for one that follows");
  }
  if (std::count(target.begin(), target.end(), -1) > 1) {
    detail::fail<ValueError>("Reshape",
                             "target_shape out of range: it has more than one -1, "
                             "expected at most one");
  }
}

template <class T> Var<T> Reshape<T>::operator()(const Var<T>& x) const {
  std::size_t elements = 1, known = 1;
  for (std::size_t axis = 1; axis < x.rank(); ++axis) elements *= x.shape()[axis];
  for (const int extent : options_.target_shape) {
    if (extent >= 0) known *= static_cast<std::size_t>(extent);
  }
  Shape shape{x.rank() == 0 ? 0 : x.shape()[0]};
  std::size_t made = 1;
  for (const int extent : options_.target_shape) {
    shape.push_back(extent >= 0 ? static_cast<std::size_t>(extent)
                                : elements / std::max<std::size_t>(known, 1));
    made *= shape.back();
  }
  if (x.rank() == 0 || made != elements) {
    std::string target;
    for (const int extent : options_.target_shape) target += ", " + std::to_string(extent);
    detail::fail<ShapeError>("Reshape", "sample does not fit: x is ", to_string(x.shape()),
                             " with ", elements, " elements a sample, expected those of (batch",
                             target, ")");
  }
  return reshape(x, shape);
}

XTAPE_CLASS_FOR_REALS(Flatten);
XTAPE_CLASS_FOR_REALS(Reshape);

}  // namespace xtape
