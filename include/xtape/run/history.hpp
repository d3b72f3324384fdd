#pragma once
/// \file
/// The numbers of a training run: Logs of a step or an epoch, and the History of all epochs.

#include <xtape/run/training_progress.hpp>

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace xtape {

/// Numbers by name, in order of arrival: "loss", "accuracy", "val_loss".
class Logs {
 public:
  /// A name and its number.
  using Entry = std::pair<std::string, double>;
  Logs() = default;
  /// Holds these entries, in this order.
  Logs(std::initializer_list<Entry> entries);

  /// The number, or null.
  [[nodiscard]] const double* find(std::string_view name) const noexcept;
  /// Returns whether there is a number of this name.
  [[nodiscard]] bool contains(std::string_view name) const noexcept {
    return find(name) != nullptr;
  }
  /// Returns the number. ValueError naming the known ones.
  [[nodiscard]] double at(std::string_view name) const;
  /// Adds or changes a number.
  void set(std::string_view name, double value);
  /// Removes all entries.
  void clear() noexcept { entries_.clear(); }

  /// Returns whether there are none.
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  /// Returns the number of entries.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// Returns an iterator to the first one.
  [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
  /// Returns the end of the range.
  [[nodiscard]] auto end() const noexcept { return entries_.end(); }
  /// All names, with commas between.
  [[nodiscard]] std::string names() const;

  /// Compares the contents.
  bool operator==(const Logs&) const = default;

 private:
  std::vector<Entry> entries_;
};

/// Writes "loss: 0.1234 - accuracy: 0.5000", as the progress bar does.
std::ostream& operator<<(std::ostream& out, const Logs& logs);

/// The logs of every epoch, by name. As in Keras, a list is shorter than epochs() when its number was
/// missing in some of them (validation every second epoch).
class History {
 public:
  /// A name and its numbers, one per epoch.
  using Column = std::pair<std::string, std::vector<double>>;

  bool interrupted = false;  ///< a signal ended it; it can continue from its checkpoint
  bool stopped = false;      ///< a callback ended it

  /// The epochs that were completed, from 0.
  [[nodiscard]] const std::vector<std::int64_t>& epochs() const noexcept { return epochs_; }
  /// The lists, in order of arrival.
  [[nodiscard]] const std::vector<Column>& columns() const noexcept { return columns_; }
  /// Returns whether there is a column of this name.
  [[nodiscard]] bool contains(std::string_view name) const noexcept;
  /// Returns the list of one number. ValueError naming the known ones.
  [[nodiscard]] const std::vector<double>& operator[](std::string_view name) const;

  /// Adds an epoch.
  void add(std::int64_t epoch, const Logs& logs);
  /// Removes all columns.
  void clear();

  /// Writes to and reads from a checkpoint's progress, bit by bit. ValueError for a damaged one.
  void save(TrainingProgress& progress) const;
  /// Reads what save() wrote.
  void load(const TrainingProgress& progress);

  /// Compares the contents.
  bool operator==(const History&) const = default;

 private:
  std::vector<std::int64_t> epochs_;
  std::vector<Column> columns_;
};

}  // namespace xtape
