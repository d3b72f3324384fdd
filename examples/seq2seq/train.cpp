// seq2seq train: trains a model on a file of pairs.

#include "../console.hpp"
#include "../ranks.hpp"
#include "card.hpp"
#include "corpus.hpp"
#include "decode.hpp"
#include "material.hpp"
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
  double tokens = 0, flops = 0, seconds = 0;

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

/// Returns the epoch whose weights stay, counted from 1: the best one as fit has it, for which NaN is never better, or
/// the last without a monitor.
std::size_t epoch_of_weights(const xp::History& history, const std::string& monitor,
                             xp::MonitorMode mode) {
  const std::size_t last = history.epochs().size();
  if (last == 0 || monitor.empty()) return last;
  const std::vector<double>& values = history[monitor];
  std::size_t best = 0;
  for (std::size_t i = 1; i < values.size(); ++i) {
    const bool better =
        mode == xp::MonitorMode::max ? values[i] > values[best] : values[i] < values[best];
    if (better || (std::isnan(values[best]) && !std::isnan(values[i]))) best = i;
  }
  return std::isnan(values[best]) ? last : best + 1;
}

/// Tells the figures of the epoch whose weights are saved: the best one, or the last. Returns them.
std::string tell_best(const xp::History& history, std::size_t epoch, std::int64_t score_every) {
  if (epoch == 0) return {};
  std::string figures;
  for (const auto& [name, given] : history.columns()) {
    const std::vector<double> values = by_epoch(history, given, score_every);
    if (!name.starts_with("val_") || values.size() < epoch) continue;
    if (given.size() < values.size() && std::isnan(values[epoch - 1])) continue;  // not scored
    char text[64];
    std::snprintf(text, sizeof text, "%s%s %.4f", figures.empty() ? "" : ", ", name.c_str(),
                  values[epoch - 1]);
    figures += text;
  }
  console::print("the weights are those of epoch " + std::to_string(epoch) + ": " + figures + "\n");
  return figures + " (epoch " + std::to_string(epoch) + ")";
}

/// One training: what it starts from, its run, and what is left in the folder.
class Training {
 public:
  Training(const TrainSettings& s, const Bundle* from);
  void run();

 private:
  void open_folder();
  void tell_size() const;
  void write_record() const;
  [[nodiscard]] xp::StepResult<float> step(xp::Tape<float>& tape, const Batch& b, double smoothing);
  [[nodiscard]] xp::FitOptions<float> fit_options();
  void tell_interrupted() const;
  void finish(const xp::History& history);
  [[nodiscard]] bool keeps_best() const { return s_.best != "last"; }
  [[nodiscard]] xp::MonitorMode mode() const {
    return rises(s_.best) ? xp::MonitorMode::max : xp::MonitorMode::min;
  }

  const TrainSettings& s_;
  const bool lead_, warm_;
  const Material material_;
  xp::Params<float> params_;
  const xp::Seq2Seq<float> model_;
  const xp::Batches<Batch> batches_, dev_batches_;
  const std::unique_ptr<xp::Optimizer<float>> optimizer_;
  std::optional<xp::Checkpoints> checkpoints_;  // makes the folder: after all that may be refused
  std::size_t weights_ = 0;
  xp::Mean batch_loss_{"batch_loss"};
  Work work_;
  std::int64_t resumed_at_ = -1;
};

Training::Training(const TrainSettings& s, const Bundle* from)
    : s_(s),
      lead_(console::leads(s.team)),
      warm_(from != nullptr),
      material_(read_material(s, from == nullptr ? nullptr : &from->language)),
      params_({.seed = s.seed}),
      model_(params_.scope(), material_.options),
      batches_(batches_of(material_.examples(material_.pairs), material_.language,
                          {.batch_size = s.batch_size,
                           .max_tokens = s.max_tokens,
                           .seed = s.seed,
                           .bucket_window = 50 * s.batch_size})),
      dev_batches_(batches_of(material_.examples(material_.dev_pairs), material_.language,
                              {.batch_size = 128, .shuffle = false, .bucket_window = 128000})),
      optimizer_(make_optimizer(s, s.epochs * static_cast<std::int64_t>(batches_.steps(0)))) {
  model_.build();
  if (warm_) take_weights(*from, s.init, params_);
  freeze(s.freeze, params_);
  for (const auto& p : params_.all()) weights_ += p.value().size();
  checkpoints_.emplace(checkpoints_folder(s.folder), xp::CheckpointsOptions{.keep = s.keep});
}

