#pragma once
// What the tests of whole models share.

#include "support/arrays.hpp"

#include <set>
#include <stdexcept>

namespace xtape::test {

using IdArray = Array<std::int64_t>;
using IdList = std::vector<std::int64_t>;

/// Tokens low ... high - 1, from a seed.
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

/// Small models of every kind, for what must hold for all of them. Weights are drawn wide, so that
/// logits differ.
inline std::vector<Seq2SeqOptions> all_seq2seqs() {
  const Seq2SeqOptions plain{.source_vocabulary = 9,
                             .target_vocabulary = 9,
                             .hidden_dim = 8,
                             .num_heads = 2,
                             .intermediate_dim = 10,
                             .encoder_layers = 2,
                             .decoder_layers = 2,
                             .max_length = 24,
                             .embedding_initializer = initializers::RandomNormal{.stddev = 1},
                             .kernel_initializer = initializers::RandomNormal{.stddev = 0.5},
                             .bias_initializer = initializers::RandomNormal{.stddev = 0.5}};
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
  const LanguageModelOptions plain{.vocabulary = 9,
                                   .hidden_dim = 8,
                                   .num_heads = 2,
                                   .intermediate_dim = 10,
                                   .layers = 2,
                                   .max_length = 24,
                                   .embedding_initializer = initializers::RandomNormal{.stddev = 1},
                                   .kernel_initializer = initializers::RandomNormal{.stddev = 0.5},
                                   .bias_initializer = initializers::RandomNormal{.stddev = 0.5},
                                   .end_id = 3};
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

/// Whether logits (batch, length, vocabulary) of ids (batch, length), changed at one position, stay the
/// same bit for bit before it, and only there.
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

/// Row r of a padded batch by itself, without its padding.
inline IdArray source_alone(const Sources& s, std::size_t r) {
  std::size_t length = 0;
  while (length < s.ids.shape()[1] && s.mask(r, length)) ++length;
  IdArray alone(Shape{1, length});
  for (std::size_t i = 0; i < length; ++i) alone(0, i) = s.ids(r, i);
  return alone;
}

/// Options and a seed of a model whose greedy texts for these sources have at least three lengths: what
/// finishes, finishes at different times.
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
