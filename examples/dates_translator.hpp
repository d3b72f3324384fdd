#pragma once
// The model of dates.cpp, with texts as input and output.

#include "dates_data.hpp"

namespace dates {

namespace xp = xtape;

/// The source, the decoder's input (a start token and the target), and its expected output (the target
/// and an end token).
struct Batch {
  xp::Padded source, input, output;
};

struct Translator {
  xp::Vocabulary letters;
  const xp::Seq2Seq<float>& model;

  std::vector<std::int64_t> ids(const std::string& text, xp::EncodeOptions around = {}) const {
    return letters.encode(xp::tokenize(text, xp::TokenKind::characters), around);
  }
  template <class Examples> Batch batch(const Examples& examples) const {
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
  /// The percentage of texts with every character right.
  double exact_match(const std::vector<Example>& examples) const {
    const auto written = translate(examples, false);
    double right = 0;
    for (std::size_t i = 0; i < written.size(); ++i)
      right += text(written[i]) == examples[i].target;
    return 100 * right / static_cast<double>(written.size());
  }
  /// The percentage of digits whose most attended source character shows the same field (year, month or
  /// day).
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
