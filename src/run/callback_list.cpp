#include "run/callback_list.hpp"

#include "base/message.hpp"

#include <map>

namespace xtape::detail {

namespace {

constexpr const char* kPresent = "present";

/// Entries below a prefix, without it.
template <class V>
std::map<std::string, V> below(const std::string& prefix, const std::map<std::string, V>& all) {
  std::map<std::string, V> found;
  for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it) {
    found.emplace(it->first.substr(prefix.size()), it->second);
  }
  return found;
}

}  // namespace

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
    for (const auto& [key, value] : own.numbers) progress.numbers[keys_[i] + key] = value;
    for (auto& [key, value] : own.texts) progress.texts[keys_[i] + key] = std::move(value);
  }
}

void CallbackList::load(const Run& run, const TrainingProgress& progress) const {
  for (std::size_t i = 0; i < callbacks_.size(); ++i) {
    if (progress.numbers.count(keys_[i] + kPresent) == 0) {
      run.say("fit: state missing: the checkpoint has nothing of " + callbacks_[i]->name() +
              ", expected the callbacks of the run that is resumed; it begins anew");
      continue;
    }
    TrainingProgress own = progress;
    own.numbers = below(keys_[i], progress.numbers);
    own.texts = below(keys_[i], progress.texts);
    callbacks_[i]->load(own);
  }
}

}  // namespace xtape::detail
