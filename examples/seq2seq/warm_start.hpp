#pragma once
// A training that begins with the weights of another model.

#include "bundle.hpp"
#include "settings.hpp"

namespace seq2seq {

/// Returns the settings with the model's options in the place of those that were not given: its sizes and its tokens.
TrainSettings inherited(const TrainSettings& s, const Bundle& from);

/// Returns the model's vocabulary with the new tokens of another behind it, so that ids stay.
xp::Vocabulary extended(const xp::Vocabulary& old, const xp::Vocabulary& added);

/// Copies the weights that fit by path and shape, of tables of tokens and positions the common rows. Prints what was not
/// taken, what is partly or wholly new, and why.
void take_weights(const Bundle& from, const std::string& folder, xp::Params<float>& params);

/// Makes the layers at these paths stay as they are. ValueError for one that is not there.
void freeze(const std::vector<std::string>& paths, xp::Params<float>& params);

}  // namespace seq2seq
