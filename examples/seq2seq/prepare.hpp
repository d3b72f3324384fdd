#pragma once
// Checks and clearing before the first step of a training.

#include "corpus.hpp"
#include "settings.hpp"

namespace seq2seq {

/// Throws ValueError for options of subwords where none are learned. `from` is the model that a run begins with, or null.
void check_subwords(const TrainSettings& s, const Language* from);

/// Throws ValueError for settings that do not fit each other, or the folder.
void check_settings(const TrainSettings& s);

/// Reads the pairs to train on and those to choose by.
void read_both(const TrainSettings& s, std::vector<Pair>& pairs, std::vector<Pair>& dev_pairs);

/// Returns the tokenization, with empty vocabularies. Subwords are learned from the pairs; a resumed run reads those
/// that it has, and a run that begins with another model takes those of `from`.
Language tokenization(const TrainSettings& s, const std::vector<Pair>& pairs, const Language* from);

/// Whether more of a figure is better.
bool rises(const std::string& figure);

/// Throws ValueError for a model larger than this machine's memory, before a weight is made.
void check_memory(const xp::Seq2SeqOptions& o);

/// Returns the options of the training, and --products if it is bfloat16.
std::map<std::string, std::string> options_of_run(const TrainSettings& s);

/// Returns what a resumed run must have in common with the one before: options and hashes of data.
std::map<std::string, std::string> configuration(const TrainSettings& s, const Language& language,
                                                 const std::vector<Pair>& pairs,
                                                 const std::vector<Pair>& dev_pairs);

/// Makes the folder ready for a new run: what an earlier model left goes, the options first.
void clear_folder(const std::string& folder, xp::Checkpoints& checkpoints);

}  // namespace seq2seq
