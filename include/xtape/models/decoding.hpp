#pragma once
/// \file
/// Decoding. greedy() takes the most probable token at each position,
/// beam_search() keeps several hypotheses, sample() draws. For Seq2Seq the sources are a padded batch
/// (batch, S) with a mask that says which tokens exist (by default all); for LanguageModel they are
/// prompts, each of at least one token, to go on with.
///
///     auto best = greedy(model, source, mask, {.max_length = 80});
///     auto lists = beam_search(model, source, mask, {.width = 5}, {.max_length = 80});
///
/// Nothing is recorded and dropout is off. What is written for one source does not depend on the
/// others of the batch, and a finished source takes no more work. The model's pad and start
/// tokens are never written. All throw ValueError or ShapeError for options, tokens or masks out of
/// range before any work, and NonFiniteError where a model's logits are not finite.

#include <xtape/models/language_model.hpp>
#include <xtape/models/seq2seq.hpp>

#include <functional>

namespace xtape {

/// A text that a model wrote.
struct Hypothesis {
  std::vector<std::int64_t> tokens;  ///< without start, prompt and end
  double log_probability = 0;        ///< of the tokens and the end together, by the model
  double score = 0;    ///< log_probability; of a beam search divided by the length penalty
  bool ended = false;  ///< the end was written; otherwise the text was cut
  /// Attention of the decoder, (tokens, source tokens), as means over the heads. Only on request.
  Array<double> attention = {};
};

/// A token just written, for DecodingOptions::on_token.
struct WrittenToken {
  std::size_t row = 0;         ///< of the batch
  std::size_t rank = 0;        ///< of the hypothesis among those of its row, the best first
  std::size_t position = 0;    ///< in the text written, from 0 on
  std::int64_t token = 0;      ///< its id
  double log_probability = 0;  ///< of this token
  std::size_t computed = 0;    ///< hypotheses of all rows that this step was computed for
};

/// Options of all ways to decode.
struct DecodingOptions {
  std::size_t max_length = 128;             ///< tokens written at most, the end included; positive
  std::size_t min_length = 0;               ///< tokens written before the end at least
  std::vector<std::int64_t> suppress = {};  ///< tokens never to be written, besides pad and start
  bool attention = false;                   ///< return Hypothesis::attention; Seq2Seq only
  std::optional<int> attention_layer = {};  ///< of the decoder, from 0 on; default: the last
  /// Called for every token written; false stops the text of that row (of a beam search, all its
  /// hypotheses), as if max_length were reached. An exception passes through.
  std::function<bool(const WrittenToken&)> on_token = {};
  bool use_cache = true;  ///< false: all positions are computed again for each token
};

/// Options of beam_search.
struct BeamOptions {
  std::size_t width = 5;   ///< hypotheses kept of each source; positive
  std::size_t n_best = 1;  ///< hypotheses returned of each source; at most width
  /// Hypotheses are ranked by log_probability / length_penalty(length, this): 0 ranks by probability
  /// alone, which favours short ones. Finite.
  double length_penalty = 0.6;
  /// Stop as soon as n_best hypotheses have ended, instead of when nothing can overtake them any more.
  bool early_stopping = false;
};

/// Options of sample.
struct SamplingOptions {
  double temperature = 1.0;  ///< logits are divided by this; positive
  std::size_t top_k = 0;     ///< draw among the most probable only; 0: among all
  /// Draw among the most probable whose probabilities together reach this; in (0, 1].
  double top_p = 1.0;
  std::uint64_t seed = 0;  ///< the same seed draws the same numbers
  /// Row r draws from the stream first_stream + r of the seed: rows of several batches with numbers of
  /// their own get the same draws in any batch.
  std::uint64_t first_stream = 0;
  std::vector<std::uint64_t> streams = {};  ///< of each row, where they are not consecutive
};

/// ((5 + length) / 6) ^ alpha (Wu et al. 2016). The length counts the end.
double length_penalty(std::size_t length, double alpha);

/// Writes the most probable token at each position, the first of equal ones. Returns one text per row.
template <class T>
std::vector<Hypothesis> greedy(const Seq2Seq<T>& model, const ArrayArg<std::int64_t>& source,
                               const OptionalArray<bool>& mask = {},
                               const DecodingOptions& options = {});
/// Continues prompts, which may have different lengths.
template <class T>
std::vector<Hypothesis> greedy(const LanguageModel<T>& model,
                               const std::vector<std::vector<std::int64_t>>& prompts,
                               const DecodingOptions& options = {});

/// Keeps, at each position, the `width` most probable continuations of the hypotheses kept before. Ended
/// hypotheses leave the beam. The search stops when no other can overtake the best ended ones. Returns
/// n_best hypotheses of each row, the best first, or fewer if few tokens are allowed. A width of 1 is greedy().
template <class T>
std::vector<std::vector<Hypothesis>> beam_search(const Seq2Seq<T>& model,
                                                 const ArrayArg<std::int64_t>& source,
                                                 const OptionalArray<bool>& mask = {},
                                                 const BeamOptions& beam = {},
                                                 const DecodingOptions& options = {});
/// Continues prompts, which may have different lengths.
template <class T>
std::vector<std::vector<Hypothesis>> beam_search(
    const LanguageModel<T>& model, const std::vector<std::vector<std::int64_t>>& prompts,
    const BeamOptions& beam = {}, const DecodingOptions& options = {});

/// Draws each token from the model's probabilities: those of logits / temperature, of the top_k most
/// probable, and of these the most probable that reach top_p. The draws are a function of seed and
/// stream.
template <class T>
std::vector<Hypothesis> sample(const Seq2Seq<T>& model, const ArrayArg<std::int64_t>& source,
                               const OptionalArray<bool>& mask = {},
                               const SamplingOptions& sampling = {},
                               const DecodingOptions& options = {});
/// Continues prompts, which may have different lengths.
template <class T>
std::vector<Hypothesis> sample(const LanguageModel<T>& model,
                               const std::vector<std::vector<std::int64_t>>& prompts,
                               const SamplingOptions& sampling = {},
                               const DecodingOptions& options = {});

}  // namespace xtape
