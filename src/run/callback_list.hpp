#pragma once
// The callbacks of a run, called one after the other, and their states under distinct names.

#include <xtape/run/callback.hpp>

namespace xtape::detail {

class CallbackList {
 public:
  /// ValueError for one that is null.
  explicit CallbackList(std::vector<Callback*> callbacks);

  [[nodiscard]] bool empty() const noexcept { return callbacks_.empty(); }
  /// Calls the hook of each.
  template <class... Parameters, class... Args>
  void call(void (Callback::*hook)(Parameters...), Args&&... args) const {
    for (Callback* callback : callbacks_) (callback->*hook)(args...);
  }
  /// Returns the first state that a callback restores.
  [[nodiscard]] std::optional<TrainingProgress> restore(Run& run) const;
  void save(TrainingProgress& progress) const;
  /// Loads the states; sends a message for each callback without one.
  void load(const Run& run, const TrainingProgress& progress) const;

 private:
  std::vector<Callback*> callbacks_;
  std::vector<std::string> keys_;  // "callbacks/EarlyStopping/", "callbacks/EarlyStopping 2/"
};

}  // namespace xtape::detail
