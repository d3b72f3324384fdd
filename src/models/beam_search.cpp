#include <xtape/models/decoding.hpp>

#include "base/check.hpp"
#include "models/choice.hpp"

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::Choice;
using detail::Ids;
using detail::StepLogits;
using detail::Stepper;

double length_penalty(std::size_t length, double alpha) {
  return std::pow((5.0 + static_cast<double>(length)) / 6.0, alpha);
}

namespace {

constexpr std::size_t kNone = ~std::size_t{0};

/// A token with the token before it. Hypotheses share their beginnings.
struct Node {
  std::size_t before;  // kNone at the beginning
  std::int64_t token;
  std::vector<double> attention;
};

/// An unfinished hypothesis.
struct Beam {
  std::size_t last = kNone;  // its last token
  double log_probability = 0;
};

/// A finished hypothesis.
struct Done {
  Beam beam;
  bool ended = false;
  double score = 0;
};

/// A continuation of beam `from` of a row.
struct Candidate {
  std::size_t from;
  Choice choice;
  double log_probability;
};

/// One row of the batch: its unfinished hypotheses, the best first, and its finished ones.
struct Row {
  std::size_t row = 0;
  std::vector<Beam> beams = {};
  std::vector<Done> done = {};
  bool stopped = false;
};

template <class T> class Search {
 public:
  Search(Stepper<T>& model, const BeamOptions& beam, const DecodingOptions& options)
      : model_(model), beam_(beam), options_(options), out_(model.prompts.size()) {}

  std::vector<std::vector<Hypothesis>> run() {
    const std::size_t batch = out_.size();
    if (batch == 0) return std::move(out_);
    for (std::size_t r = 0; r < batch; ++r) rows_.push_back({.row = r, .beams = {Beam{}}});
    Array<std::int64_t> next = model_.first_tokens();
    read_ = next.shape()[1];
    while (true) {
      const std::size_t computed = next.shape()[0];
      StepLogits<T> logits(model_.name, model_.step(next), model_.never);
      Ids parents, tokens;
      std::size_t first = 0;  // of this row's hypotheses among all
      std::vector<Row> going;
      for (Row& row : rows_) {
        const std::size_t count = row.beams.size();
        advance(row, logits, first, computed, parents, tokens);
        first += count;
        if (row.beams.empty()) {
          finish(row);
        } else {
          going.push_back(std::move(row));
        }
      }
      rows_ = std::move(going);
      if (rows_.empty()) return std::move(out_);
      bool same = parents.size() == computed;
      for (std::size_t i = 0; same && i < computed; ++i) {
        same = parents[i] == static_cast<std::int64_t>(i);
      }
      if (!same) model_.reorder(parents);
      next = Array<std::int64_t>(Shape{tokens.size(), 1});
      std::copy(tokens.begin(), tokens.end(), next.data());
      ++read_;
    }
  }

 private:
  /// Adds a token to each hypothesis of a row; they begin at `first` in the batch.
  void advance(Row& row, StepLogits<T>& logits, std::size_t first, std::size_t computed,
               Ids& parents, Ids& tokens) {
    const Ids& prompt = model_.prompts[row.row];
    if (read_ < prompt.size()) {
      parents.push_back(static_cast<std::int64_t>(first));
      tokens.push_back(prompt[read_]);
      return;
    }
    const std::size_t position = read_ - prompt.size();
    candidates_.clear();
    for (std::size_t b = 0; b < row.beams.size(); ++b) {
      if (model_.end && position < options_.min_length) logits.forbid(first + b, *model_.end);
      logits.best(first + b, beam_.width, choices_);
      for (const Choice& c : choices_) {
        candidates_.push_back({b, c, row.beams[b].log_probability + c.log_probability});
      }
    }
    const std::size_t kept = std::min(beam_.width, candidates_.size());
    // Equal candidates stay in the order of their hypotheses, and of their tokens.
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [](const Candidate& a, const Candidate& b) {
                       return a.log_probability > b.log_probability;
                     });
    std::vector<Beam> beams;
    Ids from, written;
    for (std::size_t k = 0; k < kept; ++k) {
      const Candidate& c = candidates_[k];
      const bool ends = model_.end && c.choice.token == *model_.end;
      Beam beam{row.beams[c.from].last, c.log_probability};
      if (!ends) {
        nodes_.push_back(
            {beam.last, c.choice.token,
             options_.attention ? looked(row.row, first + c.from) : std::vector<double>()});
        beam.last = nodes_.size() - 1;
      }
      if (options_.on_token && !options_.on_token({row.row, k, position, c.choice.token,
                                                   c.choice.log_probability, computed})) {
        row.stopped = true;
      }
      if (ends) {
        add_done(row, beam, position + 1, true);
      } else {
        beams.push_back(beam);
        from.push_back(static_cast<std::int64_t>(first + c.from));
        written.push_back(c.choice.token);
      }
    }
    row.beams = std::move(beams);
    if (row.stopped || position + 1 == options_.max_length) {
      for (const Beam& beam : row.beams) add_done(row, beam, position + 1, false);
      row.beams.clear();
    } else if (decided(row, position + 1)) {
      row.beams.clear();
    } else {
      parents.insert(parents.end(), from.begin(), from.end());
      tokens.insert(tokens.end(), written.begin(), written.end());
    }
  }

