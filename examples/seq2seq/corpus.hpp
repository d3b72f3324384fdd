#pragma once
// Pairs of sentences from a file, as token ids and as batches.

#include "bundle.hpp"

namespace seq2seq {

/// A pair from the file. The first target is learned; all of them are right.
struct Pair {
  std::string source;
  std::vector<std::string> targets;
};

/// Reads pairs: a table with a header for a name that ends in .csv or .csv.gz, tab-separated values otherwise.
/// `columns` names those of a table: source, target, further targets; by default the first two. IoError, FormatError,
/// ValueError.
std::vector<Pair> read_pairs(const std::string& path, const std::vector<std::string>& columns,
                             std::int64_t limit = 0);
/// Whether a file of this name has a header.
bool has_header(const std::string& path);
/// Reads comma-separated values below a header.
std::vector<Pair> read_table(const std::string& path, const std::vector<std::string>& columns,
                             std::int64_t limit);

/// Moves about a fraction of the pairs out of `pairs`, and returns them. Equal sources stay together. The source alone
/// decides: models of several seeds learn from the same pairs, and have the same tokens.
std::vector<Pair> split_off(std::vector<Pair>& pairs, double fraction);

/// Replaces the pairs by those of rank 0.
void share_pairs(xp::Team* team, std::vector<Pair>& pairs);

/// Removes the pairs that training leaves out: with more than max_length tokens, or an empty side. Returns their
/// number.
std::size_t leave_out(std::vector<Pair>& pairs, const Language& language, std::size_t max_length);

/// A pair as ids, without start and end.
struct Example {
  std::vector<std::int64_t> source, target;
};

/// Converts pairs to ids. `left_out` counts pairs that are skipped: with more than max_length tokens, or
/// an empty side. `crop` cuts sources instead.
std::vector<Example> encode(const std::vector<Pair>& pairs, const Language& language,
                            std::size_t max_length, std::size_t& left_out, bool crop = false);

/// The batch of a step: the decoder reads target_in and learns to write target_out.
struct Batch {
  xp::Array<std::int64_t> source, target_in, target_out;
  xp::Array<bool> source_mask;
  double tokens = 0;  // of target_out
};

/// Returns batches of similar lengths. Without shuffling (for validation) their order is fixed.
xp::Batches<Batch> batches_of(const std::vector<Example>& examples, const Language& language,
                              xp::BatchOptions options);

/// Writes batches as lines of JSON, in the order of the first epoch: {"source": [[...]], "target_in": ...,
/// "target_out": ...}. IoError.
void write_batches(const xp::Batches<Batch>& batches, const std::string& path);

}  // namespace seq2seq
