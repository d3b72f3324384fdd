#pragma once
/// \file
/// KeyValueCache: the keys and values of positions already seen, for decoding step by step.

#include <xtape/tape/var.hpp>

#include <cstdint>
#include <vector>

namespace xtape {

/// Preallocated projected keys (batch, capacity, heads, key_dim) and values (batch, capacity, heads,
/// value_dim) of one attention layer. Mutable, and for inference only: appending values of a tape
/// that records is a TapeError. Reordering moves no keys or values: each row notes where its positions
/// are, so that beams share what they have in common.
template <class T>
class KeyValueCache {
 public:
  /// Room for `capacity` positions; memory is taken at the first append. ValueError for 0.
  explicit KeyValueCache(std::size_t capacity);

  /// Positions held.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Adds positions: key (batch, new, heads, key_dim), value (batch, new, heads, value_dim).
  /// ShapeError when they do not fit what is held; ValueError when there is no room; then nothing is
  /// changed.
  void append(const Var<T>& key, const Var<T>& value);
  /// Throws what append would for arrays of these shapes; `name` begins the message.
  void check_append(const Shape& key, const Shape& value,
                    const std::string& name = "KeyValueCache") const;
  /// Throws unless positions are held whose batch, heads and dims are those of these shapes:
  /// ValueError for none, ShapeError for others.
  void check_held(const Shape& key, const Shape& value,
                  const std::string& name = "KeyValueCache") const;
  /// Row b becomes what row rows[b] was: beams go on from their parents. The batch may change its
  /// size. ValueError for a row out of range.
  void reorder(const Array<std::int64_t>& rows);
  /// Forgets the positions from `length` on. ValueError when fewer are held.
  void truncate(std::size_t length);
  /// Forgets all positions; keeps the memory.
  void clear() noexcept { length_ = 0; }

  /// The keys and values held, (batch, length, heads, dim), as constants; copies.
  [[nodiscard]] Var<T> keys() const;
  [[nodiscard]] Var<T> values() const;

  // For MultiHeadAttention: position p of row b is in key_slots()[slots[b * capacity() + p], p], or in
  // [b, p] where there are no slots.
  [[nodiscard]] const Array<T>& key_slots() const noexcept { return keys_; }
  [[nodiscard]] const Array<T>& value_slots() const noexcept { return values_; }
  [[nodiscard]] const std::int32_t* slots() const noexcept {
    return slots_.empty() ? nullptr : slots_.data();
  }

 private:
  [[nodiscard]] bool fits(const Shape& key, const Shape& value) const;
  [[nodiscard]] Array<T> gathered(const Array<T>& all, std::size_t room) const;
  void give_slots();

  std::size_t capacity_;
  std::size_t length_ = 0;
  std::size_t batch_ = 0;
  Array<T>
      keys_;  // (slots, capacity, heads, key_dim), at least as many slots as rows when appending
  Array<T> values_;
  std::vector<std::int32_t> slots_;  // (batch, capacity), or empty: row b is in slot b
};

}  // namespace xtape
