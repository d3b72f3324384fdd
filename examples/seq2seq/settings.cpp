#include "settings.hpp"

#include "../command_line.hpp"
#include "../configuration.hpp"

namespace seq2seq {

namespace {

const console::Real kRate(0, 1);
const console::Real kPositive(0, std::numeric_limits<double>::max(), true);
const console::Real kNotNegative(0);
const console::Whole kCount(1, 1000000000);
const console::Whole kNone(0, 1000000000);
const console::Whole kSeed(0);

/// Checks for a name that `T` knows.
template <class T> CLI::Validator known() {
  return CLI::Validator(
      [](const std::string& text) {
        try {
          static_cast<void>(T(text));
          return std::string();
        } catch (const xp::Error& e) {
          const std::string why = e.what();
          return why.substr(0, why.rfind("; or pass"));
        }
      },
      "NAME");
}

void add_data(CLI::App& app, TrainSettings& s) {
  const char* group = "Data";
  app.add_option("--train", s.train,
                 "pairs to learn from: source<TAB>target, one per line (.gz too)")
      ->required()
      ->group(group);
  app.add_option("--dev", s.dev,
                 "pairs to choose the best weights by; further columns: other targets")
      ->required()
      ->group(group);
  app.add_option("--model", s.folder, "folder for the model; made if it is not there")
      ->required()
      ->group(group);
  const CLI::IsMember kinds({"chars", "space"});
  app.add_option(
         "--source-tokens", s.source_tokens,
         "what the source consists of: chars, or space for tokens between spaces; <unk> is an "
         "unknown token, while <pad>, <start> and <end> are words like others")
      ->check(kinds)
      ->capture_default_str()
      ->group(group);
  app.add_option("--target-tokens", s.target_tokens, "the same for the target")
      ->check(kinds)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--lowercase", s.lowercase, "turn everything into lower case")->group(group);
  app.add_flag("--source-ends", s.source_ends, "read a start and an end around each source")
      ->group(group);
  app.add_option("--min-frequency", s.min_frequency, "rarer tokens are unknown ones")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--limit", s.limit, "use only the first pairs of the training file; 0: all")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
}

void add_model(CLI::App& app, TrainSettings& s) {
  const char* group = "Model";
  app.add_option("--layers", s.layers, "layers of the encoder, and of the decoder")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--decoder-layers", s.decoder_layers,
                 "layers of the decoder, if not as many as --layers")
      ->check(kCount)
      ->group(group);
  app.add_option("--width", s.width, "width of the vectors, a multiple of --heads")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--heads", s.heads, "attention heads")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--hidden", s.hidden, "width inside the feed-forward parts")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--dropout", s.dropout, "rate everywhere where none is given by itself")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--embedding-dropout", s.embedding_dropout, "rate on the input vectors")
      ->check(kRate)
      ->group(group);
  app.add_option("--attention-dropout", s.attention_dropout, "rate on attention's probabilities")
      ->check(kRate)
      ->group(group);
  app.add_option("--activation-dropout", s.activation_dropout, "rate inside the feed-forward parts")
      ->check(kRate)
      ->group(group);
  app.add_option("--norm", s.norm, "normalization before (pre) or after (post) each part")
      ->check(CLI::IsMember({"pre", "post"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--positions", s.positions, "how positions are told")
      ->check(CLI::IsMember({"sine", "learned", "rotary", "none"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--activation", s.activation, "of the feed-forward parts: relu, gelu, silu, ...")
      ->check(known<xp::Activation<float>>())
      ->capture_default_str()
      ->group(group);
  app.add_option("--tying", s.tying,
                 "tables that are one: none, output (target and output layer), all (source too)")
      ->check(CLI::IsMember({"none", "output", "all"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--max-length", s.max_length,
                 "longest sentence in tokens; longer pairs are left out, of the scores too")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--no-scaling", s.no_scaling, "embeddings are not multiplied by sqrt(width)")
      ->group(group);
  app.add_flag("--no-bias", s.no_bias, "no biases")->group(group);
  app.add_option("--kernels", s.kernels,
                 "initial weights of layers: glorot_uniform, glorot_normal, ...")
      ->check(known<xp::Initializer>())
      ->capture_default_str()
      ->group(group);
  app.add_option("--embeddings", s.embeddings,
                 "initial embeddings; default: normal, variance 1/width")
      ->check(known<xp::Initializer>())
      ->group(group);
}

void add_training(CLI::App& app, TrainSettings& s) {
  const char* group = "Training";
  app.add_option("--epochs", s.epochs, "how often to go over the pairs")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--batch-size", s.batch_size, "pairs per step, of similar lengths")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--max-tokens", s.max_tokens,
                 "limit of tokens per step, padding included; 0: none")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--shards", s.shards,
                 "parts of a step, one after the other: less memory; a part of the result")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--optimizer", s.optimizer, "adam or adamw")
      ->check(CLI::IsMember({"adam", "adamw"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--learning-rate", s.learning_rate, "highest learning rate")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_option("--beta-1", s.beta_1, "of Adam")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--beta-2", s.beta_2, "of Adam")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--epsilon", s.epsilon, "of Adam")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_option("--weight-decay", s.weight_decay, "of adamw")
      ->check(kNotNegative)
      ->capture_default_str()
      ->group(group);
  app.add_option("--schedule", s.schedule, "of the rate after the warm-up: constant, cosine, noam")
      ->check(CLI::IsMember({"constant", "cosine", "noam"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--warmup", s.warmup, "steps in which the rate grows from 0")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--final-rate", s.final_rate, "fraction of the rate that a cosine ends with")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--clip-norm", s.clip_norm, "limit of the gradients' norm; 0: none")
      ->check(kNotNegative)
      ->capture_default_str()
      ->group(group);
  app.add_option("--label-smoothing", s.label_smoothing, "spread over the vocabulary")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--ema", s.ema, "momentum of an average of the weights, used in the end; 0: none")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--seed", s.seed, "of initial weights, order of the data and dropout")
      ->check(kSeed)
      ->capture_default_str()
      ->group(group);
}

void add_run(CLI::App& app, TrainSettings& s) {
  const char* group = "Run";
  app.add_option(
         "--best", s.best,
         "what chooses the weights: val_loss, val_wer, val_per, val_exact, val_bleu, or last")
      ->check(CLI::IsMember({"val_loss", "val_wer", "val_per", "val_exact", "val_bleu", "last"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--patience", s.patience,
                 "stop after so many epochs without a better one; 0: never")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--score-every", s.score_every,
                 "translate the dev pairs after every so many epochs, and show one; 0: never")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--save-steps", s.save_steps,
                 "save also after every so many steps; 0: each epoch only")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--tensorboard", s.tensorboard, "folder for TensorBoard's event files")
      ->group(group);
  app.add_flag("--batch-loss", s.batch_loss,
               "report the loss also as a mean over batches, not tokens, as some publications do")
      ->group(group);
  app.add_option("--record", s.record,
                 "folder for the initial weights and the first epoch's batches, for other programs")
      ->group(group);
  app.add_flag("--resume", s.resume, "go on where a run into --model stopped")->group(group);
  app.add_flag("--overwrite", s.overwrite, "replace the model that is there")->group(group);
}

void add_decoding(CLI::App& app, DecodeSettings& s) {
  const char* group = "Decoding";
  app.add_option("--beam", s.beam, "hypotheses kept; 1: the most probable token each time")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--length-penalty", s.length_penalty, "of beams; 0: none")
      ->check(console::Real(-1000, 1000))
      ->capture_default_str()
      ->group(group);
  app.add_option("--max-length", s.max_length, "tokens at most; 0: what the model was trained for")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--batch-size", s.batch, "sentences at once")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--crop", s.crop, "cut sources that are longer than the model was trained for")
      ->group(group);
}

}  // namespace

void add_options(CLI::App& app, TrainSettings& s) {
  add_data(app, s);
  add_model(app, s);
  add_training(app, s);
  add_run(app, s);
  // The files' contents are compared instead of their paths.
  static const std::set<std::string> free{
      "--train",  "--dev",       "--model",      "--patience",    "--record",
      "--resume", "--overwrite", "--save-steps", "--score-every", "--tensorboard"};
  app.footer(free_options_text(free, "; --epochs too, unless --schedule is cosine"));
  app.final_callback([&app, &s] { s.configuration = configuration_of(app, free); });
}

void add_options(CLI::App& app, TranslateSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  app.add_option("input", s.input, "file of sentences, one per line; -: standard input")
      ->capture_default_str();
  app.add_flag("--scores", s.scores, "write the score and a tab before each translation");
  add_decoding(app, s.decode);
  const char* group = "Decoding";
  app.add_option("--n-best", s.decode.n_best,
                 "translations of each sentence, with --beam or --sample")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--sample", s.decode.sample, "draw tokens by their probabilities")->group(group);
  app.add_option("--temperature", s.decode.temperature, "of samples: below 1 is more cautious")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_option("--top-k", s.decode.top_k, "draw among so many tokens; 0: all")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--top-p", s.decode.top_p, "draw among tokens that together have this probability")
      ->check(kRate)
      ->capture_default_str()
      ->group(group);
  app.add_option("--seed", s.decode.seed, "of samples")
      ->check(kSeed)
      ->capture_default_str()
      ->group(group);
  app.footer(
      "Each line of the input gives --n-best lines of the output. They are empty for a line that "
      "cannot be translated: one that is too long, or no UTF-8. Standard error names such lines, "
      "and "
      "the exit status is then 1. A score of -inf belongs to no translation.");
}

void add_options(CLI::App& app, EvaluateSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  app.add_option("file", s.file, "pairs source<TAB>target[<TAB>other target...]")->required();
  app.add_option("--json", s.json, "write the figures to this file too");
  app.add_option("--show", s.show, "show so many wrong translations")
      ->check(kNone)
      ->capture_default_str();
  app.add_option("--too-long", s.too_long,
                 "pairs with a source longer than the model was trained for: wrong, or leave-out")
      ->check(CLI::IsMember({"wrong", "leave-out"}))
      ->capture_default_str();
  add_decoding(app, s.decode);
  app.footer(
      "WER, PER and BLEU are of the model's tokens. Case counts, unless the model was trained with "
      "--lowercase.");
}

void add_options(CLI::App& app, InspectSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  app.add_option("--sentence", s.sentence, "translate it, and draw where the decoder looked");
  app.add_option("--picture", s.picture, "where to draw that (SVG)")->capture_default_str();
}

std::unique_ptr<xp::Optimizer<float>> make_optimizer(const TrainSettings& s, std::int64_t steps) {
  namespace schedules = xp::schedules;
  xp::Schedule rate = s.learning_rate;
  if (s.schedule == "noam") {
    rate = schedules::Noam{.d_model = s.width,
                           .warmup_steps = std::max<std::int64_t>(1, s.warmup),
                           .factor = s.learning_rate};
  } else if (s.schedule == "cosine") {
    rate = schedules::LinearWarmup{
        .steps = s.warmup,
        .then = schedules::CosineDecay{.initial_learning_rate = s.learning_rate,
                                       .decay_steps = std::max<std::int64_t>(1, steps - s.warmup),
                                       .alpha = s.final_rate}};
  } else if (s.warmup > 0) {
    rate = schedules::LinearWarmup{.steps = s.warmup, .then = s.learning_rate};
  }
  xp::OptimizerOptions common;
  if (s.ema > 0) {
    common.use_ema = true;
    common.ema_momentum = s.ema;
  }
  if (s.optimizer == "adamw") {
    common.exclude_from_weight_decay = {"bias$", "norm", "beta$", "gamma$"};
    return std::make_unique<xp::AdamW<float>>(
        xp::AdamW<float>::Options{.learning_rate = rate,
                                  .beta_1 = s.beta_1,
                                  .beta_2 = s.beta_2,
                                  .epsilon = s.epsilon,
                                  .weight_decay = s.weight_decay},
        common);
  }
  return std::make_unique<xp::Adam<float>>(
      xp::Adam<float>::Options{
          .learning_rate = rate, .beta_1 = s.beta_1, .beta_2 = s.beta_2, .epsilon = s.epsilon},
      common);
}

}  // namespace seq2seq
