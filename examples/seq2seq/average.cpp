// seq2seq average: a model whose weights are the mean of others'.

#include "../console.hpp"
#include "card.hpp"
#include "settings.hpp"

#include <filesystem>

namespace seq2seq {

namespace {

/// Throws ValueError for models that do not read and write the same tokens.
void check_same(const std::string& folder, const Bundle& is, const std::string& first,
                const Bundle& expected) {
  if (same(is.language, expected.language) &&
      is.model->get_config() == expected.model->get_config()) {
    return;
  }
  throw xp::ValueError(folder +
                       ": another model: its options or tokens differ, expected those of " + first +
                       "; average models of one training, or that began with one by --init");
}

/// Returns the files of the newest checkpoints.
std::vector<std::string> newest(const std::string& folder, std::size_t count) {
  std::vector<std::string> files = xp::Checkpoints(checkpoints_folder(folder)).files();
  if (files.size() < count) {
    throw xp::ValueError("--last: too many: it is " + std::to_string(count) +
                         ", expected at most " + std::to_string(files.size()) +
                         ", the checkpoints of " + folder + "; train with --keep " +
                         std::to_string(count));
  }
  return {files.end() - static_cast<std::ptrdiff_t>(count), files.end()};
}

/// The sum of several sets of weights.
class Sum {
 public:
  void add(const xp::Params<float>& params) {
    for (const auto& [path, value] : params.values()) {
      std::vector<double>& sum = sums_[path];
      sum.resize(value.size());
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(value.data()[i]);
    }
    ++count_;
  }
  /// Sets the weights to the mean.
  void mean(xp::Params<float>& params) const {
    auto values = params.values();
    for (auto& [path, value] : values) {
      const std::vector<double>& sum = sums_.at(path);
      for (std::size_t i = 0; i < sum.size(); ++i) {
        value.data()[i] = static_cast<float>(sum[i] / static_cast<double>(count_));
      }
    }
    params.load(values);
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::map<std::string, std::vector<double>> sums_;
  std::size_t count_ = 0;
};

}  // namespace

void average(const AverageSettings& s) {
  if (std::filesystem::exists(options_file(s.folder))) {
    throw xp::ValueError(s.folder +
                         ": a model is here already, expected a new folder; give "
                         "another --model");
  }
  Bundle first = load_bundle(s.models[0]);
  Sum sum;
  Card card;
  card.origin.push_back("Its weights are a mean of those of:\n");
  for (const std::string& folder : s.models) {
    Bundle bundle = load_bundle(folder);
    check_same(folder, bundle, s.models[0], first);
    if (s.last == 0) {
      sum.add(bundle.params);
      card.origin.push_back("- " + folder);
      continue;
    }
    for (const std::string& file : newest(folder, s.last)) {
      xp::load_checkpoint(file, bundle.params);
      sum.add(bundle.params);
      card.origin.push_back("- " + file);
    }
  }
  sum.mean(first.params);
  save_language(s.folder, first.language, first.model->options());
  xp::save(first.params, weights_file(s.folder));
  write_card(s.folder, first.language, first.model->options(), first.params.count(), card);
  console::print("the mean of " + console::counted(sum.count(), "set") + " of weights is in " +
                 s.folder + "\n");
}

}  // namespace seq2seq
