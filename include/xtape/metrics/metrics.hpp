#pragma once
/// \file
/// Metrics: the numbers reported beside the loss. Each metric sums the arguments of update(), in
/// double, until reset(). Fractions are from 0 to 1, as in Keras. BLEU and the error rates are
/// percentages, as they are published. A result is 0 before the first sample that counts.
///
///     Accuracy accuracy;
///     for (auto& batch : batches) accuracy.update(model(batch.x), batch.labels);
///     std::cout << accuracy.name() << ' ' << accuracy.result() << '\n';
///
/// update() throws ShapeError for shapes that do not fit, and ValueError for options and labels out of
/// range. The metric is then unchanged.

#include <xtape/losses/losses.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace xtape {

/// The interface for reports and callbacks.
class Metric {
 public:
  virtual ~Metric() = default;
  /// Returns the name in reports.
  [[nodiscard]] virtual std::string name() const = 0;
  /// The value of everything since the last reset().
  [[nodiscard]] virtual double result() const = 0;
  /// Forgets all samples.
  virtual void reset() = 0;
  /// Whether more is better, for callbacks that keep the best.
  [[nodiscard]] virtual bool higher_is_better() const noexcept = 0;
  /// The sums so far, for checkpoints; whole numbers must be below 2^53. A metric without a state
  /// starts again when a run is resumed in the middle of an epoch.
  [[nodiscard]] virtual std::vector<double> state() const { return {}; }
  /// Replaces the sums. ValueError for another count of numbers; the metric is then unchanged.
  virtual void load_state(std::span<const double> state);
  /// Adds the sums of another metric of this kind, as if its samples had come to this one: adds
  /// element by element, unless overridden. Errors as load_state().
  virtual void merge(std::span<const double> state);

 protected:
  Metric() = default;
  /// Copies, for derived classes.
  Metric(const Metric&) = default;
  /// Copies, for derived classes.
  Metric& operator=(const Metric&) = default;
};

/// The samples that count, and their weights, as for losses.
struct MetricOptions {
  OptionalArray<bool> mask = {};                    ///< true where a sample counts
  std::optional<Array<double>> sample_weight = {};  ///< factors and, in sum, the divisor
};

/// The weighted mean of any values: a loss per batch, a norm, a value per sample.
class Mean : public Metric {
 public:
  /// Makes the metric; the name is that in reports.
  explicit Mean(std::string name = "mean", bool higher_is_better = false)
      : name_(std::move(name)), up_(higher_is_better) {}
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] double result() const override { return weight_ == 0 ? 0 : sum_ / weight_; }
  void reset() override { sum_ = weight_ = 0; }
  [[nodiscard]] bool higher_is_better() const noexcept override { return up_; }
  [[nodiscard]] std::vector<double> state() const override { return {sum_, weight_}; }
  void load_state(std::span<const double> state) override;
  /// The sum of the weights so far.
  [[nodiscard]] double weight() const noexcept { return weight_; }

  /// Adds one value. ValueError unless the weight is finite.
  void update(double value, double weight = 1);
  /// Adds one value per sample.
  template <class T> void update(const Array<T>& values, const MetricOptions& options = {});

 private:
  std::string name_;
  bool up_;
  double sum_ = 0, weight_ = 0;
};

/// The fraction of samples predicted right. A last axis of 1 is compared with the threshold, as in
/// Keras; otherwise the first largest entry along the last axis is the answer.
class Accuracy final : public Mean {
 public:
  /// ValueError for a threshold that is not finite.
  explicit Accuracy(double threshold = 0.5, std::string name = "accuracy");
  /// Labels: prediction (..., classes) and labels (...) or (..., 1). ValueError for labels outside the
  /// classes (other than 0 and 1 for one class) of samples that count.
  template <class T>
  void update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
              const MetricOptions& options = {});
  /// Targets of the prediction's shape: its largest entry is the label, or for a last axis of 1 the
  /// target itself.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});

 private:
  double threshold_;
};

/// The fraction of elements on the right side of the threshold, averaged over the last axis.
class BinaryAccuracy final : public Mean {
 public:
  /// ValueError for a threshold that is not finite.
  explicit BinaryAccuracy(double threshold = 0.5, std::string name = "binary_accuracy");
  /// Adds samples. ShapeError unless the target has the prediction's shape.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});

 private:
  double threshold_;
};

/// The fraction of samples whose label is among the k largest predictions: fewer than k are larger. A
/// label whose prediction is not finite is not among them.
class TopKAccuracy final : public Mean {
 public:
  /// ValueError unless k is positive.
  explicit TopKAccuracy(std::int64_t k = 5, std::string name = "top_k_accuracy");
  /// Prediction (..., classes) and labels (...). ValueError for labels outside the classes.
  template <class T>
  void update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
              const MetricOptions& options = {});

 private:
  std::int64_t k_;
};