  [[nodiscard]] std::vector<double> looked(std::size_t row, std::size_t hypothesis) const {
    std::vector<double> mean = model_.attention(hypothesis);
    mean.resize(model_.columns[row]);
    return mean;
  }

  void add_done(Row& row, const Beam& beam, std::size_t length, bool ended) const {
    const double score = beam.log_probability / length_penalty(length, beam_.length_penalty);
    const Done done{beam, ended, score};
    const auto at = std::find_if(row.done.begin(), row.done.end(),
                                 [&](const Done& d) { return score > d.score; });
    row.done.insert(at, done);
    if (row.done.size() > beam_.n_best) row.done.pop_back();
  }

  /// Returns whether no unfinished hypothesis of `length` tokens can come among the best.
  [[nodiscard]] bool decided(const Row& row, std::size_t length) const {
    if (row.done.size() < beam_.n_best) return false;
    if (beam_.early_stopping || row.beams.empty()) return true;
    // Probabilities only fall; the penalty is monotonic in the length.
    const double alpha = beam_.length_penalty;
    const double penalty =
        std::max(length_penalty(length + 1, alpha), length_penalty(options_.max_length, alpha));
    return row.beams.front().log_probability / penalty <= row.done.back().score;
  }

  void finish(Row& row) {
    std::vector<Hypothesis>& all = out_[row.row];
    for (const Done& done : row.done) {
      Hypothesis h;
      h.log_probability = done.beam.log_probability;
      h.score = done.score;
      h.ended = done.ended;
      std::vector<std::size_t> path;
      for (std::size_t n = done.beam.last; n != kNone; n = nodes_[n].before) path.push_back(n);
      std::reverse(path.begin(), path.end());
      for (const std::size_t n : path) h.tokens.push_back(nodes_[n].token);
      if (options_.attention) {
        h.attention = Array<double>(Shape{path.size(), model_.columns[row.row]});
        double* to = h.attention.data();
        for (const std::size_t n : path) {
          to = std::copy(nodes_[n].attention.begin(), nodes_[n].attention.end(), to);
        }
      }
      all.push_back(std::move(h));
    }
  }

  Stepper<T>& model_;
  const BeamOptions& beam_;
  const DecodingOptions& options_;
  std::vector<std::vector<Hypothesis>> out_;
  std::vector<Row> rows_;
  std::vector<Node> nodes_;
  std::size_t read_ = 0;  // tokens that every hypothesis has, its prompt included
  std::vector<Choice> choices_;
  std::vector<Candidate> candidates_;
};

void check_beam(const BeamOptions& o) {
  using detail::check_option;
  check_option(o.width > 0, "beam_search", "width", o.width, "at least 1");
  check_option(o.n_best > 0 && o.n_best <= o.width, "beam_search", "n_best", o.n_best, "1 to ",
               o.width, ", the width of the beam");
  detail::check_number("beam_search", "length_penalty", o.length_penalty);
}

}  // namespace

template <class T>
std::vector<std::vector<Hypothesis>> beam_search(const Seq2Seq<T>& model,
                                                 const ArrayArg<std::int64_t>& source,
                                                 const OptionalArray<bool>& mask,
                                                 const BeamOptions& beam,
                                                 const DecodingOptions& options) {
  check_beam(beam);
  const auto stepper = detail::stepper("beam_search", model, source, mask, options);
  return Search<T>(*stepper, beam, options).run();
}

template <class T>
std::vector<std::vector<Hypothesis>> beam_search(const LanguageModel<T>& model,
                                                 const std::vector<Ids>& prompts,
                                                 const BeamOptions& beam,
                                                 const DecodingOptions& options) {
  check_beam(beam);
  const auto stepper = detail::stepper("beam_search", model, prompts, options);
  return Search<T>(*stepper, beam, options).run();
}

#define XTAPE_INSTANTIATE(T)                                                        \
  template std::vector<std::vector<Hypothesis>> beam_search(                        \
      const Seq2Seq<T>&, const ArrayArg<std::int64_t>&, const OptionalArray<bool>&, \
      const BeamOptions&, const DecodingOptions&);                                  \
  template std::vector<std::vector<Hypothesis>> beam_search(                        \
      const LanguageModel<T>&, const std::vector<Ids>&, const BeamOptions&,         \
      const DecodingOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
