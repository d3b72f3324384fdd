#include "text_scores.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <unordered_map>

namespace seq2seq {

namespace {

/// Returns the bytes of the white space at text[i], by Python's definition for strings; 0 for another character.
std::size_t space_at(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U;
  };
  const unsigned lead = byte(0);
  if ((lead >= 0x09 && lead <= 0x0D) || (lead >= 0x1C && lead <= 0x20)) return 1;
  if (lead == 0xC2) return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0;
  if (lead != 0xE1 && lead != 0xE2 && lead != 0xE3) return 0;
  const unsigned code = (lead & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
  return space ? 3 : 0;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t space = space_at(text, i);
    if (space == 0) {
      words.back() += text[i++];
    } else {
      i += space;
      if (!words.back().empty()) words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

void replace_all(std::string& text, std::string_view old, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += by.size()) {
    text.replace(at, old.size(), by);
  }
}

bool digit(char c) { return c >= '0' && c <= '9'; }
bool point(char c) { return c == '.' || c == ','; }

/// Whether a character always stands apart: ASCII punctuation and symbols but for ' , - .
bool symbol(char c) {
  const std::string_view inside = "',-.";
  return c > ' ' && c <= '~' && std::isalnum(static_cast<unsigned char>(c)) == 0 &&
         inside.find(c) == std::string_view::npos;
}

/// Separates neighbours a b with first(a) and second(b), from left to right; a character belongs to one pair. A space
/// goes between them, and before or behind them.
template <class First, class Second>
std::string separate(const std::string& text, First first, Second second, bool before) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == text.size() || !first(text[i]) || !second(text[i + 1])) {
      out += text[i];
      continue;
    }
    if (before) out += ' ';
    out += {text[i], ' ', text[i + 1]};
    if (!before) out += ' ';
    ++i;
  }
  return out;
}

using Counts = std::unordered_map<std::string_view, std::int64_t>;

/// Counts the n-grams of the characters that begin at `starts`, whose last entry is the end.
Counts grams(const std::string& text, const std::vector<std::size_t>& starts, std::size_t n) {
  Counts counts;
  for (std::size_t i = 0; i + n < starts.size(); ++i) {
    ++counts[std::string_view(text).substr(starts[i], starts[i + n] - starts[i])];
  }
  return counts;
}

std::vector<std::size_t> starts_of(const std::string& text) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U) starts.push_back(i);
  }
  starts.push_back(text.size());
  return starts;
}

std::string without_spaces(const std::string& text) {
  std::string out;
  for (const std::string& word : split(text)) out += word;
  return out;
}

}  // namespace

std::vector<std::string> tokens_13a(std::string line) {
  replace_all(line, "<skipped>", "");
  replace_all(line, "&quot;", "\"");
  replace_all(line, "&amp;", "&");
  replace_all(line, "&lt;", "<");
  replace_all(line, "&gt;", ">");
  std::string text = " ";
  for (const char c : line) {
    if (symbol(c)) {
      text += {' ', c, ' '};
    } else {
      text += c;
    }
  }
  text += ' ';
  const auto no_digit = [](char c) { return !digit(c); };
  text = separate(text, no_digit, point, false);
  text = separate(text, point, no_digit, true);
  return split(separate(
      text, digit, [](char c) { return c == '-'; }, false));
}

TextScores::TextScores(bool lowercase) : lowercase_(lowercase), counts_({.lowercase = false}) {}

void TextScores::update(const std::string& hypothesis, const std::vector<std::string>& references) {
  const auto cased = [&](const std::string& text) {
    return lowercase_ ? xp::to_lower(text) : text;
  };
  std::vector<std::vector<std::string>> tokens;
  for (const std::string& reference : references) tokens.push_back(tokens_13a(cased(reference)));
  counts_.update(tokens_13a(cased(hypothesis)), tokens);
  references_.insert(references.size());

  // The first of the references with the best score.
  Orders best = {};
  double score = -1;
  for (const std::string& reference : references) {
    const Orders orders = compare(cased(hypothesis), cased(reference));
    if (f_score(orders) <= score) continue;
    score = f_score(orders);
    best = orders;
  }
  for (std::size_t n = 0; n < kOrder; ++n) {
    characters_[n].written += best[n].written;
    characters_[n].expected += best[n].expected;
    characters_[n].both += best[n].both;
  }
}

TextScores::Orders TextScores::compare(const std::string& hypothesis,
                                       const std::string& reference) {
  const std::string a = without_spaces(hypothesis), b = without_spaces(reference);
  const auto a_starts = starts_of(a), b_starts = starts_of(b);
  Orders orders = {};
  for (std::size_t n = 1; n <= kOrder; ++n) {
    const Counts written = grams(a, a_starts, n), expected = grams(b, b_starts, n);
    Grams& sum = orders[n - 1];
    for (const auto& [gram, count] : expected) sum.expected += count;
    if (expected.empty()) continue;  // as sacrebleu: nothing could match
    for (const auto& [gram, count] : written) {
      sum.written += count;
      const auto at = expected.find(gram);
      if (at != expected.end()) sum.both += std::min(count, at->second);
    }
  }
  return orders;
}

double TextScores::f_score(const Orders& orders) {
  double precision = 0, recall = 0, count = 0;
  for (const Grams& n : orders) {
    if (n.written == 0 || n.expected == 0) continue;
    precision += static_cast<double>(n.both) / static_cast<double>(n.written);
    recall += static_cast<double>(n.both) / static_cast<double>(n.expected);
    ++count;
  }
  if (precision + recall == 0) return 0;
  precision /= count;
  recall /= count;
  constexpr double kRecall = 4;  // beta^2: recall counts twice as much
  return 100 * (1 + kRecall) * precision * recall / (kRecall * precision + recall);
}

double TextScores::chrf() const { return f_score(characters_); }

double TextScores::bleu() const {
  const auto& matches = counts_.matches();
  const auto& totals = counts_.totals();
  if (std::all_of(matches.begin(), matches.end(), [](std::int64_t m) { return m == 0; })) return 0;
  double sum = 0, smoothing = 1;
  for (std::size_t n = 0; n < matches.size(); ++n) {
    if (totals[n] == 0) return 0;
    const auto total = static_cast<double>(totals[n]);
    if (matches[n] == 0) smoothing *= 2;  // as if half, a quarter, ... of an n-gram matched
    sum += std::log(100.0 * (matches[n] == 0 ? 1 / smoothing : static_cast<double>(matches[n])) /
                    total);
  }
  const auto written = static_cast<double>(counts_.hypothesis_length());
  const auto expected = static_cast<double>(counts_.reference_length());
  const double brevity = written < expected ? std::exp(1 - expected / written) : 1;
  return brevity * std::exp(sum / static_cast<double>(matches.size()));
}

std::string TextScores::signature(const std::string& rest) const {
  return "nrefs:" + (references_.size() == 1 ? std::to_string(*references_.begin()) : "var") +
         "|case:" + (lowercase_ ? "lc" : "mixed") + "|" + rest + "|version:xtape-" + xp::kVersion;
}

std::string TextScores::bleu_signature() const { return signature("eff:no|tok:13a|smooth:exp"); }
std::string TextScores::chrf_signature() const { return signature("eff:yes|nc:6|nw:0|space:no"); }

}  // namespace seq2seq
