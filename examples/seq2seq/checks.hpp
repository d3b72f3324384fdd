#pragma once
// Checks of the values of options.

#include "../command_line.hpp"

#include <limits>

namespace seq2seq {

inline const console::Real kRate(0, 1);
inline const console::Real kPositive(0, std::numeric_limits<double>::max(), true);
inline const console::Real kNotNegative(0);
inline const console::Whole kCount(1, 1000000000);
/// Hypotheses of a sentence: all of them are in memory at once.
inline const console::Whole kHypotheses(1, 1000);
/// Hypotheses of a sentence on the page.
inline constexpr int kMostBeam = 16;
inline const console::Whole kNone(0, 1000000000);
inline const console::Whole kSeed(0);

}  // namespace seq2seq
