// seq2seq inspect: shows a model's layers, or its attention in a translation.

#include "../console.hpp"
#include "decode.hpp"

namespace seq2seq {

void inspect(const InspectSettings& s) {
  console::need_output();
  const Bundle bundle = load_bundle(s.folder);
  const auto& model = *bundle.model;
  const auto& language = bundle.language;
  if (s.sentence.empty()) {
    const auto length = static_cast<std::size_t>(std::min(8, model.options().max_length));
    const xp::Array<std::int64_t> ids(xp::Shape{1, length}, language.source.unknown());
    console::print(xp::summary(bundle.params, [&](xp::Tape<float>& tape) {
      const auto memory = model.encode(tape.input(ids));
      static_cast<void>(model.logits(tape.input(ids), memory));
    }));
    return;
  }
  std::vector<std::string> tokens = language.source_tokens(s.sentence);
  if (tokens.empty()) {
    throw xp::ValueError("--sentence: it is empty, expected at least one token; write one");
  }
  for (std::string& token : tokens) token = Language::word(token);
  const std::vector<std::int64_t> ids = language.source_ids(s.sentence);
  if (ids.size() > static_cast<std::size_t>(model.options().max_length)) {
    throw xp::ValueError("--sentence: too long: it has " + std::to_string(ids.size()) +
                         " tokens, expected at most " + std::to_string(model.options().max_length) +
                         "; shorten it");
  }
  const xp::Padded source = xp::pad({ids}, language.source.pad());
  if (language.source_ends) {
    tokens.insert(tokens.begin(), "<s>");
    tokens.emplace_back("</s>");
  }
  const auto found = xp::greedy(model, source.ids, source.mask,
                                {.max_length = static_cast<std::size_t>(model.options().max_length),
                                 .suppress = {language.target.unknown()},  // as translate
                                 .attention = true});
  std::vector<std::string> written = language.target.decode(found[0].tokens);
  for (std::string& token : written) token = Language::word(token);
  console::print(language.target_text(found[0].tokens) + "\n");
  xp::write_text(s.picture, xp::attention_svg(found[0].attention, written, tokens));
  console::print("where it looked is in " + s.picture + "\n");
}

}  // namespace seq2seq
