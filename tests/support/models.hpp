#pragma once
// Shared by the tests of whole models.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>
#include <set>
#include <stdexcept>

namespace xtape::test {

using IdArray = Array<std::int64_t>;
using IdList = std::vector<std::int64_t>;

/// Returns random tokens low ... high - 1.
inline IdArray random_ids(const Shape& shape, std::uint64_t seed, std::int64_t low,
                          std::int64_t high) {
  RandomStream stream(seed, 78);
  IdArray ids(shape);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids.data()[i] =
        low + static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(high - low)));
  }
  return ids;
}

/// Returns columns begin ... begin + count - 1 of (rows, columns).
inline IdArray columns(const IdArray& ids, std::size_t begin, std::size_t count) {
  IdArray part(Shape{ids.shape()[0], count});
  for (std::size_t r = 0; r < ids.shape()[0]; ++r) {
    for (std::size_t i = 0; i < count; ++i) part(r, i) = ids(r, begin + i);
  }
  return part;
}

/// Returns options of a model of one layer that learns small tasks in seconds.
inline Seq2SeqOptions tiny_seq2seq() {
  return {.source_vocabulary = 12,
          .target_vocabulary = 12,
          .hidden_dim = 32,
          .num_heads = 4,
          .intermediate_dim = 64,
          .encoder_layers = 1,
          .decoder_layers = 1,
          .max_length = 8};
}

/// Returns options of a small model. Its weights are drawn wide, so that logits differ.
template <class Options> Options wide_weights() {
  Options o;
  o.hidden_dim = 8;
  o.num_heads = 2;
  o.intermediate_dim = 10;
  o.max_length = 24;
  o.embedding_initializer = initializers::RandomNormal{.stddev = 1};
  o.kernel_initializer = initializers::RandomNormal{.stddev = 0.5};
  o.bias_initializer = initializers::RandomNormal{.stddev = 0.5};
  return o;
}

/// Returns small models of every kind, for properties that all models share.
inline std::vector<Seq2SeqOptions> all_seq2seqs() {
  auto plain = wide_weights<Seq2SeqOptions>();
  plain.source_vocabulary = plain.target_vocabulary = 9;
  plain.encoder_layers = plain.decoder_layers = 2;
  std::vector<Seq2SeqOptions> all{plain};
  Seq2SeqOptions o = plain;
  o.normalize_first = false;
  o.positions = Positions::learned;
  o.activation = "gelu";
  o.tying = Tying::all;
  o.scale_embeddings = false;
  o.output_bias = true;
  all.push_back(o);
  o = plain;
  o.normalization = Normalization::rms;
  o.positions = Positions::rotary;
  o.activation = "swish";
  o.tying = Tying::output;
  o.use_bias = false;
  o.num_key_value_heads = 1;
  all.push_back(o);
  o = plain;
  o.positions = Positions::none;
  o.activation = "glu";
  o.final_norms = false;
  o.encoder_layers = 1;
  o.decoder_layers = 3;
  all.push_back(o);
  return all;
}

inline std::vector<LanguageModelOptions> all_language_models() {
  auto plain = wide_weights<LanguageModelOptions>();
  plain.vocabulary = 9;
  plain.layers = 2;
  plain.end_id = 3;
  std::vector<LanguageModelOptions> all{plain};
  LanguageModelOptions o = plain;
  o.normalize_first = false;
  o.positions = Positions::sine;
  o.activation = "relu";
  o.tying = Tying::none;
  o.scale_embeddings = true;
  o.pad_id = 0;
  all.push_back(o);
  o = plain;
  o.normalization = Normalization::rms;
  o.positions = Positions::rotary;
  o.use_bias = false;
  o.num_key_value_heads = 1;
  o.end_id.reset();
  all.push_back(o);
  return all;
}

/// A change that makes good options bad, and a part of the error's text.
template <class Options> struct BadOption {
  std::function<void(Options&)> change;
  const char* part;
};

