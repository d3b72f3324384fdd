#include "array/shapes.hpp"

#include <xtape/array/array.hpp>

#include <algorithm>
#include <cmath>

namespace xtape {

template <class T>
Array<T> arange(std::type_identity_t<T> start, std::type_identity_t<T> stop,
                std::type_identity_t<T> step) {
  const double from = static_cast<double>(start);
  const double count = std::ceil((static_cast<double>(stop) - from) / static_cast<double>(step));
  if (!std::isfinite(count) || !std::isfinite(static_cast<double>(step)) || step == T(0)) {
    detail::fail<ValueError>("arange", "step out of range: start is ", start, ", stop is ", stop,
                             ", step is ", step,
                             ", expected finite numbers and a step other than 0");
  }
  const double most = static_cast<double>(detail::kTooMany);
  Array<T> values(detail::checked(
      "arange", Shape{count > 0 ? static_cast<std::size_t>(std::min(count, most)) : 0}));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values.data()[i] = static_cast<T>(start + static_cast<T>(i) * step);
  }
  return values;
}

template Array<float> arange<float>(float, float, float);
template Array<double> arange<double>(double, double, double);
template Array<int> arange<int>(int, int, int);
template Array<std::int64_t> arange<std::int64_t>(std::int64_t, std::int64_t, std::int64_t);

}  // namespace xtape
