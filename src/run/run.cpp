#include <xtape/io/event_writer.hpp>
#include <xtape/io/weights.hpp>
#include <xtape/run/checkpoints.hpp>
#include <xtape/run/run.hpp>
#include <xtape/run/team.hpp>

#include "io/file.hpp"
#include "io/text.hpp"
#include "run/checkpoint_file.hpp"
#include "run/state.hpp"

#include <cstdio>
#include <set>

namespace xtape {

using detail::fail;

namespace {

constexpr const char* kConfiguration = "configuration/";

}  // namespace

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

bool Run::lead() const noexcept { return options_.team == nullptr || options_.team->lead(); }

void Run::say(const std::string& text) const {
  if (!lead()) return;
  if (options_.message) {
    options_.message(text);
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

void Run::check_configuration(const std::string& path, const TrainingProgress& progress) const {
  const auto& now = options_.configuration;
  const auto before = detail::below(progress, kConfiguration).texts;
  if (now.empty()) return;
  if (before.empty()) {
    say(path + ": options and data are not compared, because the checkpoint has none");
    return;
  }
  std::set<std::string> names;
  for (const auto* texts : {&now, &before}) {
    for (const auto& [name, value] : *texts) names.insert(name);
  }
  const auto value = [](const std::map<std::string, std::string>& in, const std::string& name) {
    const auto at = in.find(name);
    return at == in.end() ? "unknown" : at->second.empty() ? "unset" : at->second;
  };
  // Escapes make a text longer, so it is shortened again.
  const auto shown = [](const std::string& text) { return io::escaped(io::escaped(text, 50), 50); };
  constexpr int kShown = 8;
  std::string differences;
  int count = 0;
  for (const std::string& name : names) {
    const std::string is = value(now, name);
    const std::string was = value(before, name);
    if (is == was || ++count > kShown) continue;
    differences += " " + shown(name) + " is " + shown(is) + ", expected " + shown(was) + ";";
  }
  if (count > kShown) differences += " and " + std::to_string(count - kShown) + " more;";
  if (count > 0) {
    fail<ValueError>(path, "cannot resume with other options or data:", differences,
                     " give those of the run that was interrupted");
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
  if (lead()) xtape::save(*params_, path);
}

template <class T> void RunOf<T>::write_histograms(EventWriter& events, std::int64_t step) const {
  for (const Parameter<T>& p : params_->all()) {
    if (p.built()) events.histogram(p.path() + "/histogram", p.value(), step);
  }
}

// Rank 0 reads, and sends the bytes to the others: they need not see its folder.
template <class T> std::optional<TrainingProgress> RunOf<T>::restore(Checkpoints& checkpoints) {
  Team* const team = options_.team;
  std::string bytes;
  std::optional<TrainingProgress> progress;
  if (lead()) {
    progress = checkpoints.restore(*params_, *optimizer_,
                                   [this](const std::string& path, const TrainingProgress& found) {
                                     check_configuration(path, found);
                                   });
  }
  if (team == nullptr || team->size() == 1) return progress;
  if (progress) {
    const io::FileBytes file(checkpoints.restored());
    bytes.assign(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  }
  team->broadcast(bytes);
  if (lead() || bytes.empty()) return progress;
  return detail::load_checkpoint_bytes(std::as_bytes(std::span(bytes)), "checkpoint of rank 0",
                                       *params_, *optimizer_);
}

template <class T> void RunOf<T>::save_now(TrainingProgress progress) {
  for (const auto& [name, value] : options_.configuration) {
    progress.texts[kConfiguration + name] = value;
  }
  const std::vector<Request> requests = std::exchange(requests_, {});
  for (const Request& request : requests) {
    if (!lead()) break;
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
