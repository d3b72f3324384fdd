#pragma once
// Scores of plain text, as the sacrebleu package defines them.

#include <xtape/xtape.hpp>

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace seq2seq {

namespace xp = xtape;

/// Returns the tokens "13a" of a line (mteval-v13a): punctuation and symbols stand apart, but for marks inside numbers.
std::vector<std::string> tokens_13a(std::string line);

/// BLEU with tokens 13a and exponential smoothing, and chrF2, of a corpus: 0 to 100.
class TextScores {
 public:
  /// `lowercase` compares without case.
  explicit TextScores(bool lowercase = false);

  /// Adds a translation. ValueError without a reference.
  void update(const std::string& hypothesis, const std::vector<std::string>& references);

  [[nodiscard]] double bleu() const;
  [[nodiscard]] double chrf() const;
  /// Return how a score was computed, in sacrebleu's form; the version is that of xtape.
  [[nodiscard]] std::string bleu_signature() const;
  [[nodiscard]] std::string chrf_signature() const;

 private:
  static constexpr std::size_t kOrder = 6;  // of characters
  /// Counts of n-grams of one order: in the translations, in the references, in both.
  struct Grams {
    std::int64_t written = 0, expected = 0, both = 0;
  };
  using Orders = std::array<Grams, kOrder>;
  static double f_score(const Orders& orders);
  static Orders compare(const std::string& hypothesis, const std::string& reference);
  [[nodiscard]] std::string signature(const std::string& rest) const;

  bool lowercase_;
  xp::BLEU counts_;
  Orders characters_ = {};
  std::set<std::size_t> references_;  // how many a line has
};

}  // namespace seq2seq
