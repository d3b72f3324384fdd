#include <xtape/layers/attention/key_value_cache.hpp>

#include "base/instantiate.hpp"
#include "kernels/attention_step.hpp"
#include "layers/common.hpp"
#include "ops/products_of.hpp"

#include <algorithm>

namespace xtape {

using detail::fail;
using detail::products_of;

namespace {

constexpr std::size_t kFirstRoom = 1024;  // positions that are allocated at first

template <class T> void check_inference(const Var<T>& x) {
  const detail::TapeState<T>* state = x.node_ref().state;
  if (state == nullptr) return;
  detail::check_node_ref("KeyValueCache", x.node_ref());
  detail::check_inference("KeyValueCache", "append", state);
}

/// Copies `count` positions of every batch row to another array, whose batch may be larger. Rounds them to bfloat16 if
/// `rounds`.
template <class T>
void copy_positions(const Array<T>& from, Array<T>& to, std::size_t to_begin, std::size_t count,
                    bool rounds) {
  const std::size_t row = to.shape()[2] * to.shape()[3];
  for (std::size_t b = 0; b < from.shape()[0]; ++b) {
    const T* source = from.data() + b * from.shape()[1] * row;
    T* const target = to.data() + (b * to.shape()[1] + to_begin) * row;
    if (rounds) {
      kernels::round_for_cache(static_cast<kernels::Index>(count * row), source, target);
    } else {
      std::copy_n(source, count * row, target);
    }
  }
}

template <class T> Shape held_shape(const Array<T>& all, std::size_t batch) {
  Shape shape = all.shape();
  shape[0] = batch;
  return shape;
}

}  // namespace

template <class T> KeyValueCache<T>::KeyValueCache(std::size_t capacity) : capacity_(capacity) {
  detail::check_option(capacity > 0, "KeyValueCache", "capacity", capacity, "at least 1");
}

/// Throws ValueError if the cache is moved-from.
template <class T> void KeyValueCache<T>::check_value() const {
  if (length_ > 0 && room() == 0) detail::fail_no_value("KeyValueCache");
}

/// Returns whether the arrays have the batch, heads and dims of what is held.
template <class T> bool KeyValueCache<T>::fits(const Shape& key, const Shape& value) const {
  const auto agrees = [this](const Array<T>& present, const Shape& x) {
    return x[0] == batch_ && x[2] == present.shape()[2] && x[3] == present.shape()[3];
  };
  return agrees(keys_, key) && agrees(values_, value);
}

template <class T>
void KeyValueCache<T>::check_append(const Shape& key, const Shape& value,
                                    const std::string& name) const {
  check_value();
  const bool alike = key.size() == 4 && value.size() == 4 && key[0] == value[0] &&
                     key[1] == value[1] && key[2] == value[2];
  if (!alike || (length_ > 0 && !fits(key, value))) {
    fail<ShapeError>(
        name, "positions do not fit the cache: key is ", to_string(key), " and value is ",
        to_string(value),
        ", expected (batch, positions, heads, dim) with the batch, heads and dims of ",
        length_ == 0 ? std::string("each other") : to_string(held_shape(keys_, batch_)),
        "; clear() the cache for another batch");
  }
  const std::size_t count = key[1];
  if (count > capacity_ - length_) {
    fail<ValueError>(name, "no room in the cache: ", length_, " positions are held and ", count,
                     " more given, expected at most ", capacity_, "; make a larger cache");
  }
}

template <class T>
void KeyValueCache<T>::check_held(const Shape& key, const Shape& value,
                                  const std::string& name) const {
  check_value();
  if (length_ == 0) {
    fail<ValueError>(
        name, "the cache is empty: nothing was appended yet, expected at least one position");
  }
  if (!fits(key, value)) {
    fail<ShapeError>(
        name, "the cache does not fit: it holds ", to_string(held_shape(keys_, batch_)), " and ",
        to_string(held_shape(values_, batch_)), ", expected the batch, heads and dims of ",
        to_string(key), " and ", to_string(value), "; clear() it for another batch");
  }
}

template <class T> void KeyValueCache<T>::append(const Var<T>& key, const Var<T>& value) {
  check_inference(key);
  check_inference(value);
  check_append(key.shape(), value.shape());
  const std::size_t count = key.shape()[1];
  if (length_ == 0) {
    const std::size_t room = std::min(capacity_, std::max(count, kFirstRoom));
    const auto prepare = [&](Array<T>& a, const Shape& like) {
      const Shape shape{like[0], std::max(room, this->room()), like[2], like[3]};
      if (a.shape() != shape) a = Array<T>(detail::checked("KeyValueCache", shape));
    };
    prepare(values_, value.shape());
    prepare(keys_, key.shape());
    slots_.clear();
    batch_ = key.shape()[0];
  } else if (batch_ > keys_.shape()[0] || length_ + count > room()) {
    // Twice the room each time, so that a long text copies each position only a few times.
    const std::size_t wanted = length_ + count > room() ? std::max(length_ + count, 2 * room()) : 0;
    give_slots(std::min(capacity_, std::max(wanted, room())));
  }
  // No row refers to the slots of these positions yet.
  const bool rounds = products_of(key) == Products::bfloat16;
  copy_positions(key.value(), keys_, length_, count, rounds);
  copy_positions(value.value(), values_, length_, count, rounds);
  if (count > 0) rounded_ = rounds && (length_ == 0 || rounded_);
  if (!slots_.empty()) {
    for (std::size_t b = 0; b < batch_; ++b) {
      std::fill_n(slots_.data() + b * room() + length_, count, static_cast<std::int32_t>(b));
    }
  }
  length_ += count;
}

/// Returns the positions held, contiguous in each row, with room for `room` of them.
template <class T>
Array<T> KeyValueCache<T>::gathered(const Array<T>& all, std::size_t room) const {
  const std::size_t row = all.shape()[2] * all.shape()[3];
  const Shape shape{batch_, room, all.shape()[2], all.shape()[3]};
  Array<T> out(detail::checked("KeyValueCache", shape));
  for (std::size_t b = 0; b < batch_; ++b) {
    const std::int32_t* slots = slots_.empty() ? nullptr : slots_.data() + b * this->room();
    const auto slot = [&](std::size_t p) {
      return slots == nullptr ? b : static_cast<std::size_t>(slots[p]);
    };
    for (std::size_t p = 0; p < length_;) {
      std::size_t end = p + 1;
      while (end < length_ && slot(end) == slot(p)) ++end;
      const T* from = all.data() + (slot(p) * this->room() + p) * row;
      std::copy(from, from + (end - p) * row, out.data() + (b * room + p) * row);
      p = end;
    }
  }
  return out;
}

/// Gives each row a slot of its own, with copies of its positions and room for `room` of them.
template <class T> void KeyValueCache<T>::give_slots(std::size_t room) {
  Array<T> keys = gathered(keys_, room);
  values_ = gathered(values_, room);
  keys_ = std::move(keys);
  slots_.clear();
}

template <class T> void KeyValueCache<T>::truncate(std::size_t length) {
  detail::check_option(length <= length_, "KeyValueCache", "length", length, "at most ", length_,
                       ", the positions held");
  length_ = length;
}

template <class T> void KeyValueCache<T>::reorder(const ArrayArg<std::int64_t>& rows) {
  if (rows.dimension() != 1) {
    fail<ShapeError>("KeyValueCache", "wrong rank: rows are ", to_string(rows.shape()),
                     ", expected (rows,), one for each row of the new batch");
  }
  check_value();
  if (length_ == 0) return;
  const auto batch = static_cast<std::int64_t>(batch_);
  bool same = rows.size() == batch_;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t row = rows.data()[i];
    if (row < 0 || row >= batch) {
      fail<ValueError>("KeyValueCache", "row out of range: row ", i, " is ", row,
                       ", expected 0 to ", batch - 1);
    }
    same = same && row == static_cast<std::int64_t>(i);
  }
  if (same) return;
  std::vector<std::int32_t> slots(rows.size() * room());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(rows.data()[i]);
    std::int32_t* to = slots.data() + i * room();
    if (slots_.empty()) {
      std::fill_n(to, length_, static_cast<std::int32_t>(row));
    } else {
      std::copy_n(slots_.data() + row * room(), length_, to);
    }
  }
  slots_ = std::move(slots);
  batch_ = rows.size();
}

template <class T> Var<T> KeyValueCache<T>::keys() const {
  check_value();
  if (length_ == 0) {
    fail<ValueError>("KeyValueCache",
                     "empty: nothing was appended yet, expected at least one position");
  }
  return gathered(keys_, length_);
}

template <class T> Var<T> KeyValueCache<T>::values() const {
  check_value();
  if (length_ == 0) {
    fail<ValueError>("KeyValueCache",
                     "empty: nothing was appended yet, expected at least one position");
  }
  return gathered(values_, length_);
}

XTAPE_CLASS_FOR_REALS(KeyValueCache);

}  // namespace xtape
