// seq2seq translate: translates lines of text.

#include "decode.hpp"

#include <unistd.h>
#include <cstdio>
#include <iostream>

namespace seq2seq {

void translate(const TranslateSettings& s) {
  const Bundle bundle = load_bundle(s.folder);
  const auto print = [&](const std::vector<std::string>& lines) {
    for (const auto& list : decode(*bundle.model, bundle.language, lines, s.decode)) {
      for (const auto& hypothesis : list) {
        if (s.scores) std::printf("%.4f\t", hypothesis.score);
        std::printf("%s\n", bundle.language.target_text(hypothesis.tokens).c_str());
      }
    }
    std::fflush(stdout);
  };
  if (s.input != "-") {
    print(xp::read_lines(s.input));
    return;
  }
  // Terminal input is translated line by line, other input in batches.
  const bool person = isatty(STDIN_FILENO) != 0;
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(std::move(line));
    if (person || lines.size() == 16 * s.decode.batch) {
      print(lines);
      lines.clear();
    }
  }
  if (!lines.empty()) print(lines);
}

}  // namespace seq2seq
