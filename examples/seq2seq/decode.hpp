#pragma once
// Translates sentences.

#include "bundle.hpp"
#include "settings.hpp"

namespace seq2seq {

/// Returns the hypotheses of each text, the best first; an empty one for an empty text.
std::vector<std::vector<xp::Hypothesis>> decode(const xp::Seq2Seq<float>& model,
                                                const Language& language,
                                                const std::vector<std::string>& texts,
                                                const DecodeSettings& settings);

/// Scores of translations, on pairs with one or several targets.
struct Scores {
  double exact = 0;  // percent
  double wer = 0, per = 0, bleu = 0;
};

/// Translates all pairs and scores them. `outputs` gets the translations, if given.
Scores score(const xp::Seq2Seq<float>& model, const Language& language,
             const std::vector<struct Pair>& pairs, const DecodeSettings& settings,
             std::vector<std::string>* outputs = nullptr);

}  // namespace seq2seq
