#include "ensemble.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace seq2seq {

namespace {

/// Returns log(softmax) of n logits.
std::vector<double> log_softmax(const float* logits, std::size_t n) {
  const double most = *std::max_element(logits, logits + n);
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]) - most);
  const double log_sum = most + std::log(sum);
  std::vector<double> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<double>(logits[i]) - log_sum;
  return out;
}

/// The search for one source.
class Search {
 public:
  Search(const Models& models, const std::vector<std::int64_t>& source, const xp::BeamOptions& beam,
         const xp::DecodingOptions& options)
      : models_(models), beam_(beam), options_(options) {
    xp::Array<std::int64_t> ids(xp::Shape{1, source.size()});
    std::copy(source.begin(), source.end(), ids.data());
    for (const auto* model : models) {
      memories_.push_back(model->encode(ids, {}, false));
      caches_.push_back(model->caches(options.max_length));
    }
    never_ = options.suppress;
    const xp::Seq2SeqOptions& o = models[0]->options();
    never_.push_back(o.pad_id);
    never_.push_back(o.start_id);
  }

  std::vector<xp::Hypothesis> run() {
    std::vector<xp::Hypothesis> rows(1);
    for (std::size_t length = 1; !rows.empty(); ++length) {
      compute(rows);
      std::vector<xp::Hypothesis> open;
      std::vector<std::int64_t> parents;
      for (const Choice& c : best(rows)) {
        xp::Hypothesis next = rows[c.row];
        next.log_probability = c.log_probability;
        next.ended = c.token == models_[0]->options().end_id;
        if (!next.ended) {
          next.tokens.push_back(c.token);
          if (options_.attention) append(next.attention, looked_[c.row]);
        }
        if (next.ended || length == options_.max_length) {
          next.score = next.log_probability / xp::length_penalty(length, beam_.length_penalty);
          finished_.push_back(std::move(next));
        } else {
          open.push_back(std::move(next));
          parents.push_back(static_cast<std::int64_t>(c.row));
        }
      }
      rows = std::move(open);
      if (rows.empty() || decided(rows, length)) break;
      reorder(parents);
    }
    sort();
    return std::move(finished_);
  }

 private:
  struct Choice {
    std::size_t row = 0;
    std::int64_t token = 0;
    double log_probability = 0;
  };

  /// Computes the mean probabilities of the next tokens, and where the models look.
  void compute(const std::vector<xp::Hypothesis>& rows) {
    xp::Array<std::int64_t> tokens(xp::Shape{rows.size(), 1});
    for (std::size_t r = 0; r < rows.size(); ++r) {
      tokens.data()[r] =
          rows[r].tokens.empty() ? models_[0]->options().start_id : rows[r].tokens.back();
    }
    const auto count = static_cast<double>(models_.size());
    const auto n = static_cast<std::size_t>(models_[0]->options().target_vocabulary);
    next_.assign(rows.size(), std::vector<double>(n, -std::numeric_limits<double>::infinity()));
    looked_.assign(rows.size(), {});
    for (std::size_t m = 0; m < models_.size(); ++m) {
      xp::Seq2Seq<float>::WithScores now;
      if (options_.attention) {
        now = models_[m]->step_with_scores(tokens, memories_[m], {}, caches_[m]);
      } else {
        now.logits = models_[m]->step(tokens, memories_[m], {}, caches_[m]);
      }
      memories_[m] = xp::Var<float>();  // its keys and values are in the caches
      for (std::size_t r = 0; r < rows.size(); ++r) {
        const float* const logits = now.logits.data() + r * n;
        if (!std::all_of(logits, logits + n, [](float x) { return std::isfinite(x); })) {
          throw xp::NonFiniteError(
              "ensemble: model " + std::to_string(m + 1) +
              " has logits that are not finite, expected numbers; leave this model out");
        }
        const auto logs = log_softmax(logits, n);
        for (std::size_t i = 0; i < n; ++i) next_[r][i] = add(next_[r][i], logs[i]);
        if (options_.attention) look(now.cross_scores.back(), r);
      }
    }
    for (auto& row : next_) {
      for (double& value : row) value -= std::log(count);
      for (const std::int64_t id : never_) {
        row[static_cast<std::size_t>(id)] = -std::numeric_limits<double>::infinity();
      }
    }
  }

