#pragma once
// Between the texts of dates.cpp and its model.

#include "dates_data.hpp"

namespace dates {

namespace xp = xtape;

/// What the model reads, what its decoder is fed (the target behind a start token), and what that is
/// to write (the target before an end token).
struct Batch {
  xp::Padded source, input, output;
};

struct Translator {
  xp::Vocabulary letters;
  const xp::Seq2Seq<float>& model;

  std::vector<std::int64_t> ids(const std::string& text, xp::EncodeOptions around = {}) const {
    return letters.encode(xp::tokenize(text, xp::TokenKind::characters), around);
  }
  template <class Examples>
  Batch batch(const Examples& examples) const {
    std::vector<std::vector<std::int64_t>> source, input, output;
    for (const Example& e : examples) {
      source.push_back(ids(e.source));
      input.push_back(ids(e.target, {.start = true}));
      output.push_back(ids(e.target, {.end = true}));
    }
    return {xp::pad(source), xp::pad(input), xp::pad(output)};
  }
  std::vector<xp::Hypothesis> translate(const std::vector<Example>& examples,
                                        bool attention) const {
    const xp::Padded source = batch(examples).source;
    return xp::greedy(model, source.ids, source.mask, {.max_length = 12, .attention = attention});
  }
  std::string text(const xp::Hypothesis& h) const {
    return xp::join_tokens(letters.decode(h.tokens), xp::TokenKind::characters);
  }
  /// Texts that are right in every character, in percent.
  double exact_match(const std::vector<Example>& examples) const {
    const auto written = translate(examples, false);
    double right = 0;
    for (std::size_t i = 0; i < written.size(); ++i)
      right += text(written[i]) == examples[i].target;
    return 100 * right / static_cast<double>(written.size());
  }
  /// Of the digits written, those for which the character looked at most shows the same field (year,
  /// month or day), in percent.
  double right_field(const std::vector<Example>& examples) const {
    const std::string fields = "yyyy mm dd";
    const auto written = translate(examples, true);
    double digits = 0, right = 0;
    for (std::size_t e = 0; e < examples.size(); ++e) {
      const xp::Array<double>& looked = written[e].attention;
      for (std::size_t i = 0; i < std::min(fields.size(), written[e].tokens.size()); ++i) {
        if (fields[i] == ' ') continue;
        std::size_t best = 0;
        for (std::size_t j = 1; j < examples[e].source.size(); ++j) {
          if (looked(i, j) > looked(i, best)) best = j;
        }
        ++digits;
        right += examples[e].fields[best] == fields[i];
      }
    }
    return digits == 0 ? 0 : 100 * right / digits;
  }
};

}  // namespace dates
