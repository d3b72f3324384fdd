#include "models/stepper.hpp"

#include "array/shapes.hpp"
#include "models/options.hpp"
#include "products/kept.hpp"

#include <xtape/ops/indexing.hpp>

#include <set>

namespace xtape::detail {
namespace {

Array<std::int64_t> to_array(const Ids& ids) {
  Array<std::int64_t> a(Shape{ids.size()});
  std::copy(ids.begin(), ids.end(), a.data());
  return a;
}

template <class V> Array<V> rows_of(const Array<V>& x, const Ids& rows) {
  Shape shape = x.shape();
  shape[0] = rows.size();
  Array<V> out(shape);
  const std::size_t width = shape[1];
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(x.data() + static_cast<std::size_t>(rows[i]) * width, width,
                out.data() + i * width);
  }
  return out;
}

/// Common to both kinds of models: the cache or, without a cache, the tokens so far.
template <class T, class Model> class ModelStepper : public Stepper<T> {
 public:
  ModelStepper(const Model& model, bool use_cache, std::size_t positions)
      : model_(model), caches_(use_cache ? std::optional(model.caches(positions)) : std::nullopt) {}

  void reorder(const Ids& rows) override {
    if (caches_) {
      const Array<std::int64_t> parents = to_array(rows);
      for (DecoderCache<T>& cache : *caches_) cache.reorder(parents);
    } else {
      seen_ = rows_of(seen_, rows);
    }
  }

 protected:
  /// Returns all tokens so far, for a model that has no cache.
  const Array<std::int64_t>& with(const Array<std::int64_t>& tokens) {
    const std::size_t before = seen_.dimension() == 2 ? seen_.shape()[1] : 0;
    const std::size_t rows = tokens.shape()[0];
    const std::size_t count = tokens.shape()[1];
    Array<std::int64_t> all(Shape{rows, before + count});
    for (std::size_t r = 0; r < rows; ++r) {
      std::int64_t* to = all.data() + r * (before + count);
      if (before > 0) std::copy_n(seen_.data() + r * before, before, to);
      std::copy_n(tokens.data() + r * count, count, to + before);
    }
    seen_ = std::move(all);
    return seen_;
  }

  const Model& model_;
  std::optional<typename Model::Caches> caches_;
  products::KeptPanels<T> weights_;  // packed

 private:
  Array<std::int64_t> seen_ = Array<std::int64_t>(Shape{0});
};

template <class T> class Seq2SeqStepper final : public ModelStepper<T, Seq2Seq<T>> {
 public:
  Seq2SeqStepper(const Seq2Seq<T>& model, const Array<std::int64_t>& source,
                 const OptionalArray<bool>& mask, const DecodingOptions& options)
      : ModelStepper<T, Seq2Seq<T>>(model, options.use_cache, options.max_length),
        mask_(mask),
        layer_(options.attention
                   ? options.attention_layer.value_or(model.options().decoder_layers - 1)
                   : -1) {
    memory_ = model.encode(source, mask, false);
  }

  Var<T> step(const Array<std::int64_t>& tokens) override {
    const products::KeepsPanels<T> use(this->weights_);
    typename Seq2Seq<T>::WithScores now;
    if (layer_ < 0) {
      now.logits = this->caches_ ? this->model_.step(tokens, memory_, mask_, *this->caches_)
                                 : this->model_.next(this->with(tokens), memory_, mask_);
    } else {
      now = this->caches_ ? this->model_.step_with_scores(tokens, memory_, mask_, *this->caches_)
                          : this->model_.next_with_scores(this->with(tokens), memory_, mask_);
      scores_ = now.cross_scores[static_cast<std::size_t>(layer_)];
    }
    if (this->caches_) memory_ = Var<T>();  // its keys and values are in the caches
    return now.logits;
  }

  void reorder(const Ids& rows) override {
    ModelStepper<T, Seq2Seq<T>>::reorder(rows);
    if (mask_) mask_ = rows_of(*mask_, rows);
    if (memory_.has_value()) memory_ = take(memory_, to_array(rows));
  }

  [[nodiscard]] std::vector<double> attention(std::size_t row) const override {
    const Shape& shape = scores_.shape();  // (rows, heads, queries, keys)
    const std::size_t keys = shape[3];
    std::vector<double> mean(keys, 0.0);
    for (std::size_t h = 0; h < shape[1]; ++h) {
      const T* at = scores_.data() + (((row * shape[1] + h) * shape[2]) + shape[2] - 1) * keys;
      for (std::size_t j = 0; j < keys; ++j) mean[j] += static_cast<double>(at[j]);
    }
    for (double& m : mean) m /= static_cast<double>(shape[1]);
    return mean;
  }

 private:
  Var<T> memory_;
  OptionalArray<bool> mask_;
  int layer_;
  Var<T> scores_;
};

template <class T> class LanguageStepper final : public ModelStepper<T, LanguageModel<T>> {
 public:
  using ModelStepper<T, LanguageModel<T>>::ModelStepper;
  Var<T> step(const Array<std::int64_t>& tokens) override {
    const products::KeepsPanels<T> use(this->weights_);
    return this->caches_ ? this->model_.step(tokens, *this->caches_)
                         : this->model_.next(this->with(tokens));
  }
  [[nodiscard]] std::vector<double> attention(std::size_t /*row*/) const override { return {}; }
};

/// Returns the tokens that are never written. Throws ValueError for an option out of range.
template <class ModelOptions>
std::vector<std::int64_t> forbidden(const std::string& name, const DecodingOptions& o,
                                    int vocabulary, const ModelOptions& model) {
  const std::optional<std::int64_t> pad = model.pad_id, start = model.start_id, end = model.end_id;
  check_option(o.max_length > 0, name, "max_length", o.max_length, "at least 1");
  check_option(o.min_length <= o.max_length, name, "min_length", o.min_length, "at most ",
               o.max_length, ", the max_length");
  for (const std::int64_t id : o.suppress) check_id(name, "suppress", id, vocabulary);
  std::set<std::int64_t> never(o.suppress.begin(), o.suppress.end());
  for (const auto& id : {pad, start}) {
    if (id) never.insert(*id);
  }
  const bool no_end = end && o.min_length > 0 && never.count(*end) == 0;
  if (never.size() + (no_end ? 1 : 0) >= static_cast<std::size_t>(vocabulary)) {
    fail<ValueError>(name, "nothing may be written: suppress, pad and start are all ", vocabulary,
                     " tokens, expected fewer; leave some out of suppress");
  }
  return {never.begin(), never.end()};
}

void check_positions(const std::string& name, Positions positions, int held, std::size_t needed,
                     const char* what) {
  if (positions != Positions::learned || needed <= static_cast<std::size_t>(held)) return;
  fail<ValueError>(name, what, " needs more positions than there are: ", needed,
                   ", expected at most ", held,
                   ", the max_length of the model; decode with a smaller max_length");
}

}  // namespace

