// seq2seq inspect: shows a model's layers, or its attention in a translation.

#include "decode.hpp"

#include <cstdio>
#include <iostream>

namespace seq2seq {

void inspect(const InspectSettings& s) {
  const Bundle bundle = load_bundle(s.folder);
  const auto& model = *bundle.model;
  const auto& language = bundle.language;
  if (s.sentence.empty()) {
    const xp::Array<std::int64_t> ids(xp::Shape{1, 8}, language.source.unknown());
    std::cout << xp::summary(bundle.params, [&](xp::Tape<float>& tape) {
      const auto memory = model.encode(tape.input(ids));
      static_cast<void>(model.logits(tape.input(ids), memory));
    });
    return;
  }
  std::vector<std::string> tokens = language.source_tokens(s.sentence);
  if (tokens.empty()) {
    throw xp::ValueError("--sentence: it is empty, expected at least one token; write one");
  }
  const xp::Padded source = xp::pad({language.source_ids(s.sentence)}, language.source.pad());
  if (language.source_ends) {
    tokens.insert(tokens.begin(), "<s>");
    tokens.emplace_back("</s>");
  }
  const auto found = xp::greedy(
      model, source.ids, source.mask,
      {.max_length = static_cast<std::size_t>(model.options().max_length), .attention = true});
  const std::vector<std::string> written = language.target.decode(found[0].tokens);
  std::printf("%s\n", language.target_text(found[0].tokens).c_str());
  xp::write_text(s.picture, xp::attention_svg(found[0].attention, written, tokens));
  std::printf("where it looked is in %s\n", s.picture.c_str());
}

}  // namespace seq2seq
