// seq2seq train: trains a model on a file of pairs.

#include "../console.hpp"
#include "../ranks.hpp"
#include "card.hpp"
#include "corpus.hpp"
#include "decode.hpp"
#include "prepare.hpp"
#include "warm_start.hpp"

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>

namespace seq2seq {

namespace {

/// Translates and scores the dev pairs after an epoch, and shows one of them.
class DevScores final : public xp::Callback {
 public:
  DevScores(const xp::Seq2Seq<float>& model, const Language& language, std::vector<Pair> pairs,
            const TrainSettings& s)
      : model_(model),
        language_(language),
        pairs_(std::move(pairs)),
        every_(s.score_every),
        length_factor_(s.length_factor),
        team_(s.team),
        of_text_(language.target_kind == Tokens::pieces || s.best == "val_sacrebleu" ||
                 s.best == "val_chrf") {}

  void on_epoch_end(xp::Run& run, std::int64_t epoch, xp::Logs& logs) override {
    if (every_ == 0 || (epoch + 1) % every_ != 0) return;
    std::vector<std::string> written;
    const Scores s = score({&model_}, language_, pairs_,
                           {.batch = 128, .length_factor = length_factor_, .team = team_}, written);
    logs.set("val_exact", s.exact);
    logs.set("val_wer", s.wer);
    logs.set("val_per", s.per);
    logs.set("val_bleu", s.bleu);
    char line[160];
    std::snprintf(line, sizeof line, "dev: %.2f %% exact, WER %.2f, PER %.2f, BLEU %.2f", s.exact,
                  s.wer, s.per, s.bleu);
    std::string said = line;
    if (of_text_) {
      logs.set("val_sacrebleu", s.text.bleu());
      logs.set("val_chrf", s.text.chrf());
      std::snprintf(line, sizeof line, ", sacreBLEU %.2f, chrF %.2f", s.text.bleu(), s.text.chrf());
      said += line;
    }
    run.say(said);
    const std::size_t i = static_cast<std::size_t>(epoch) % pairs_.size();
    run.say("  " + pairs_[i].source + " -> " + written[i] + "   (right: " + pairs_[i].targets[0] +
            ")");
  }
  [[nodiscard]] std::string name() const override { return "DevScores"; }

 private:
  const xp::Seq2Seq<float>& model_;
  const Language& language_;
  std::vector<Pair> pairs_;
  std::int64_t every_;
  double length_factor_;
  xp::Team* team_;
  bool of_text_;  // scores of plain text, too
};

/// Counts tokens and floating-point operations, for the last line. Products count three times (one
/// forward, two backward), without padding.
struct Work {
  double tokens = 0, flops = 0;

  void add(const xp::Seq2SeqOptions& o, const Batch& b) {
    const double d = o.hidden_dim;
    const double in = static_cast<double>(b.source_mask.shape()[0]);
    double source = 0, pairs = 0;
    for (std::size_t r = 0; r < b.source_mask.shape()[0]; ++r) {
      double length = 0;
      for (std::size_t i = 0; i < b.source_mask.shape()[1]; ++i)
        length += b.source_mask(r, i) ? 1 : 0;
      source += length;
      pairs += length * length * o.encoder_layers + length * b.tokens / in * o.decoder_layers;
    }
    pairs += b.tokens / in * b.tokens / 2 * o.decoder_layers;  // causal: half of them
    const double block = 4 * d * d + 2 * d * o.intermediate_dim;
    const double weights =
        source * (o.encoder_layers * block + o.decoder_layers * 2 * d * d) +
        b.tokens * (o.decoder_layers * (block + 2 * d * d) + d * o.target_vocabulary);
    tokens += b.tokens;
    flops += 3 * (2 * weights + 4 * d * pairs);
  }
};

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

/// Tells the figures of the epoch whose weights are saved: the best one, or the last. Returns them.
std::string tell_best(const xp::History& history, const std::string& monitor,
                      xp::MonitorMode mode) {
  std::size_t epoch = history.epochs().size();
  if (epoch == 0) return {};
  if (!monitor.empty()) {
    const std::vector<double>& values = history[monitor];
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); ++i) {  // as fit does: NaN is never better
      const bool better =
          mode == xp::MonitorMode::max ? values[i] > values[best] : values[i] < values[best];
      if (better || (std::isnan(values[best]) && !std::isnan(values[i]))) best = i;
    }
    if (!std::isnan(values[best])) epoch = best + 1;
  }
  std::string figures;
  for (const auto& [name, values] : history.columns()) {
    if (!name.starts_with("val_") || values.size() != history.epochs().size()) continue;
    char text[64];
    std::snprintf(text, sizeof text, "%s%s %.4f", figures.empty() ? "" : ", ", name.c_str(),
                  values[epoch - 1]);
    figures += text;
  }
  console::print("the weights are those of epoch " + std::to_string(epoch) + ": " + figures + "\n");
  return figures + " (epoch " + std::to_string(epoch) + ")";
}

}  // namespace