template <class T>
std::unique_ptr<Stepper<T>> stepper(const std::string& name, const Seq2Seq<T>& model,
                                    const Array<std::int64_t>& source,
                                    const OptionalArray<bool>& mask,
                                    const DecodingOptions& options) {
  const Seq2SeqOptions& o = model.options();
  auto never = forbidden(name, options, o.target_vocabulary, o);
  check_positions(name, o.positions, o.max_length, options.max_length, "max_length");
  if (options.attention_layer) {
    const int layer = *options.attention_layer;
    check_option(layer >= 0 && layer < o.decoder_layers, name, "attention_layer", layer, "0 to ",
                 o.decoder_layers - 1);
  }
  auto s = std::make_unique<Seq2SeqStepper<T>>(model, source, mask, options);
  s->name = name;
  s->never = std::move(never);
  s->end = o.end_id;
  const std::size_t rows = source.shape()[0];
  const std::size_t width = source.shape()[1];
  s->prompts.assign(rows, Ids{o.start_id});
  s->columns.assign(rows, width);
  for (std::size_t r = 0; mask && r < rows; ++r) {
    while (s->columns[r] > 0 && !(*mask)(r, s->columns[r] - 1)) --s->columns[r];
  }
  return s;
}

template <class T>
std::unique_ptr<Stepper<T>> stepper(const std::string& name, const LanguageModel<T>& model,
                                    const std::vector<Ids>& prompts,
                                    const DecodingOptions& options) {
  const LanguageModelOptions& o = model.options();
  auto never = forbidden(name, options, o.vocabulary, o);
  if (options.attention || options.attention_layer) {
    fail<ValueError>(name,
                     "no attention to return: attention is asked for, expected not; a language "
                     "model has no source");
  }
  std::size_t longest = 0;
  for (std::size_t r = 0; r < prompts.size(); ++r) {
    if (prompts[r].empty()) {
      fail<ValueError>(name, "empty prompt: prompt ", r,
                       " has no tokens, expected at least one; begin with a start token, or with "
                       "what texts begin with");
    }
    for (const std::int64_t id : prompts[r])
      check_id(name, "a token of a prompt", id, o.vocabulary);
    longest = std::max(longest, prompts[r].size());
  }
  const std::size_t positions = plus(longest, options.max_length);  // the last one is not read
  check_positions(name, o.positions, o.max_length, positions - 1,
                  "the longest prompt and max_length");
  auto s = std::make_unique<LanguageStepper<T>>(model, options.use_cache, positions);
  s->name = name;
  s->never = std::move(never);
  s->end = o.end_id;
  s->prompts = prompts;
  s->columns.assign(prompts.size(), 0);
  return s;
}

#define XTAPE_INSTANTIATE(T)                                                                \
  template std::unique_ptr<Stepper<T>> stepper(                                             \
      const std::string&, const Seq2Seq<T>&, const Array<std::int64_t>&,                    \
      const OptionalArray<bool>&, const DecodingOptions&);                                  \
  template std::unique_ptr<Stepper<T>> stepper(const std::string&, const LanguageModel<T>&, \
                                               const std::vector<Ids>&, const DecodingOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::detail
