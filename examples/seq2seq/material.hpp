#pragma once
// A training starts from pairs, their vocabularies, and the options of a model.

#include "corpus.hpp"
#include "settings.hpp"

namespace seq2seq {

struct Material {
  std::vector<Pair> pairs, dev_pairs;
  Language language;
  xp::Seq2SeqOptions options;

  /// Returns pairs as ids.
  [[nodiscard]] std::vector<Example> examples(const std::vector<Pair>& of) const;
};

/// Reads the pairs on rank 0, shares them, leaves out what is too long, and makes the vocabularies; those of a
/// model to begin with, `known`, come first. ValueError for options and data that do not fit, or a model that
/// does not fit into memory.
Material read_material(const TrainSettings& s, const Language* known);

}  // namespace seq2seq
