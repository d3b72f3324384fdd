#include "material.hpp"

#include "../console.hpp"
#include "../ranks.hpp"
#include "prepare.hpp"
#include "warm_start.hpp"

namespace seq2seq {

namespace {

xp::Vocabulary vocabulary(const std::vector<Pair>& pairs, const Language& language, bool source,
                          std::size_t min_frequency) {
  std::vector<std::vector<std::string>> texts;
  for (const Pair& pair : pairs) {
    texts.push_back(source ? language.source_tokens(pair.source)
                           : language.target_tokens(pair.targets.front()));
  }
  return xp::Vocabulary::build(texts, {.min_frequency = min_frequency});
}

/// Returns one vocabulary of both sides, for shared tables.
xp::Vocabulary joint_vocabulary(const std::vector<Pair>& pairs, const Language& language,
                                std::size_t min_frequency) {
  std::vector<std::vector<std::string>> texts;
  for (const Pair& pair : pairs) {
    texts.push_back(language.source_tokens(pair.source));
    texts.push_back(language.target_tokens(pair.targets.front()));
  }
  return xp::Vocabulary::build(texts, {.min_frequency = min_frequency});
}

xp::Seq2SeqOptions model_options(const TrainSettings& s, const Language& language) {
  xp::Seq2SeqOptions o{.source_vocabulary = static_cast<int>(language.source.size()),
                       .target_vocabulary = static_cast<int>(language.target.size()),
                       .hidden_dim = s.width,
                       .num_heads = s.heads,
                       .intermediate_dim = s.hidden,
                       .encoder_layers = s.layers,
                       .decoder_layers = s.decoder_layers.value_or(s.layers),
                       .normalize_first = s.norm == "pre",
                       .max_length = s.max_length,
                       .activation = s.activation,
                       .dropout = s.dropout,
                       .embedding_dropout = s.embedding_dropout,
                       .attention_dropout = s.attention_dropout,
                       .activation_dropout = s.activation_dropout,
                       .scale_embeddings = !s.no_scaling,
                       .use_bias = !s.no_bias,
                       .kernel_initializer = s.kernels,
                       .pad_id = language.target.pad(),
                       .start_id = language.target.start(),
                       .end_id = language.target.end()};
  if (s.positions == "learned") o.positions = xp::Positions::learned;
  if (s.positions == "rotary") o.positions = xp::Positions::rotary;
  if (s.positions == "none") o.positions = xp::Positions::none;
  if (s.tying == "output") o.tying = xp::Tying::output;
  if (s.tying == "all") o.tying = xp::Tying::all;
  if (!s.embeddings.empty()) o.embedding_initializer = xp::Initializer(s.embeddings);
  return o;
}

/// Removes the pairs that are left out. Prints how many. `path` is where they come from.
void keep_usable(const TrainSettings& s, const Language& language, const std::string& path,
                 std::vector<Pair>& pairs) {
  const std::size_t left_out = leave_out(pairs, language, static_cast<std::size_t>(s.max_length));
  if (left_out != 0) {
    console::print(
        path + ": " + console::counted(left_out, "pair") + (left_out == 1 ? " is" : " are") +
        " left out: empty, or longer than --max-length " + std::to_string(s.max_length) + "\n");
  }
  if (pairs.empty()) {
    throw xp::ValueError(path + ": no pair is left, expected some of 1 to " +
                         std::to_string(s.max_length) + " tokens; raise --max-length");
  }
}

/// Makes the vocabularies, and the options of the model.
void prepare_language(const TrainSettings& s, const std::vector<Pair>& pairs, const Language* from,
                      Language& language, xp::Seq2SeqOptions& options) {
  if (s.tying == "all") {
    language.source = language.target = joint_vocabulary(pairs, language, s.min_frequency);
  } else {
    language.source = vocabulary(pairs, language, true, s.min_frequency);
    language.target = vocabulary(pairs, language, false, s.min_frequency);
  }
  if (from != nullptr) {
    language.source = extended(from->source, language.source);
    language.target = extended(from->target, language.target);
    // One table of both needs one list, which begins as the model's.
    if (s.tying == "all")
      language.source = language.target = extended(language.source, language.target);
  }
  options = model_options(s, language);
}

}  // namespace

std::vector<Example> Material::examples(const std::vector<Pair>& of) const {
  std::size_t left_out = 0;  // none, as the pairs are usable
  return encode(of, language, static_cast<std::size_t>(options.max_length), left_out);
}

Material read_material(const TrainSettings& s, const Language* known) {
  Material m;
  if (console::leads(s.team)) read_both(s, m.pairs, m.dev_pairs);
  share_pairs(s.team, m.pairs);
  share_pairs(s.team, m.dev_pairs);
  m.language = tokenization(s, m.pairs, known);
  keep_usable(s, m.language, s.train, m.pairs);
  keep_usable(s, m.language, s.dev.empty() ? "--dev-split" : s.dev, m.dev_pairs);
  prepare_language(s, m.pairs, known, m.language, m.options);
  const std::string words = m.language.source.to_text() + m.language.target.to_text();
  console::need_same(s.team, "the hash of the vocabularies", std::to_string(xp::stable_hash(words)),
                     "use the same SentencePiece on all machines");
  check_memory(m.options);
  return m;
}

}  // namespace seq2seq
