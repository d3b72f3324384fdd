#include <xtape/layers/key_value_cache.hpp>

#include "base/message.hpp"

#include <xtape/detail/tape_state.hpp>

#include <algorithm>

namespace xtape {

using detail::fail;

namespace {

template <class T>
void check_inference(const Var<T>& x) {
  const detail::TapeState<T>* state = x.place().state;
  if (state == nullptr) return;
  detail::check_place("KeyValueCache", x.place());
  if (state->recording()) {
    fail<TapeError>("KeyValueCache",
                    "append on a recording tape: no gradient would pass through "
                    "the cache, expected inference; use values without a tape, or "
                    "a Tape with {.record = false}");
  }
}

// Copies `count` positions of every batch row from one array to another.
template <class T>
void copy_positions(const Array<T>& from, std::size_t from_begin, Array<T>& to,
                    std::size_t to_begin, std::size_t count) {
  const std::size_t batch = to.shape()[0];
  const std::size_t row = to.shape()[2] * to.shape()[3];
  for (std::size_t b = 0; b < batch; ++b) {
    const T* source = from.data() + (b * from.shape()[1] + from_begin) * row;
    std::copy(source, source + count * row, to.data() + (b * to.shape()[1] + to_begin) * row);
  }
}

template <class T>
Array<T> held(const Array<T>& all, std::size_t length) {
  if (length == 0) {
    fail<ValueError>("KeyValueCache",
                     "empty: nothing was appended yet, expected at least one "
                     "position");
  }
  Shape shape = all.shape();
  shape[1] = length;
  Array<T> out(shape);
  copy_positions(all, 0, out, 0, length);
  return out;
}

}  // namespace

template <class T>
KeyValueCache<T>::KeyValueCache(std::size_t capacity) : capacity_(capacity) {
  if (capacity == 0) {
    fail<ValueError>("KeyValueCache", "capacity out of range: capacity is 0, expected at least 1");
  }
}

/// Whether the arrays have the batch, heads and dims of what is held.
template <class T>
bool KeyValueCache<T>::fits(const Shape& key, const Shape& value) const {
  const auto agrees = [](const Array<T>& present, const Shape& x) {
    return x[0] == present.shape()[0] && x[2] == present.shape()[2] && x[3] == present.shape()[3];
  };
  return agrees(keys_, key) && agrees(values_, value);
}

template <class T>
void KeyValueCache<T>::check_append(const Shape& key, const Shape& value,
                                    const std::string& name) const {
  const bool alike = key.size() == 4 && value.size() == 4 && key[0] == value[0] &&
                     key[1] == value[1] && key[2] == value[2];
  if (!alike || (length_ > 0 && !fits(key, value))) {
    fail<ShapeError>(name, "positions do not fit the cache: key is ", to_string(key),
                     " and value is ", to_string(value),
                     ", expected (batch, positions, heads, dim) with the batch, heads and dims of ",
                     length_ == 0 ? std::string("each other") : to_string(keys_.shape()),
                     "; clear() the cache for another batch");
  }
  const std::size_t count = key[1];
  if (length_ + count > capacity_) {
    fail<ValueError>(name, "no room in the cache: ", length_, " positions are held and ", count,
                     " more given, expected at most ", capacity_, "; make a larger cache");
  }
}

template <class T>
void KeyValueCache<T>::check_held(const Shape& key, const Shape& value,
                                  const std::string& name) const {
  if (length_ == 0) {
    fail<ValueError>(name,
                     "the cache is empty: nothing was appended yet, expected at least one "
                     "position");
  }
  if (!fits(key, value)) {
    fail<ShapeError>(name, "the cache does not fit: it holds ", to_string(keys_.shape()), " and ",
                     to_string(values_.shape()), ", expected the batch, heads and dims of ",
                     to_string(key), " and ", to_string(value), "; clear() it for another batch");
  }
}

template <class T>
void KeyValueCache<T>::append(const Var<T>& key, const Var<T>& value) {
  check_inference(key);
  check_inference(value);
  check_append(key.shape(), value.shape());
  const std::size_t count = key.shape()[1];
  if (length_ == 0) {
    const auto prepare = [&](Array<T>& a, const Shape& like) {
      const Shape shape{like[0], capacity_, like[2], like[3]};
      if (a.shape() != shape) a = Array<T>(shape);
    };
    prepare(keys_, key.shape());
    prepare(values_, value.shape());
  }
  copy_positions(key.value(), 0, keys_, length_, count);
  copy_positions(value.value(), 0, values_, length_, count);
  length_ += count;
}

template <class T>
void KeyValueCache<T>::truncate(std::size_t length) {
  if (length > length_) {
    fail<ValueError>("KeyValueCache", "length out of range: length is ", length,
                     ", expected at most ", length_, ", the positions held");
  }
  length_ = length;
}

template <class T>
void KeyValueCache<T>::reorder(const Array<std::int64_t>& rows) {
  if (rows.dimension() != 1) {
    fail<ShapeError>("KeyValueCache", "wrong rank: rows are ", to_string(rows.shape()),
                     ", expected (rows,), one for each row of the new batch");
  }
  if (length_ == 0) return;
  const auto batch = static_cast<std::int64_t>(keys_.shape()[0]);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.data()[i] < 0 || rows.data()[i] >= batch) {
      fail<ValueError>("KeyValueCache", "row out of range: row ", i, " is ", rows.data()[i],
                       ", expected 0 to ", batch - 1);
    }
  }
  const auto reordered = [&](const Array<T>& a) {
    Array<T> out(Shape{rows.size(), capacity_, a.shape()[2], a.shape()[3]});
    const std::size_t row = capacity_ * a.shape()[2] * a.shape()[3];
    const std::size_t used = length_ * a.shape()[2] * a.shape()[3];
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const T* source = a.data() + static_cast<std::size_t>(rows.data()[i]) * row;
      std::copy(source, source + used, out.data() + i * row);
    }
    return out;
  };
  Array<T> keys = reordered(keys_);
  Array<T> values = reordered(values_);
  keys_ = std::move(keys);
  values_ = std::move(values);
}

template <class T>
Var<T> KeyValueCache<T>::keys() const {
  return held(keys_, length_);
}

template <class T>
Var<T> KeyValueCache<T>::values() const {
  return held(values_, length_);
}

template class KeyValueCache<float>;
template class KeyValueCache<double>;

}  // namespace xtape