/// exp of the mean cross-entropy per token, of sparse_categorical_crossentropy.
class Perplexity final : public Metric {
 public:
  /// Options, with their defaults.
  struct Options {
    bool from_logits = false;                        ///< whether predictions are logits
    std::optional<std::int64_t> mask_token_id = {};  ///< labels left out: padding
  };
  explicit Perplexity() : Perplexity(Options()) {}
  /// Makes the metric; the name is that in reports.
  explicit Perplexity(Options options, std::string name = "perplexity")
      : options_(options), name_(std::move(name)) {}
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] double result() const override;
  void reset() override { mean_.reset(); }
  [[nodiscard]] bool higher_is_better() const noexcept override { return false; }
  [[nodiscard]] std::vector<double> state() const override { return mean_.state(); }
  void load_state(std::span<const double> state) override { mean_.load_state(state); }
  /// Prediction (..., classes) and labels (...).
  template <class T>
  void update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
              const MetricOptions& options = {});

 private:
  Options options_;
  std::string name_;
  Mean mean_;
};

/// Levenshtein's distance: the number of insertions, deletions and replacements of one entry that
/// turn one list into the other.
std::int64_t edit_distance(std::span<const std::int64_t> a, std::span<const std::int64_t> b);
/// Returns the distance of two lists of words.
std::int64_t edit_distance(std::span<const std::string> a, std::span<const std::string> b);

/// Error rates of sequences of tokens (phones, characters, words). A sample with several references
/// is compared with the nearest one, the first of equals.
class EditDistance final : public Metric {
 public:
  /// Makes the metric; the name is that in reports.
  explicit EditDistance(std::string name = "edit_distance") : name_(std::move(name)) {}
  [[nodiscard]] std::string name() const override { return name_; }
  /// 100 * sum of distances / sum of reference lengths: the phone (or token) error rate, PER.
  [[nodiscard]] double result() const override;
  /// 100 * samples that are not identical to any reference / samples: the word error rate of
  /// transcription tasks, WER.
  [[nodiscard]] double sequence_error_rate() const;
  /// Returns the sum of the distances.
  [[nodiscard]] std::int64_t distance() const noexcept { return distance_; }
  /// Returns the number of samples.
  [[nodiscard]] std::int64_t samples() const noexcept { return samples_; }
  void reset() override { distance_ = length_ = wrong_ = samples_ = 0; }
  [[nodiscard]] bool higher_is_better() const noexcept override { return false; }
  [[nodiscard]] std::vector<double> state() const override;
  void load_state(std::span<const double> state) override;

  /// Adds a sample. ValueError without a reference.
  void update(std::span<const std::string> hypothesis,
              const std::vector<std::vector<std::string>>& references);
  /// Adds a sample of ids. ValueError without a reference.
  void update(std::span<const std::int64_t> hypothesis,
              const std::vector<std::vector<std::int64_t>>& references);

 private:
  template <class Token>
  void add(std::span<const Token> hypothesis, const std::vector<std::vector<Token>>& references);

  std::string name_;
  std::int64_t distance_ = 0, length_ = 0, wrong_ = 0, samples_ = 0;
};

/// BLEU of a corpus (Papineni et al. 2002), 0 to 100: the geometric mean of the precisions of n-grams
/// up to max_order, with the brevity penalty against the nearest reference length (the shorter of
/// equals), uniform weights and no smoothing: 0 while some order has no match.
class BLEU final : public Metric {
 public:
  /// Options, with their defaults.
  struct Options {
    int max_order = 4;      ///< 1 to 16
    bool lowercase = true;  ///< compare tokens lower-cased: Latin, Greek and Cyrillic letters
  };
  explicit BLEU() : BLEU(Options()) {}
  /// ValueError for a max_order out of range.
  explicit BLEU(Options options, std::string name = "bleu");
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] double result() const override;
  void reset() override;
  [[nodiscard]] bool higher_is_better() const noexcept override { return true; }
  [[nodiscard]] std::vector<double> state() const override;
  void load_state(std::span<const double> state) override;

  /// Adds a sample of tokens. ValueError without a reference.
  void update(std::span<const std::string> hypothesis,
              const std::vector<std::vector<std::string>>& references);

  /// Matches and n-grams of the hypotheses by order, from 1, and the lengths in tokens.
  [[nodiscard]] const std::vector<std::int64_t>& matches() const noexcept { return matches_; }
  /// Returns the number of n-grams of the hypotheses, by n.
  [[nodiscard]] const std::vector<std::int64_t>& totals() const noexcept { return totals_; }
  /// Returns the number of tokens of the hypotheses.
  [[nodiscard]] std::int64_t hypothesis_length() const noexcept { return hypothesis_length_; }
  /// Returns the number of tokens of the references.
  [[nodiscard]] std::int64_t reference_length() const noexcept { return reference_length_; }

 private:
  Options options_;
  std::string name_;
  std::vector<std::int64_t> matches_, totals_;
  std::int64_t hypothesis_length_ = 0, reference_length_ = 0;
};

/// Returns a text in lower case, letter by letter, in the Latin (to U+017F), modern Greek and Cyrillic
/// (to U+052F) alphabets. Other bytes, also malformed UTF-8, stay.
std::string to_lower(const std::string& text);

}  // namespace xtape
