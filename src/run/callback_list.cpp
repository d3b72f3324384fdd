#include "run/callback_list.hpp"

#include "run/state.hpp"

#include <map>

namespace xtape::detail {

constexpr const char* kPresent = "present";

CallbackList::CallbackList(std::vector<Callback*> callbacks) : callbacks_(std::move(callbacks)) {
  std::map<std::string, int> seen;
  for (std::size_t i = 0; i < callbacks_.size(); ++i) {
    if (callbacks_[i] == nullptr) {
      fail<ValueError>("callbacks", "no callback: element ", i,
                       " is null, expected the address of one");
    }
    const std::string name = callbacks_[i]->name();
    const int count = ++seen[name];
    keys_.push_back("callbacks/" + name + (count == 1 ? "" : " " + std::to_string(count)) + "/");
  }
}

std::optional<TrainingProgress> CallbackList::restore(Run& run) const {
  for (Callback* callback : callbacks_) {
    if (auto progress = callback->restore(run)) return progress;
  }
  return std::nullopt;
}

void CallbackList::save(TrainingProgress& progress) const {
  for (std::size_t i = 0; i < callbacks_.size(); ++i) {
    TrainingProgress own;
    callbacks_[i]->save(own);
    progress.numbers[keys_[i] + kPresent] = 1;
    put_below(progress, keys_[i], std::move(own));
  }
}

void CallbackList::load(const Run& run, const TrainingProgress& progress) const {
  for (std::size_t i = 0; i < callbacks_.size(); ++i) {
    if (progress.numbers.count(keys_[i] + kPresent) == 0) {
      run.say("fit: state missing: the checkpoint has nothing of " + callbacks_[i]->name() +
              ", expected the callbacks of the run that is resumed; it begins anew");
      continue;
    }
    callbacks_[i]->load(below(progress, keys_[i]));
  }
}

}  // namespace xtape::detail