void Training::open_folder() {
  checkpoints_->lock();
  check_settings(s_);  // another process may have trained here meanwhile
  for (const std::string& path : files_of(s_.folder)) xp::remove_temporaries(path);
  if (!s_.resume) clear_folder(s_.folder, *checkpoints_);
}

void Training::tell_size() const {
  const Language& language = material_.language;
  console::print(console::counted(material_.pairs.size(), "pair") + ", " +
                 std::to_string(material_.dev_pairs.size()) + " of dev; " +
                 std::to_string(language.source.size()) + " and " +
                 std::to_string(language.target.size()) + " tokens; " + std::to_string(weights_) +
                 " weights; " + console::counted(batches_.steps(0), "step") + " per epoch\n");
  if (xp::default_products() != xp::Products::float32) {
    console::print("products: " + xp::describe(xp::default_products()) + "\n");
  }
  const std::int64_t steps = s_.epochs * static_cast<std::int64_t>(batches_.steps(0));
  if (s_.warmup >= steps && s_.schedule != "noam") {
    console::print("the training has " + console::counted(static_cast<std::size_t>(steps), "step") +
                   " and --warmup " + std::to_string(s_.warmup) +
                   ": the learning rate does not reach its full value\n");
  }
  console::flush();
}

/// Writes the first weights and all batches, for a comparison with another program.
void Training::write_record() const {
  std::error_code failed;  // the next write reports it with the path
  std::filesystem::create_directories(s_.record, failed);
  xp::save(params_, s_.record + "/initial.safetensors");
  write_batches(batches_, s_.record + "/train.jsonl");
  write_batches(dev_batches_, s_.record + "/dev.jsonl");
}

xp::StepResult<float> Training::step(xp::Tape<float>& tape, const Batch& b, double smoothing) {
  auto loss = model_.loss(tape.input(b.source), b.source_mask, tape.input(b.target_in),
                          b.target_out, {.label_smoothing = smoothing});
  if (s_.batch_loss) batch_loss_.update(loss.item());
  return {std::move(loss), b.tokens, b.tokens};
}

xp::FitOptions<float> Training::fit_options() {
  xp::FitOptions<float> fit{
      .epochs = s_.epochs,
      .validation = {dev_batches_,
                     [this](xp::Tape<float>& tape, const Batch& b) { return step(tape, b, 0); }},
      .seed = s_.seed,
      .checkpoints = &*checkpoints_,
      .save_steps = s_.save_steps,
      .best_monitor = keeps_best() ? s_.best : "",
      .best_mode = mode(),
      .resume = s_.resume,
      .configuration = configuration(s_, material_.language, material_.pairs, material_.dev_pairs),
      .shards = s_.shards,
      .team = s_.team};
  fit.message = [](const std::string& text) {
    console::print(console::shortened(text) + "\n");
    console::flush();
  };
  if (s_.batch_loss) fit.metrics = {&batch_loss_};
  // After Ctrl-C mpirun takes no output while it waits: little may be written, or rank 0 hangs in its last step.
  if (s_.team != nullptr) fit.progress.interval = 1;
  if (s_.clip_norm > 0) fit.clip_norm = s_.clip_norm;
  return fit;
}

