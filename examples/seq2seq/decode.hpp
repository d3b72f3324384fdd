#pragma once
// Sentences through a model.

#include "bundle.hpp"
#include "settings.hpp"

namespace seq2seq {

/// The hypotheses of each text, the best first; of an empty text one that is empty.
std::vector<std::vector<xp::Hypothesis>> decode(const xp::Seq2Seq<float>& model,
                                                const Language& language,
                                                const std::vector<std::string>& texts,
                                                const DecodeSettings& settings);

/// How right translations are, on pairs with one or several targets.
struct Scores {
  double exact = 0;  // percent
  double wer = 0, per = 0, bleu = 0;
};

/// Translates all pairs and scores them. `outputs` gets the translations, if given.
Scores score(const xp::Seq2Seq<float>& model, const Language& language,
             const std::vector<struct Pair>& pairs, const DecodeSettings& settings,
             std::vector<std::string>* outputs = nullptr);

}  // namespace seq2seq
