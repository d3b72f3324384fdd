#pragma once
// Translates sentences.

#include "bundle.hpp"
#include "ensemble.hpp"
#include "settings.hpp"
#include "text_scores.hpp"

#include <functional>

namespace seq2seq {

/// A sentence to translate. The samples of a line depend on its number, the seed and their own number alone.
struct Source {
  std::vector<std::int64_t> ids;
  std::uint64_t line = 0;  // from 0 on
};

/// Takes the index of a source that cannot be translated, and the reason.
using Failed = std::function<void(std::size_t, const std::string&)>;

/// Says on standard error how many of the tokens read are unknown, if any are.
void tell_unknown(std::size_t unknown, std::size_t tokens);

/// Throws ValueError for options that do not go together.
void check_decoding(const DecodeSettings& settings, std::size_t models = 1);

/// Reads further models for an ensemble with the first. ValueError for one that has other tokens.
std::vector<Bundle> load_others(xp::Team* team, const std::vector<std::string>& folders,
                                const Bundle& first);
/// Returns all models of an ensemble.
Models models_of(const Bundle& first, const std::vector<Bundle>& others);
/// Returns the longest source and translation that all models take, in tokens.
std::size_t longest(const Models& models);

/// Returns the hypotheses of each source, the best first; none for an empty one. With `failed` there are none for a
/// source that cannot be translated, either. The ranks of a team share the batches, and all get all hypotheses.
std::vector<std::vector<xp::Hypothesis>> decode(const Models& models, const Language& language,
                                                const std::vector<Source>& sources,
                                                const DecodeSettings& settings,
                                                const Failed& failed = {});

/// Scores of translations, on pairs with one or several targets.
struct Scores {
  double exact = 0;                   // percent
  double wer = 0, per = 0, bleu = 0;  // of tokens
  TextScores text;                    // of plain text
};

/// Translates all pairs and scores them. Nothing is the translation of a source that is too long, unless settings.crop
/// cuts it. `outputs` gets the translations.
Scores score(const Models& models, const Language& language, const std::vector<struct Pair>& pairs,
             const DecodeSettings& settings, std::vector<std::string>& outputs);

}  // namespace seq2seq