void Training::run() {
  if (lead_) open_folder();
  tell_size();
  if (!s_.record.empty() && lead_) write_record();

  DevScores scores(model_, material_.language, material_.dev_pairs, s_);
  // After the checkpoint was found to fit.
  xp::LambdaCallback writer({.on_train_begin = [this](xp::Run& run) {
    resumed_at_ = run.resumed() ? run.step() : -1;
    if (lead_) save_language(s_.folder, material_.language, material_.options);
  }});
  const xp::StopSignals signals({.also = {SIGUSR1}});  // which mpirun and Slurm pass on
  xp::FitOptions<float> fit = fit_options();
  fit.signals = &signals;
  fit.callbacks = {&writer, &scores};
  std::optional<xp::EarlyStopping> stopping;
  if (s_.patience > 0 && keeps_best()) {
    stopping.emplace(
        xp::EarlyStopping::Options{.monitor = s_.best, .patience = s_.patience, .mode = mode()});
    fit.callbacks.push_back(&*stopping);
  }
  std::optional<xp::TensorBoard> board;
  if (!s_.tensorboard.empty()) {
    board.emplace(xp::TensorBoard::Options{.log_dir = s_.tensorboard});
    fit.callbacks.push_back(&*board);
  }

  const auto begin = std::chrono::steady_clock::now();
  const xp::History history = xp::fit(
      params_, *optimizer_, batches_,
      [this](xp::Tape<float>& tape, const Batch& b) {
        work_.add(material_.options, b);
        return step(tape, b, s_.label_smoothing);
      },
      fit);
  work_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (lead_) write_log(s_.folder, history, s_.score_every);
  if (history.interrupted) return tell_interrupted();
  work_.tokens = console::summed(s_.team, work_.tokens);
  work_.flops = console::summed(s_.team, work_.flops);
  if (lead_) finish(history);
}

void Training::tell_interrupted() const {
  console::print(std::string("interrupted; the same command with --resume goes on") +
                 (std::filesystem::exists(checkpoints_->best_file())
                      ? ", and translate uses the best weights so far"
                      : "") +
                 "\n");
}

void Training::finish(const xp::History& history) {
  const std::size_t epoch = epoch_of_weights(history, keeps_best() ? s_.best : "", mode());
  if (epoch > 0 && !std::isfinite(history["val_loss"][epoch - 1])) {
    throw xp::NonFiniteError(s_.folder +
                             ": the weights are of no use: the loss on the dev pairs is " +
                             std::to_string(history["val_loss"][epoch - 1]) +
                             ", expected a number; nothing was saved, lower --learning-rate");
  }
  if (keeps_best() && checkpoints_->restore_best(params_, *optimizer_)) {
    optimizer_->finalize(params_);
  }
  xp::save(params_, weights_file(s_.folder));
  Card card{.origin = {},
            .options = options_of_run(s_),
            .scores = tell_best(history, epoch, s_.score_every)};
  card.origin.push_back("It was trained on " + console::counted(material_.pairs.size(), "pair") +
                        " of " + s_.train + ", and chosen by " +
                        std::to_string(material_.dev_pairs.size()) + " pairs of " +
                        (s_.dev.empty() ? "the same file" : s_.dev) + ".");
  if (warm_) card.origin.push_back("It began with the weights of " + s_.init + ".");
  write_card(s_.folder, material_.language, material_.options, weights_, card);
  if (resumed_at_ >= 0 && work_.tokens == 0) {
    console::print("this training was finished before, after epoch " +
                   std::to_string(history.epochs().size()) +
                   (rate_needs_epochs(s_) || history.stopped ? "" : "; more --epochs go on") +
                   "\n");
    return;
  }
  console::print_format("%.1f s, %.0f target tokens/s, %.1f GFLOP/s\n", work_.seconds,
                        work_.tokens / work_.seconds, work_.flops / work_.seconds * 1e-9);
  console::print("the model is in " + s_.folder + "; try: seq2seq translate " + s_.folder + "\n");
}

}  // namespace

void train(const TrainSettings& given) {
  console::need_shards(given.team, given.shards);
  if (console::leads(given.team)) check_settings(given);
  if (given.init.empty()) return Training(given, nullptr).run();
  const Bundle from = load_bundle(given.init);
  need_same_model(given.team, given.init, from);
  const TrainSettings s = inherited(given, from);
  check_subwords(s, &from.language);
  Training(s, &from).run();
}

}  // namespace seq2seq