/// Checks that Model refuses each change of `good`, in the name of `path`, and reserves nothing.
template <class Model, class Options>
void check_refused(const Options& good, const std::string& scope, const std::string& path,
                   const std::vector<BadOption<Options>>& cases) {
  for (const BadOption<Options>& c : cases) {
    Options o = good;
    c.change(o);
    Params<double> params;
    const Scope<double> at = scope.empty() ? params.scope() : params.scope() / scope;
    const std::string error = error_of<ValueError>([&] { static_cast<void>(Model(at, o)); });
    INFO(error << ", expected: " << c.part);
    CHECK(contains(error, c.part));
    CHECK(contains(error, path + ": "));
    CHECK(params.paths().empty());
  }
}

/// Checks the gradients of loss(model, node) under dropout, where ids go onto the tape of `node`.
template <class Model, class Loss>
void check_model_gradients(typename Model::Options options, const Loss& loss) {
  options.activation = "gelu";  // differences of relu fail at its kink
  options.dropout = 0.2;
  Params<double> params({.seed = 1});
  const Model model(params.scope(), options);
  model.build();
  const GradcheckReport report = check_gradients(
      [&](const std::vector<Var<double>>& x) {
        return loss(model, x[0].detach().node_ref()) + x[0];
      },
      {array<double>({}, {0.5})}, {.training = true}, &params);
  INFO(report.message);
  CHECK(report.passed);
}

/// Returns whether a change of ids (batch, length) at one position keeps every bit of the logits (batch,
/// length, vocabulary) before it, and only there.
template <class Logits>
bool causal(const Logits& logits, const IdArray& ids, std::int64_t vocabulary) {
  const Array<double> before = logits(ids);
  const std::size_t width = before.shape()[2];
  for (std::size_t t = 0; t < ids.shape()[1]; ++t) {
    IdArray changed = ids;
    for (std::size_t r = 0; r < ids.shape()[0]; ++r)
      changed(r, t) = (changed(r, t) + 1) % vocabulary;
    const Array<double> after = logits(changed);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const double* a = before.data() + i * width;
      const bool same = std::equal(a, a + width, after.data() + i * width);
      if (same != (i % ids.shape()[1] < t)) return false;
    }
  }
  return true;
}

/// Sources of different lengths, padded.
struct Sources {
  IdArray ids;
  Array<bool> mask;
};
inline Sources sources_of(const std::vector<std::size_t>& lengths, std::size_t width,
                          std::uint64_t seed) {
  Sources s{random_ids({lengths.size(), width}, seed, 4, 9),
            Array<bool>(Shape{lengths.size(), width}, false)};
  for (std::size_t r = 0; r < lengths.size(); ++r) {
    for (std::size_t i = 0; i < width; ++i) {
      s.mask(r, i) = i < lengths[r];
      if (!s.mask(r, i)) s.ids(r, i) = 0;
    }
  }
  return s;
}

/// Returns row r of a padded batch, without its padding.
inline IdArray source_alone(const Sources& s, std::size_t r) {
  std::size_t length = 0;
  while (length < s.ids.shape()[1] && s.mask(r, length)) ++length;
  IdArray alone(Shape{1, length});
  for (std::size_t i = 0; i < length; ++i) alone(0, i) = s.ids(r, i);
  return alone;
}

/// Returns options and a seed of a model whose greedy texts for these sources have at least three
/// lengths, so that rows finish at different times.
inline std::pair<Seq2SeqOptions, std::uint64_t> uneven(const Sources& s, std::size_t max_length) {
  for (std::uint64_t seed = 1;; ++seed) {
    for (const Seq2SeqOptions& options : all_seq2seqs()) {
      Params<double> params({.seed = seed});
      const Seq2Seq<double> model(params.scope(), options);
      std::set<std::size_t> lengths;
      for (const Hypothesis& h : greedy(model, s.ids, s.mask, {.max_length = max_length})) {
        lengths.insert(h.tokens.size());
      }
      if (lengths.size() >= 3) return {options, seed};
    }
    if (seed == 100) throw std::runtime_error("no model writes texts of three lengths");
  }
}

}  // namespace xtape::test
