// Metrics of sequences of tokens: edit distance and BLEU.

#include <xtape/metrics/metrics.hpp>

#include "base/check.hpp"
#include "metrics/metric_state.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>

namespace xtape {

namespace {

std::vector<double> numbers(const std::vector<std::int64_t>& counts) {
  return {counts.begin(), counts.end()};
}

/// Returns a state of n counts. ValueError unless all of them are counts.
std::vector<std::int64_t> counts(const std::string& who, std::span<const double> state,
                                 std::size_t n) {
  detail::check_state(who, state, n);
  std::vector<std::int64_t> out;
  for (const double value : state) out.push_back(detail::state_count(who, value));
  return out;
}

template <class Token>
std::int64_t levenshtein(std::span<const Token> a, std::span<const Token> b) {
  // row[j]: the distance of the part of a seen so far and the first j of b.
  std::vector<std::int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (const Token& token : a) {
    std::int64_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::int64_t replaced = diagonal + (token == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

template <class References>
void check_references(const std::string& name, const References& references) {
  if (references.empty()) {
    detail::fail<ValueError>(name, "no reference: there are 0 references, expected at least one");
  }
}

double percent(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

using Words = std::vector<std::string>;
using Counts = std::map<Words, std::int64_t>;

Counts ngrams(const Words& tokens, std::size_t order) {
  Counts counts;
  for (std::size_t i = 0; i + order <= tokens.size(); ++i) {
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(i);
    ++counts[Words(first, first + static_cast<std::ptrdiff_t>(order))];
  }
  return counts;
}

Words folded(std::span<const std::string> tokens, bool lowercase) {
  Words out(tokens.begin(), tokens.end());
  if (lowercase) std::transform(out.begin(), out.end(), out.begin(), to_lower);
  return out;
}

// Returns the lower case of a code point of two UTF-8 bytes, or the code point itself.
unsigned lower(unsigned c) {
  const auto within = [c](unsigned first, unsigned last) { return c >= first && c <= last; };
  if (within(0xC0, 0xDE) && c != 0xD7) return c + 0x20;  // Latin-1
  if (c == 0x178) return 0xFF;
  if (within(0x139, 0x148) || within(0x179, 0x17E)) return c % 2 == 1 ? c + 1 : c;
  // 0x130, the dotted I, would become two code points and stays.
  if (within(0x100, 0x177) && c != 0x130 && c != 0x138 && c != 0x149) {
    return c % 2 == 0 ? c + 1 : c;
  }
  if (c == 0x386) return 0x3AC;
  if (within(0x388, 0x38A)) return c + 37;
  if (c == 0x38C) return 0x3CC;
  if (within(0x38E, 0x38F)) return c + 63;
  if (within(0x391, 0x3AB) && c != 0x3A2) return c + 0x20;  // Greek
  if (within(0x400, 0x40F)) return c + 0x50;                // Cyrillic
  if (within(0x410, 0x42F)) return c + 0x20;
  if (c == 0x4C0) return 0x4CF;
  if (within(0x4C1, 0x4CE)) return c % 2 == 1 ? c + 1 : c;
  if (within(0x460, 0x481) || within(0x48A, 0x4BF) || within(0x4D0, 0x52F)) {
    return c % 2 == 0 ? c + 1 : c;
  }
  return c;
}

}  // namespace

std::int64_t edit_distance(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  return levenshtein(a, b);
}

std::int64_t edit_distance(std::span<const std::string> a, std::span<const std::string> b) {
  return levenshtein(a, b);
}

double EditDistance::result() const { return percent(distance_, length_); }

double EditDistance::sequence_error_rate() const { return percent(wrong_, samples_); }

template <class Token>
void EditDistance::add(std::span<const Token> hypothesis,
                       const std::vector<std::vector<Token>>& references) {
  check_references(name_, references);
  std::int64_t best = -1, length = 0;
  for (const std::vector<Token>& reference : references) {
    const std::int64_t distance = levenshtein(hypothesis, std::span<const Token>(reference));
    if (best >= 0 && distance >= best) continue;
    best = distance;
    length = static_cast<std::int64_t>(reference.size());
  }
  distance_ += best;
  length_ += length;
  wrong_ += best == 0 ? 0 : 1;
  ++samples_;
}

void EditDistance::update(std::span<const std::string> hypothesis,
                          const std::vector<std::vector<std::string>>& references) {
  add(hypothesis, references);
}

void EditDistance::update(std::span<const std::int64_t> hypothesis,
                          const std::vector<std::vector<std::int64_t>>& references) {
  add(hypothesis, references);
}

std::vector<double> EditDistance::state() const {
  return numbers({distance_, length_, wrong_, samples_});
}

void EditDistance::load_state(std::span<const double> state) {
  const std::vector<std::int64_t> c = counts(name_, state, 4);
  distance_ = c[0];
  length_ = c[1];
  wrong_ = c[2];
  samples_ = c[3];
}

BLEU::BLEU(Options options, std::string name) : options_(options), name_(std::move(name)) {
  detail::check_option(options.max_order >= 1 && options.max_order <= 16, "BLEU", "max_order",
                       options.max_order, "1 to 16");
  BLEU::reset();
}

void BLEU::reset() {
  matches_.assign(static_cast<std::size_t>(options_.max_order), 0);
  totals_ = matches_;
  hypothesis_length_ = reference_length_ = 0;
}

std::vector<double> BLEU::state() const {
  std::vector<std::int64_t> all = matches_;
  all.insert(all.end(), totals_.begin(), totals_.end());
  all.insert(all.end(), {hypothesis_length_, reference_length_});
  return numbers(all);
}

void BLEU::load_state(std::span<const double> state) {
  const std::size_t n = matches_.size();
  const std::vector<std::int64_t> c = counts(name_, state, 2 * n + 2);
  std::copy_n(c.begin(), n, matches_.begin());
  std::copy_n(c.begin() + static_cast<std::ptrdiff_t>(n), n, totals_.begin());
  hypothesis_length_ = c[2 * n];
  reference_length_ = c[2 * n + 1];
}

void BLEU::update(std::span<const std::string> hypothesis,
                  const std::vector<std::vector<std::string>>& references) {
  check_references(name_, references);
  const Words said = folded(hypothesis, options_.lowercase);
  std::vector<Words> meant;
  for (const auto& reference : references) meant.push_back(folded(reference, options_.lowercase));
  const auto length = [](const Words& tokens) { return static_cast<std::int64_t>(tokens.size()); };
  const auto nearest =
      std::min_element(meant.begin(), meant.end(), [&](const Words& a, const Words& b) {
        return std::pair(std::abs(length(a) - length(said)), length(a)) <
               std::pair(std::abs(length(b) - length(said)), length(b));
      });
  for (std::size_t n = 0; n < matches_.size(); ++n) {
    Counts allowed;  // the maximum over the references
    for (const Words& tokens : meant) {
      for (const auto& [gram, count] : ngrams(tokens, n + 1)) {
        std::int64_t& most = allowed[gram];
        most = std::max(most, count);
      }
    }
    for (const auto& [gram, count] : ngrams(said, n + 1)) {
      totals_[n] += count;
      const auto found = allowed.find(gram);
      if (found != allowed.end()) matches_[n] += std::min(count, found->second);
    }
  }
  hypothesis_length_ += length(said);
  reference_length_ += length(*nearest);
}

double BLEU::result() const {
  double sum = 0;
  for (std::size_t n = 0; n < matches_.size(); ++n) {
    if (matches_[n] == 0) return 0;
    sum += std::log(static_cast<double>(matches_[n]) / static_cast<double>(totals_[n]));
  }
  const double ratio =
      static_cast<double>(reference_length_) / static_cast<double>(hypothesis_length_);
  const double penalty = ratio > 1 ? std::exp(1 - ratio) : 1;
  return 100 * penalty * std::exp(sum / static_cast<double>(matches_.size()));
}

std::string to_lower(const std::string& text) {
  std::string out = text;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    if (c >= 'A' && c <= 'Z') out[i] = static_cast<char>(c + 32);
    if (c < 0xC3 || c > 0xD4 || i + 1 == out.size()) continue;
    const auto next = static_cast<unsigned char>(out[i + 1]);
    if ((next & 0xC0U) != 0x80U) continue;
    const unsigned point = lower(((c & 0x1FU) << 6U) | (next & 0x3FU));
    out[i] = static_cast<char>(0xC0U | (point >> 6U));
    out[++i] = static_cast<char>(0x80U | (point & 0x3FU));
  }
  return out;
}

}  // namespace xtape
