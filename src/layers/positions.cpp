#include <xtape/layers/positions.hpp>

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "layers/common.hpp"

#include <xtape/ops/shape.hpp>

#include <algorithm>
#include <cmath>
#include <mutex>

namespace xtape {

using detail::fail;

namespace {

void check_positions(const std::string& path, const Shape& x) {
  if (x.size() < 2) {
    fail<ShapeError>(path, "too few axes: x is ", to_string(x), ", expected (..., length, width)");
  }
}

template <class T> Array<T> sines(std::size_t length, std::size_t width, double max_wavelength) {
  Array<T> table(detail::checked("SinePositionEncoding", Shape{length, width}));
  for (std::size_t j = 0; j < width; ++j) {
    const double pair = static_cast<double>(j - j % 2);
    const double frequency = std::pow(max_wavelength, -pair / static_cast<double>(width));
    for (std::size_t p = 0; p < length; ++p) {
      const double angle = static_cast<double>(p) * frequency;
      table.data()[p * width + j] = static_cast<T>(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  }
  return table;
}

}  // namespace

/// The encodings made so far. Layers may be called from several threads.
template <class T> struct SinePositionEncoding<T>::Table {
  double max_wavelength = 0;
  std::mutex mutex;
  Var<T> rows = {};  // of the positions from 0 on
};

template <class T> SinePositionEncoding<T>::SinePositionEncoding(Options options) {
  detail::check_positive("SinePositionEncoding", "max_wavelength", options.max_wavelength);
  table_ = std::make_shared<Table>();
  table_->max_wavelength = options.max_wavelength;
}

template <class T>
Var<T> SinePositionEncoding<T>::operator()(const Var<T>& x, std::size_t start_index) const {
  if (table_ == nullptr) detail::fail_no_value("SinePositionEncoding");
  check_positions("SinePositionEncoding", x.shape());
  const std::size_t length = x.shape()[x.rank() - 2];
  const std::size_t width = x.shape()[x.rank() - 1];
  const std::size_t end = detail::plus(start_index, length);
  Var<T> rows;
  {
    const std::lock_guard lock(table_->mutex);
    Var<T>& held = table_->rows;
    if (!held.has_value() || held.shape()[1] != width || held.shape()[0] < end) {
      // The table grows by half, so that decoding step by step seldom makes it again.
      const bool grows = held.has_value() && held.shape()[1] == width;
      const std::size_t roomy = grows ? held.shape()[0] + held.shape()[0] / 2 : 0;
      held = Var<T>(sines<T>(std::max(end, roomy), width, table_->max_wavelength));
    }
    rows = held;
  }
  if (start_index == 0 && rows.shape()[0] == length) return rows;
  Array<T> part(Shape{length, width});
  std::copy_n(rows.data() + start_index * width, length * width, part.data());
  return part;
}

template <class T>
PositionEmbedding<T>::PositionEmbedding(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  detail::check_positive_integer(path_, "sequence_length", options_.sequence_length);
  embeddings_ =
      scope.reserve("embeddings", options_.trainable, options_.regularizer, options_.constraint);
}

template <class T> void PositionEmbedding<T>::build(const Shape& input) const {
  check_positions(path_, input);
  const auto rows = static_cast<std::size_t>(options_.sequence_length);
  embeddings_.build({rows, input.back()}, options_.initializer,
                    Fans{static_cast<double>(rows), static_cast<double>(input.back())});
}

template <class T>
Var<T> PositionEmbedding<T>::operator()(const Var<T>& x, std::size_t start_index) const {
  check_positions(path_, x.shape());
  const std::size_t length = x.shape()[x.rank() - 2];
  const auto rows = static_cast<std::size_t>(options_.sequence_length);
  if (start_index > rows || length > rows - start_index) {
    fail<ValueError>(path_, "too many positions: x is ", to_string(x.shape()), " from position ",
                     start_index, " on, expected at most ", rows,
                     " positions in all; enlarge sequence_length, or shorten the sequences");
  }
  build(x.shape());
  const auto begin = static_cast<std::ptrdiff_t>(start_index);
  const Var<T> y = slice(embeddings_.value_for(x),
                         {Slice::range(begin, begin + static_cast<std::ptrdiff_t>(length))});
  return detail::note_layer_call(path_, "PositionEmbedding", y);
}

XTAPE_CLASS_FOR_REALS(SinePositionEncoding);
XTAPE_CLASS_FOR_REALS(PositionEmbedding);

}  // namespace xtape