void train(const TrainSettings& given) {
  const bool lead = console::leads(given.team);
  console::need_shards(given.team, given.shards);
  if (lead) check_settings(given);
  std::optional<Bundle> from;
  if (!given.init.empty()) {
    from = load_bundle(given.init);
    need_same_model(given.team, given.init, *from);
  }
  const TrainSettings s = from ? inherited(given, *from) : given;
  const Language* const known = from ? &from->language : nullptr;
  std::vector<Pair> pairs, dev_pairs;
  if (lead) read_both(s, pairs, dev_pairs);
  share_pairs(s.team, pairs);
  share_pairs(s.team, dev_pairs);
  Language language = tokenization(s, pairs, known);
  keep_usable(s, language, s.train, pairs);
  keep_usable(s, language, s.dev.empty() ? "--dev-split" : s.dev, dev_pairs);
  xp::Seq2SeqOptions options;
  prepare_language(s, pairs, known, language, options);
  const std::string words = language.source.to_text() + language.target.to_text();
  console::need_same(s.team, "the hash of the vocabularies", std::to_string(xp::stable_hash(words)),
                     "use the same SentencePiece on all machines");

  check_memory(options);
  xp::Params<float> params({.seed = s.seed});
  const xp::Seq2Seq<float> model(params.scope(), options);
  model.build();
  if (from) take_weights(*from, s.init, params);
  freeze(s.freeze, params);

  const auto longest = static_cast<std::size_t>(s.max_length);
  std::size_t left_out = 0;  // none, as the pairs are usable
  const auto examples = encode(pairs, language, longest, left_out);
  const auto dev_examples = encode(dev_pairs, language, longest, left_out);
  const auto batches = batches_of(examples, language,
                                  {.batch_size = s.batch_size,
                                   .max_tokens = s.max_tokens,
                                   .seed = s.seed,
                                   .bucket_window = 50 * s.batch_size});
  const auto dev_batches = batches_of(
      dev_examples, language, {.batch_size = 128, .shuffle = false, .bucket_window = 128000});
  const auto steps = s.epochs * static_cast<std::int64_t>(batches.steps(0));
  const auto optimizer = make_optimizer(s, steps);

  xp::Checkpoints checkpoints(checkpoints_folder(s.folder), {.keep = s.keep});
  if (lead) {
    checkpoints.lock();
    check_settings(s);  // another process may have trained here meanwhile
    for (const std::string& path : files_of(s.folder)) xp::remove_temporaries(path);
    if (!s.resume) clear_folder(s.folder, checkpoints);
  }
  std::int64_t weights = 0;
  for (const auto& p : params.all()) weights += static_cast<std::int64_t>(p.value().size());
  console::print(console::counted(examples.size(), "pair") + ", " +
                 std::to_string(dev_examples.size()) + " of dev; " +
                 std::to_string(language.source.size()) + " and " +
                 std::to_string(language.target.size()) + " tokens; " + std::to_string(weights) +
                 " weights; " + console::counted(batches.steps(0), "step") + " per epoch\n");
  if (xp::default_products() != xp::Products::float32) {
    console::print("products: " + xp::describe(xp::default_products()) + "\n");
  }
  console::flush();

  if (!s.record.empty() && lead) {
    std::error_code failed;  // the next write reports it with the path
    std::filesystem::create_directories(s.record, failed);
    xp::save(params, s.record + "/initial.safetensors");
    write_batches(batches, s.record + "/train.jsonl");
    write_batches(dev_batches, s.record + "/dev.jsonl");
  }

  xp::Mean batch_loss("batch_loss");
  const auto step_with = [&](double smoothing) {
    return [&model, &batch_loss, &s, smoothing](xp::Tape<float>& tape, const Batch& b) {
      auto loss = model.loss(tape.input(b.source), b.source_mask, tape.input(b.target_in),
                             b.target_out, {.label_smoothing = smoothing});
      if (s.batch_loss) batch_loss.update(loss.item());
      return xp::StepResult<float>(std::move(loss), b.tokens, b.tokens);
    };
  };
  const bool last = s.best == "last";
  const auto mode = rises(s.best) ? xp::MonitorMode::max : xp::MonitorMode::min;
  const xp::StopSignals signals({.also = {SIGUSR1}});  // which mpirun and Slurm pass on
  xp::FitOptions<float> fit{.epochs = s.epochs,
                            .validation = {dev_batches, step_with(0)},
                            .seed = s.seed,
                            .checkpoints = &checkpoints,
                            .save_steps = s.save_steps,
                            .best_monitor = last ? "" : s.best,
                            .best_mode = mode,
                            .resume = s.resume,
                            .configuration = configuration(s, pairs, dev_pairs),
                            .signals = &signals,
                            .shards = s.shards,
                            .team = s.team};
  fit.message = [](const std::string& text) {
    console::print(console::shortened(text) + "\n");
    console::flush();
  };
  if (s.batch_loss) fit.metrics = {&batch_loss};
  // After Ctrl-C mpirun takes no output while it waits: little may be written, or rank 0 hangs in its last step.
  if (s.team != nullptr) fit.progress.interval = 1;
  if (s.clip_norm > 0) fit.clip_norm = s.clip_norm;
  std::int64_t resumed_at = -1;
  DevScores scores(model, language, std::move(dev_pairs), s);
  // After the checkpoint was found to fit.
  xp::LambdaCallback writer({.on_train_begin = [&](xp::Run& run) {
    resumed_at = run.resumed() ? run.step() : -1;
    if (lead) save_language(s.folder, language, options);
  }});
  fit.callbacks = {&writer, &scores};
  std::optional<xp::EarlyStopping> stopping;
  if (s.patience > 0 && !last) {
    stopping.emplace(
        xp::EarlyStopping::Options{.monitor = s.best, .patience = s.patience, .mode = mode});
    fit.callbacks.push_back(&*stopping);
  }
  std::optional<xp::TensorBoard> board;
  if (!s.tensorboard.empty()) {
    board.emplace(xp::TensorBoard::Options{.log_dir = s.tensorboard});
    fit.callbacks.push_back(&*board);
  }

  Work work;
  const auto step = step_with(s.label_smoothing);
  const auto begin = std::chrono::steady_clock::now();
  const xp::History history = xp::fit(
      params, *optimizer, batches,
      [&](xp::Tape<float>& tape, const Batch& b) {
        work.add(options, b);
        return step(tape, b);
      },
      fit);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (lead) write_log(s.folder, history, s.score_every);
  if (history.interrupted) {
    console::print(std::string("interrupted; the same command with --resume goes on") +
                   (std::filesystem::exists(checkpoints.best_file())
                        ? ", and translate uses the best weights so far"
                        : "") +
                   "\n");
    return;
  }
  work.tokens = console::summed(s.team, work.tokens);
  work.flops = console::summed(s.team, work.flops);
  if (!lead) return;
  if (!last && checkpoints.restore_best(params, *optimizer)) optimizer->finalize(params);
  xp::save(params, weights_file(s.folder));
  Card card{.origin = {},
            .options = s.configuration,
            .scores = tell_best(history, last ? "" : s.best, mode)};
  card.origin.push_back("It was trained on " + console::counted(examples.size(), "pair") + " of " +
                        s.train + ", and chosen by " + std::to_string(dev_examples.size()) +
                        " pairs of " + (s.dev.empty() ? "the same file" : s.dev) + ".");
  if (from) card.origin.push_back("It began with the weights of " + s.init + ".");
  write_card(s.folder, language, options, static_cast<std::size_t>(weights), card);
  if (resumed_at >= 0 && work.tokens == 0) {
    console::print("this training was finished before, after epoch " +
                   std::to_string(history.epochs().size()) +
                   (rate_needs_epochs(s) || history.stopped ? "" : "; more --epochs go on") + "\n");
    return;
  }
  console::print_format("%.1f s, %.0f target tokens/s, %.1f GFLOP/s\n", seconds,
                        work.tokens / seconds, work.flops / seconds * 1e-9);
  console::print("the model is in " + s.folder + "; try: seq2seq translate " + s.folder + "\n");
}

}  // namespace seq2seq
