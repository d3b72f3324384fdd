// seq2seq evaluate: scores a model's translations. seq2seq score: scores a file of translations.

#include "../console.hpp"
#include "../ranks.hpp"
#include "corpus.hpp"
#include "decode.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <nlohmann/json.hpp>

namespace seq2seq {

namespace {

/// Says what becomes of sources that are too long, and leaves their pairs out if the options say so. Returns the
/// number of such sources.
std::size_t settle_long_sources(const EvaluateSettings& s, const Bundle& bundle, std::size_t most,
                                std::vector<Pair>& pairs) {
  const auto too_long = [&](const Pair& pair) {
    return bundle.language.source_ids(pair.source).size() > most;
  };
  const auto count = static_cast<std::size_t>(std::count_if(pairs.begin(), pairs.end(), too_long));
  if (count == 0) return 0;
  const std::string who = console::counted(count, "source") + (count == 1 ? " is" : " are") +
                          " longer than " + std::to_string(most) + " tokens: ";
  if (s.decode.crop) {
    console::print(who + "cut, as --crop says\n");
  } else if (s.too_long == "leave-out") {
    std::erase_if(pairs, too_long);
    console::print(who + "left out\n");
  } else {
    console::print(who + "counted as wrong (see --too-long and --crop)\n");
  }
  return count;
}

void tell_text_scores(const TextScores& text) {
  console::print_format("sacreBLEU   %.2f  ", text.bleu());
  console::print(text.bleu_signature() + "\n");
  console::print_format("chrF        %.2f  ", text.chrf());
  console::print(text.chrf_signature() + "\n");
}

}  // namespace

void score(const ScoreSettings& s) {
  console::need_output();
  console::need_other("--json", s.json, {s.translations, s.file});
  const xp::TextLines translations = xp::read_lines(s.translations);
  const std::vector<Pair> pairs = read_pairs(s.file, s.columns);
  if (translations.size() != pairs.size()) {
    throw xp::ValueError(s.translations + ": another number of lines: it has " +
                         std::to_string(translations.size()) + ", expected " +
                         std::to_string(pairs.size()) + ", one for each pair of " + s.file +
                         "; translate that file");
  }
  TextScores text(s.lowercase);
  for (std::size_t i = 0; i < pairs.size(); ++i) text.update(translations[i], pairs[i].targets);
  console::print_format("pairs       %zu\n", pairs.size());
  tell_text_scores(text);
  if (s.json.empty()) return;
  const nlohmann::json json = {{"pairs", pairs.size()},
                               {"sacrebleu", text.bleu()},
                               {"sacrebleu_signature", text.bleu_signature()},
                               {"chrf", text.chrf()},
                               {"chrf_signature", text.chrf_signature()}};
  xp::write_text(s.json, json.dump(1) + "\n");
}

void evaluate(const EvaluateSettings& s) {
  console::need_output();
  console::need_other("--json", s.json, {s.file});
  check_decoding(s.decode, 1 + s.ensemble.size());
  const Bundle bundle = load_bundle(s.folder);
  need_same_model(s.decode.team, s.folder, bundle);
  const std::vector<Bundle> others = load_others(s.decode.team, s.ensemble, bundle);
  const Models models = models_of(bundle, others);
  std::vector<Pair> pairs;
  if (console::leads(s.decode.team)) pairs = read_pairs(s.file, s.columns);
  share_pairs(s.decode.team, pairs);
  const std::size_t too_long = settle_long_sources(s, bundle, longest(models), pairs);
  std::size_t left_out = 0;
  const auto examples = encode(pairs, bundle.language, longest(models), left_out, s.decode.crop);
  if (examples.empty()) {
    throw xp::ValueError(s.file +
                         ": no pair can be scored, expected some that are not empty and of "
                         "the model's length; look at the file");
  }
  const auto batches = batches_of(examples, bundle.language,
                                  {.batch_size = 128, .shuffle = false, .bucket_window = 128000});
  const auto step = [&](xp::Tape<float>& tape, const Batch& b) {
    auto loss = bundle.model->loss(tape.input(b.source), b.source_mask, tape.input(b.target_in),
                                   b.target_out);
    return xp::StepResult<float>(std::move(loss), b.tokens, b.tokens);
  };
  const xp::Logs logs = xp::evaluate(bundle.params, batches, step, {.team = s.decode.team});
  const double loss = logs.at("loss");

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> written;
  const Scores scores = score(models, bundle.language, pairs, s.decode, written);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::size_t unknown = 0, tokens = 0;
  for (const Pair& pair : pairs) {
    const auto ids = bundle.language.source_ids(pair.source);
    unknown += static_cast<std::size_t>(
        std::count(ids.begin(), ids.end(), bundle.language.source.unknown()));
    tokens += ids.size();
  }
  tell_unknown(unknown, tokens);
  std::int64_t shown = 0;
  for (std::size_t i = 0; i < pairs.size() && shown < s.show; ++i) {
    const auto& targets = pairs[i].targets;
    const auto tokens_of = [&](const std::string& t) { return bundle.language.target_tokens(t); };
    const auto right = [&, is = tokens_of(written[i])](const auto& t) {
      return tokens_of(t) == is;
    };
    if (std::any_of(targets.begin(), targets.end(), right)) continue;
    console::print(pairs[i].source + " -> " + written[i] + "   (right: " + targets[0] + ")\n");
    ++shown;
  }
  if (left_out != 0) {
    console::print(console::counted(left_out, "pair") + (left_out == 1 ? " is" : " are") +
                   " not in the loss: empty or too long\n");
  }
  console::print_format(
      "pairs       %zu\nexact match %.2f %%\nWER         %.2f\nPER         %.2f\n"
      "BLEU        %.2f\nloss        %.4f per token\nperplexity  %.4f\ndecoding    %.1f s\n",
      pairs.size(), scores.exact, scores.wer, scores.per, scores.bleu, loss, std::exp(loss),
      seconds);
  tell_text_scores(scores.text);
  if (!others.empty()) console::print("loss and perplexity are of the first model alone\n");
  if (!s.json.empty() && console::leads(s.decode.team)) {
    const nlohmann::json json = {{"pairs", pairs.size()},
                                 {"too_long", too_long},
                                 {"exact", scores.exact},
                                 {"wer", scores.wer},
                                 {"per", scores.per},
                                 {"bleu", scores.bleu},
                                 {"loss", loss},
                                 {"perplexity", std::exp(loss)},
                                 {"seconds", seconds},
                                 {"sacrebleu", scores.text.bleu()},
                                 {"chrf", scores.text.chrf()}};
    xp::write_text(s.json, json.dump(1) + "\n");
  }
}

}  // namespace seq2seq
