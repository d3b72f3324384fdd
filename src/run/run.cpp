#include <xtape/io/event_writer.hpp>
#include <xtape/io/weights.hpp>
#include <xtape/run/checkpoints.hpp>
#include <xtape/run/run.hpp>

#include "base/message.hpp"

#include <cstdio>
#include <set>

namespace xtape {

using detail::fail;

void detail::check_metrics(const std::vector<Metric*>& metrics) {
  std::set<std::string> names{"loss", "learning_rate", "gradient_norm"};
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    const Metric* metric = metrics[i];
    if (metric == nullptr) {
      fail<ValueError>("metrics", "no metric: element ", i,
                       " is null, expected the address of one");
    }
    const std::string name = metric->name();
    if (name.empty() || name.starts_with("val_") || name.find('\n') != std::string::npos ||
        !names.insert(name).second) {
      fail<ValueError>("metrics", "name taken or not allowed: element ", i, " is '", name,
                       "', expected names that differ, also from loss, learning_rate and "
                       "gradient_norm, without 'val_' in front; give the metric another name");
    }
  }
}

Run::Run(RunOptions options) : options_(std::move(options)) {
  detail::check_metrics(options_.metrics);
}

void Run::say(const std::string& text) const {
  if (options_.message) {
    options_.message(text);
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

void Run::save_soon(std::string path) { requests_.push_back({nullptr, std::move(path), false}); }

void Run::save_soon(Checkpoints& checkpoints, bool is_best) {
  for (Request& request : requests_) {
    if (request.checkpoints == &checkpoints) {
      request.is_best = request.is_best || is_best;
      return;
    }
  }
  requests_.push_back({&checkpoints, "", is_best});
}

template <class T>
RunOf<T>::RunOf(Params<T>& params, Optimizer<T>& optimizer, RunOptions options)
    : Run(std::move(options)), params_(&params), optimizer_(&optimizer) {}

template <class T> Tensors RunOf<T>::weights() const {
  Tensors tensors;
  for (const Parameter<T>& p : params_->all()) {
    if (p.built()) tensors.emplace(p.path(), to_tensor(p.value()));
  }
  return tensors;
}

template <class T> void RunOf<T>::set_weights(const Tensors& weights) {
  std::map<std::string, Array<T>> arrays;
  for (const auto& [name, tensor] : weights) arrays.emplace(name, to_array<T>(tensor, name));
  params_->load(arrays, {.strict = false});
}

template <class T> void RunOf<T>::save_weights(const std::string& path) const {
  xtape::save(*params_, path);
}

template <class T> void RunOf<T>::write_histograms(EventWriter& events, std::int64_t step) const {
  for (const Parameter<T>& p : params_->all()) {
    if (p.built()) events.histogram(p.path() + "/histogram", p.value(), step);
  }
}

template <class T> std::optional<TrainingProgress> RunOf<T>::restore(Checkpoints& checkpoints) {
  return checkpoints.restore(*params_, *optimizer_);
}

template <class T> void RunOf<T>::save_now(const TrainingProgress& progress) {
  const std::vector<Request> requests = std::exchange(requests_, {});
  for (const Request& request : requests) {
    if (request.checkpoints != nullptr) {
      request.checkpoints->save(*params_, *optimizer_, progress, request.is_best);
    } else {
      save_checkpoint(request.path, *params_, *optimizer_, progress);
    }
  }
}

template class RunOf<float>;
template class RunOf<double>;

}  // namespace xtape
