#include <xtape/run/checkpoints.hpp>

#include "io/file.hpp"
#include "io/parameter_views.hpp"
#include "params/name_check.hpp"
#include "run/checkpoint_file.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace xtape {

using detail::fail;

namespace {

constexpr std::string_view kBegin = "checkpoint-";
constexpr std::string_view kEnd = ".safetensors";
constexpr const char* kBest = "best.safetensors";
constexpr std::size_t kDigits = 8;       // at least
constexpr std::size_t kMostDigits = 18;  // all these fit

/// Returns the number in a checkpoint's name; 0 for other names.
std::uint64_t number_of(std::string_view name) {
  if (!name.starts_with(kBegin) || !name.ends_with(kEnd)) return 0;
  if (name.size() < kBegin.size() + kDigits + kEnd.size()) return 0;
  const std::string digits(name.substr(kBegin.size(), name.size() - kBegin.size() - kEnd.size()));
  const bool good =
      digits.size() <= kMostDigits && digits.find_first_not_of("0123456789") == std::string::npos;
  return good ? std::stoull(digits) : 0;
}

std::string name_of(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(kBegin) + std::string(kDigits - std::min(kDigits, digits.size()), '0') +
         digits + std::string(kEnd);
}

bool is_ours(std::string_view name) { return name == kBest || number_of(name) != 0; }

std::filesystem::file_type type_of(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type();
}

bool exists(const std::string& path) {
  return type_of(path) != std::filesystem::file_type::not_found;
}

/// A stray directory, pipe or socket is no checkpoint.
bool is_file(const std::string& path) {
  const auto type = type_of(path);
  return type == std::filesystem::file_type::regular || type == std::filesystem::file_type::symlink;
}

/// Returns the paths with a checkpoint's name, oldest first.
std::vector<std::string> numbered(const std::string& folder) {
  std::vector<std::pair<std::uint64_t, std::string>> found;
  for (const std::string& name : io::list_folder(folder)) {
    if (const std::uint64_t number = number_of(name)) {
      found.emplace_back(number, folder + "/" + name);
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  for (auto& [number, path] : found) paths.push_back(std::move(path));
  return paths;
}

/// Throws ParameterError unless the checkpoint has the model's names, shapes and, if asked for, type. A model
/// without layers fits every checkpoint.
template <class T>
void check_architecture(const std::string& path, const Params<T>& params, const io::Views& weights,
                        bool same_type) {
  const std::vector<Parameter<T>> all = params.all();
  if (all.empty()) return;
  detail::NameCheck check;
  for (const Parameter<T>& p : all) {
    const auto it = weights.find(p.path());
    if (it == weights.end()) {
      check.missing("'" + p.path() + "'");
      continue;
    }
    const io::View& view = it->second;
    const bool other_type = same_type && view.dtype != io::real_dtype<T>;
    if (!other_type && (!p.built() || p.value().shape() == view.shape)) continue;
    check.misshaped(
        "'" + p.path() + "'", to_string(view.dtype) + " " + to_string(view.shape),
        to_string(io::real_dtype<T>) + (p.built() ? " " + to_string(p.value().shape()) : ""));
  }
  for (const auto& [name, view] : weights) {
    if (!params.contains(name)) check.unexpected(io::printable(name));
  }
  check.finish(path, "make the model that was saved");
}

}  // namespace

template <class T>
void save_checkpoint(const std::string& path, const Params<T>& params,
                     const Optimizer<T>& optimizer, const TrainingProgress& progress) {
  io::naming(path, [&] { params.check_pending(); });
  const OptimizerState<T> state = optimizer.state();
  io::CheckpointView checkpoint{
      io::real_dtype<T>, io::views_of(params, path), {}, state.scalars, progress};
  for (const auto& [name, array] : state.arrays) {
    checkpoint.optimizer.emplace(name, io::view_of(array));
  }
  io::write_file(path,
                 [&](const io::Sink& sink) { io::write_checkpoint_to(sink, path, checkpoint); });
}

namespace {

template <class T>
TrainingProgress load_bytes(io::Bytes bytes, const std::string& path, Params<T>& params,
                            Optimizer<T>& optimizer, const Checkpoints::Check& check) {
  return io::reading(path, bytes.size(), [&] {
    io::CheckpointView checkpoint = io::parse_checkpoint(bytes, io::Source(path));
    if (check) check(path, checkpoint.progress);
    check_architecture(path, params, checkpoint.weights, true);
    const auto weights = io::arrays_of<T>(checkpoint.weights, path);
    const OptimizerState<T> state{io::arrays_of<T>(checkpoint.optimizer, path), checkpoint.numbers};
    io::naming(path, [&] { optimizer.load_state(state, params, [&] { params.load(weights); }); });
    return std::move(checkpoint.progress);
  });
}

template <class T>
TrainingProgress load_checked(const std::string& path, Params<T>& params, Optimizer<T>& optimizer,
                              const Checkpoints::Check& check) {
  const io::FileBytes file(path);
  return load_bytes(file.bytes(), path, params, optimizer, check);
}

/// Puts the averages "<optimizer>/average/<path>" in the place of the weights.
void take_averages(io::CheckpointView& checkpoint) {
  constexpr std::string_view kAverages = "/average/";
  for (const auto& [name, view] : checkpoint.optimizer) {
    const std::size_t at = name.find('/');
    if (at == std::string::npos || name.compare(at, kAverages.size(), kAverages) != 0) continue;
    const auto weight = checkpoint.weights.find(name.substr(at + kAverages.size()));
    if (weight != checkpoint.weights.end()) weight->second = view;
  }
}

}  // namespace

template <class T>
TrainingProgress detail::load_checkpoint_bytes(io::Bytes bytes, const std::string& path,
                                               Params<T>& params, Optimizer<T>& optimizer) {
  return load_bytes(bytes, path, params, optimizer, {});
}

template <class T>
TrainingProgress load_checkpoint(const std::string& path, Params<T>& params,
                                 Optimizer<T>& optimizer) {
  return load_checked(path, params, optimizer, {});
}

template <class T> TrainingProgress load_checkpoint(const std::string& path, Params<T>& params) {
  const io::FileBytes file(path);
  return io::reading(path, file.bytes().size(), [&] {
    io::CheckpointView checkpoint = io::parse_checkpoint(file.bytes(), io::Source(path));
    take_averages(checkpoint);
    check_architecture(path, params, checkpoint.weights, false);
    params.load(io::arrays_of<T>(checkpoint.weights, path));
    return std::move(checkpoint.progress);
  });
}

Checkpoints::Checkpoints(std::string folder, CheckpointsOptions options)
    : folder_(std::move(folder)), options_(options) {
  if (options_.keep == 0) {
    fail<ValueError>("Checkpoints", "out of range: keep is 0, expected 1 or more");
  }
  io::make_folder(folder_);
  for (const std::string& name : io::list_folder(folder_)) {
    io::remove_if_left_over(folder_, name, is_ours);
  }
}

std::vector<std::string> Checkpoints::files() const {
  std::vector<std::string> paths = numbered(folder_);
  std::erase_if(paths, [](const std::string& path) { return !is_file(path); });
  return paths;
}

std::string Checkpoints::best_file() const { return folder_ + "/" + kBest; }

void Checkpoints::lock() {
  if (lock_ == nullptr) lock_ = io::lock_folder(folder_);
}

void Checkpoints::remove(const std::string& path) const {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  io::fail_io(path, "old checkpoint cannot be removed", errno, "a folder to write to");
}

void Checkpoints::clear() {
  lock();
  for (const std::string& path : files()) remove(path);
  if (is_file(best_file())) remove(best_file());
}

// Damaged files do not count among those to keep, so that as many good ones stay.
void Checkpoints::remove_old() const {
  const std::vector<std::string> all = files();
  std::size_t good = 0;
  for (auto path = all.rbegin(); path != all.rend(); ++path) {
    if (good == options_.keep) {
      remove(*path);
      continue;
    }
    good += std::none_of(skipped_.begin(), skipped_.end(),
                         [&](const SkippedCheckpoint& s) { return s.path == *path; });
  }
}

template <class T>
void Checkpoints::save(const Params<T>& params, const Optimizer<T>& optimizer,
                       const TrainingProgress& progress, bool is_best) {
  const std::vector<std::string> all = files();
  lock();
  std::uint64_t next =
      all.empty() ? 0 : number_of(std::filesystem::path(all.back()).filename().string());
  std::string path;
  do {  // a stray directory may have the name
    path = folder_ + "/" + name_of(++next);
  } while (exists(path));
  // The best is written first: a run killed between the two finds the same best again.
  if (is_best) save_checkpoint(best_file(), params, optimizer, progress);
  save_checkpoint(path, params, optimizer, progress);
  remove_old();
}

template <class T>
std::optional<TrainingProgress> Checkpoints::restore(Params<T>& params, Optimizer<T>& optimizer,
                                                     const Check& check) {
  std::vector<std::string> candidates = numbered(folder_);  // a stray directory is told, too
  std::reverse(candidates.begin(), candidates.end());
  if (exists(best_file())) candidates.push_back(best_file());
  skipped_.clear();
  std::string reasons;
  int code = 0;  // of the first that the system refused, when no file is damaged
  for (const std::string& path : candidates) {
    try {
      std::string name = path;  // copied before anything changes
      TrainingProgress progress = load_checked(path, params, optimizer, check);
      restored_.swap(name);
      return progress;
    } catch (const FormatError& e) {
      skipped_.push_back({path, e.what()});
      code = -1;
    } catch (const IoError& e) {
      skipped_.push_back({path, e.what()});
      if (code == 0) code = e.code;
    }
    reasons += "; " + skipped_.back().reason;
  }
  if (skipped_.empty()) return std::nullopt;
  const std::string message =
      folder_ + ": none of its " + std::to_string(skipped_.size()) +
      " checkpoints can be loaded, expected one; move them away to begin anew" + reasons;
  if (code > 0) throw IoError(message, folder_, code);
  throw FormatError(message);
}

template <class T>
std::optional<TrainingProgress> Checkpoints::restore_best(Params<T>& params,
                                                          Optimizer<T>& optimizer) const {
  if (!exists(best_file())) return std::nullopt;
  return load_checkpoint(best_file(), params, optimizer);
}

template <class T>
std::optional<TrainingProgress> Checkpoints::restore_best(Params<T>& params) const {
  if (!exists(best_file())) return std::nullopt;
  return load_checkpoint(best_file(), params);
}

#define XTAPE_INSTANTIATE(T)                                                                      \
  template void save_checkpoint(const std::string&, const Params<T>&, const Optimizer<T>&,        \
                                const TrainingProgress&);                                         \
  template TrainingProgress detail::load_checkpoint_bytes(io::Bytes, const std::string&,          \
                                                          Params<T>&, Optimizer<T>&);             \
  template TrainingProgress load_checkpoint(const std::string&, Params<T>&, Optimizer<T>&);       \
  template TrainingProgress load_checkpoint(const std::string&, Params<T>&);                      \
  template void Checkpoints::save(const Params<T>&, const Optimizer<T>&, const TrainingProgress&, \
                                  bool);                                                          \
  template std::optional<TrainingProgress> Checkpoints::restore(Params<T>&, Optimizer<T>&,        \
                                                                const Check&);                    \
  template std::optional<TrainingProgress> Checkpoints::restore_best(Params<T>&, Optimizer<T>&)   \
      const;                                                                                      \
  template std::optional<TrainingProgress> Checkpoints::restore_best(Params<T>&) const;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
