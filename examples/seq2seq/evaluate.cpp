// seq2seq evaluate: scores a model's translations.

#include "corpus.hpp"
#include "decode.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace seq2seq {

void evaluate(const EvaluateSettings& s) {
  const Bundle bundle = load_bundle(s.folder);
  const std::vector<Pair> pairs = read_pairs(s.file);
  std::size_t left_out = 0;
  const auto examples =
      encode(pairs, bundle.language, static_cast<std::size_t>(bundle.model->options().max_length),
             left_out);
  if (examples.empty()) {
    throw xp::ValueError(s.file +
                         ": no pair can be scored, expected some that are not empty and of "
                         "the model's length; look at the file");
  }
  const auto batches = batches_of(examples, bundle.language,
                                  {.batch_size = 128, .shuffle = false, .bucket_window = 128000});
  const xp::Logs logs =
      xp::evaluate(bundle.params, batches, [&](xp::Tape<float>& tape, const Batch& b) {
        auto loss = bundle.model->loss(tape.input(b.source), b.source_mask, tape.input(b.target_in),
                                       b.target_out);
        return xp::StepResult<float>(std::move(loss), b.tokens, b.tokens);
      });
  const double loss = logs.at("loss");

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> written;
  const Scores scores = score(*bundle.model, bundle.language, pairs, s.decode, &written);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::int64_t shown = 0;
  for (std::size_t i = 0; i < pairs.size() && shown < s.show; ++i) {
    const auto& targets = pairs[i].targets;
    if (std::find(targets.begin(), targets.end(), written[i]) != targets.end()) continue;
    std::printf("%s -> %s   (right: %s)\n", pairs[i].source.c_str(), written[i].c_str(),
                targets[0].c_str());
    ++shown;
  }
  if (left_out != 0) std::printf("%zu pairs are not in the loss: empty or too long\n", left_out);
  std::printf(
      "pairs       %zu\nexact match %.2f %%\nWER         %.2f\nPER         %.2f\n"
      "BLEU        %.2f\nloss        %.4f per token\nperplexity  %.4f\ndecoding    %.1f s\n",
      pairs.size(), scores.exact, scores.wer, scores.per, scores.bleu, loss, std::exp(loss),
      seconds);
  if (!s.json.empty()) {
    const nlohmann::json json = {{"pairs", pairs.size()},
                                 {"exact", scores.exact},
                                 {"wer", scores.wer},
                                 {"per", scores.per},
                                 {"bleu", scores.bleu},
                                 {"loss", loss},
                                 {"perplexity", std::exp(loss)},
                                 {"seconds", seconds}};
    xp::write_text(s.json, json.dump(1) + "\n");
  }
}

}  // namespace seq2seq
