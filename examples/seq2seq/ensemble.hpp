#pragma once
// Translation by several models together.

#include <xtape/xtape.hpp>

#include <vector>

namespace seq2seq {

namespace xp = xtape;

/// One model, or several whose probabilities are averaged. They read and write the same tokens.
using Models = std::vector<const xp::Seq2Seq<float>*>;

/// Returns the n_best hypotheses of one source, the best first, as xp::beam_search: each step keeps the `width` most
/// probable continuations, by the mean of the models' probabilities. A width of 1 is the most probable token each time.
std::vector<xp::Hypothesis> search_together(const Models& models,
                                            const std::vector<std::int64_t>& source,
                                            const xp::BeamOptions& beam,
                                            const xp::DecodingOptions& options);

}  // namespace seq2seq
