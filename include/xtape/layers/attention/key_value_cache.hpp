#pragma once
/// \file
/// KeyValueCache: the keys and values of positions already seen, for decoding step by step.

#include <xtape/tape/var.hpp>

#include <cstdint>
#include <vector>

namespace xtape {

/// Projected keys (batch, positions, heads, key_dim) and values (batch, positions, heads, value_dim) of
/// one attention layer, of at most `capacity` positions. Mutable, and for inference only: appending values of a tape
/// that records is a TapeError. Reordering moves no keys or values: each row notes the slots of its
/// positions, so that beams share their common beginning. With products in bfloat16, floats are rounded
/// when they are appended. Products in float32 that read them later get the rounded ones. Using a
/// moved-from cache is a ValueError until clear().
template <class T> class KeyValueCache {
 public:
  /// Allows `capacity` positions. The first append allocates memory for 1024 of them or fewer, and later
  /// ones for as many as are needed: a capacity may stand for no limit. ValueError for 0.
  explicit KeyValueCache(std::size_t capacity);

  /// Returns the number of positions held.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  /// Returns how many positions fit.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Adds positions: key (batch, new, heads, key_dim), value (batch, new, heads, value_dim).
  /// ShapeError if they do not fit the positions held, ValueError beyond the capacity, MemoryError
  /// without memory; then nothing changes.
  void append(const Var<T>& key, const Var<T>& value);
  /// Throws the error of append() for arrays of these shapes; `name` begins the message.
  void check_append(const Shape& key, const Shape& value,
                    const std::string& name = "KeyValueCache") const;
  /// Throws ValueError if no position is held, ShapeError if their batch, heads or dims are not those of
  /// these shapes.
  void check_held(const Shape& key, const Shape& value,
                  const std::string& name = "KeyValueCache") const;
  /// Replaces row b by row rows[b]: beams continue their parents. The batch may change its size.
  /// ValueError for a row out of range, ShapeError for another rank. A cache that holds nothing takes any rows.
  void reorder(const ArrayArg<std::int64_t>& rows);
  /// Forgets the positions from `length` on. ValueError when fewer are held.
  void truncate(std::size_t length);
  /// Forgets all positions; keeps the memory.
  void clear() noexcept { length_ = 0; }

  /// Returns copies of the keys and values held, (batch, length, heads, dim), as constants.
  [[nodiscard]] Var<T> keys() const;
  /// Returns a copy of the values held.
  [[nodiscard]] Var<T> values() const;

  // For MultiHeadAttention: key_slots()[slots()[b * room() + p], p] is position p of row b. Without
  // slots it is key_slots()[b, p].
  /// Returns the positions that memory exists for.
  [[nodiscard]] std::size_t room() const noexcept {
    return keys_.dimension() == 4 ? keys_.shape()[1] : 0;
  }
  /// Returns the memory of the keys.
  [[nodiscard]] const Array<T>& key_slots() const noexcept { return keys_; }
  /// Returns the memory of the values.
  [[nodiscard]] const Array<T>& value_slots() const noexcept { return values_; }
  /// Returns the slots of the positions, or null if each position has its own.
  [[nodiscard]] const std::int32_t* slots() const noexcept {
    return slots_.empty() ? nullptr : slots_.data();
  }
  /// Returns true only if all positions held were rounded to bfloat16. Without positions it means nothing.
  [[nodiscard]] bool rounded() const noexcept { return rounded_; }

 private:
  void check_value() const;
  [[nodiscard]] bool fits(const Shape& key, const Shape& value) const;
  [[nodiscard]] Array<T> gathered(const Array<T>& all, std::size_t room) const;
  void give_slots(std::size_t room);

  std::size_t capacity_;
  std::size_t length_ = 0;
  std::size_t batch_ = 0;
  bool rounded_ = false;
  Array<T> keys_;  // (slots, room, heads, key_dim), at least as many slots as rows when appending
  Array<T> values_;
  std::vector<std::int32_t> slots_;  // (batch, room), or empty: row b is in slot b
};

}  // namespace xtape
