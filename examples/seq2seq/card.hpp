#pragma once
// The texts in a model's folder that say what it is: README.md, log.json and curves.svg.

#include "corpus.hpp"

namespace seq2seq {

/// The facts of a model's README.md.
struct Card {
  std::vector<std::string> origin;             // sentences: what it was trained on
  std::map<std::string, std::string> options;  // of its training
  std::string scores;                          // of the epoch whose weights it has
};

/// Removes the README.md of an earlier model, but not one that somebody wrote.
void remove_card(const std::string& folder);

/// Writes README.md, unless somebody wrote one. IoError.
void write_card(const std::string& folder, const Language& language,
                const xp::Seq2SeqOptions& options, std::size_t weights, const Card& card);

/// Returns a column of the history with a value for each epoch: NaN for those that were not scored.
std::vector<double> by_epoch(const xp::History& history, const std::vector<double>& given,
                             std::int64_t score_every);

/// Writes the numbers of each epoch as log.json, and their curves as curves.svg. IoError.
void write_log(const std::string& folder, const xp::History& history, std::int64_t score_every);

}  // namespace seq2seq