  /// Returns log(exp(a) + exp(b)).
  static double add(double a, double b) {
    if (a < b) std::swap(a, b);
    return std::isinf(a) ? a : a + std::log1p(std::exp(b - a));
  }

  /// Adds the mean attention of a model's heads for a row.
  void look(const xp::Var<float>& scores, std::size_t row) {
    const std::size_t heads = scores.shape()[1], keys = scores.shape()[3];
    looked_[row].resize(keys);
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t k = 0; k < keys; ++k) {
        looked_[row][k] += static_cast<double>(scores.data()[(row * heads + h) * keys + k]) /
                           static_cast<double>(heads * models_.size());
      }
    }
  }

  static void append(xp::Array<double>& rows, const std::vector<double>& row) {
    const std::size_t before = rows.dimension() == 2 ? rows.shape()[0] : 0;
    xp::Array<double> all(xp::Shape{before + 1, row.size()});
    std::copy_n(rows.data(), before * row.size(), all.data());
    std::copy(row.begin(), row.end(), all.data() + before * row.size());
    rows = std::move(all);
  }

  /// Returns the most probable continuations, the best first, of equal ones the first.
  [[nodiscard]] std::vector<Choice> best(const std::vector<xp::Hypothesis>& rows) const {
    std::vector<Choice> all;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t i = 0; i < next_[r].size(); ++i) {
        if (std::isinf(next_[r][i])) continue;
        all.push_back({r, static_cast<std::int64_t>(i), rows[r].log_probability + next_[r][i]});
      }
    }
    const auto count = std::min(beam_.width, all.size());
    const auto more = [](const Choice& a, const Choice& b) {
      if (a.log_probability != b.log_probability) return a.log_probability > b.log_probability;
      return a.row != b.row ? a.row < b.row : a.token < b.token;
    };
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                      more);
    all.resize(count);
    return all;
  }

  /// Whether no open hypothesis can overtake the last one to be returned: probabilities only fall.
  [[nodiscard]] bool decided(const std::vector<xp::Hypothesis>& rows, std::size_t length) {
    if (finished_.size() < beam_.n_best) return false;
    sort();
    double most = -std::numeric_limits<double>::infinity();
    for (const auto& row : rows) most = std::max(most, row.log_probability);
    const std::size_t longest = beam_.length_penalty > 0 ? options_.max_length : length + 1;
    return most / xp::length_penalty(longest, beam_.length_penalty) <=
           finished_[beam_.n_best - 1].score;
  }

  void sort() {
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    if (finished_.size() > beam_.n_best) finished_.resize(beam_.n_best);
  }

  void reorder(const std::vector<std::int64_t>& parents) {
    xp::Array<std::int64_t> rows(xp::Shape{parents.size()});
    std::copy(parents.begin(), parents.end(), rows.data());
    for (auto& caches : caches_) {
      for (auto& cache : caches) cache.reorder(rows);
    }
  }

  const Models& models_;
  xp::BeamOptions beam_;
  xp::DecodingOptions options_;
  std::vector<xp::Var<float>> memories_;
  std::vector<xp::Seq2Seq<float>::Caches> caches_;
  std::vector<std::int64_t> never_;
  std::vector<std::vector<double>> next_, looked_;
  std::vector<xp::Hypothesis> finished_;
};

}  // namespace

std::vector<xp::Hypothesis> search_together(const Models& models,
                                            const std::vector<std::int64_t>& source,
                                            const xp::BeamOptions& beam,
                                            const xp::DecodingOptions& options) {
  return Search(models, source, beam, options).run();
}

}  // namespace seq2seq
