// The options of seq2seq train.

#include "settings.hpp"
#include "../configuration.hpp"
#include "checks.hpp"

namespace seq2seq {

namespace {

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
      ->group(group);
  app.add_option("--dev-split", s.dev_split,
                 "fraction of the training pairs to choose by, instead of --dev; pairs with one "
                 "source stay together")
      ->check(kRate)
      ->group(group);
  app.add_option("--columns", s.columns,
                 "names of the columns with source, target and other targets, in files .csv, which "
                 "have a header; default: the first two")
      ->delimiter(',')
      ->group(group);
  app.add_option("--model", s.folder, "folder for the model; made if it is not there")
      ->required()
      ->check(console::not_empty())
      ->group(group);
  const CLI::IsMember kinds({"chars", "space", "sentencepiece"});
  app.add_option(
         "--source-tokens", s.source_tokens,
         "what the source consists of: chars, space for tokens between spaces, or sentencepiece "
         "for subwords of plain text; <unk> is an unknown token, while <pad>, <start> and <end> "
         "are words like others")
      ->check(kinds)
      ->capture_default_str()
      ->group(group);
  app.add_option("--target-tokens", s.target_tokens, "the same for the target")
      ->check(kinds)
      ->capture_default_str()
      ->group(group);
  app.add_option("--subwords", s.subwords.size, "pieces of a model of subwords at most")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--subword-kind", s.subwords.kind, "how pieces are chosen: unigram or bpe")
      ->check(CLI::IsMember({"unigram", "bpe"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--subword-coverage", s.subwords.coverage,
                 "share of the characters that have a piece; 1 for small alphabets")
      ->check(console::Real(0.9, 1))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--joint-subwords", s.joint_subwords,
               "one model of subwords for source and target; --tying all implies it")
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
  app.add_option("--init", s.init,
                 "folder of a model to begin with: its weights where they fit, its tokens and new "
                 "ones, and its options of this group but initial values, where none are given")
      ->group(group);
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
  app.add_option(
         "--shards", s.shards,
         "parts of a step, one after the other, or shared by the ranks of mpirun: less memory "
         "of each; a part of the result")
      ->check(console::Whole(1, 1048576))
      ->capture_default_str()
      ->group(group);
  app.add_option("--accumulate", s.accumulate, "batches whose gradients make one update")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_option("--learning-rate", s.learning_rate, "highest learning rate")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_option("--schedule", s.schedule,
                 "of the rate after the warm-up: constant, cosine, restarts (of cosines), noam, "
                 "exponential, inverse-time, polynomial, piecewise")
      ->check(CLI::IsMember({"constant", "cosine", "restarts", "noam", "exponential",
                             "inverse-time", "polynomial", "piecewise"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--warmup", s.warmup, "steps in which the rate grows from 0")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--final-rate", s.final_rate,
                 "fraction of the rate that cosines and a polynomial end with")
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
  app.add_option("--freeze", s.freeze,
                 "paths of layers that stay as they are, as encoder/0,source_embedding")
      ->delimiter(',')
      ->group(group);
  app.add_option("--seed", s.seed, "of initial weights, order of the data and dropout")
      ->check(kSeed)
      ->capture_default_str()
      ->group(group);
}

void add_optimizer(CLI::App& app, TrainSettings& s) {
  const char* group = "Optimizer";
  app.add_option("--optimizer", s.optimizer, "the formula of an update")
      ->check(CLI::IsMember(optimizer_names()))
      ->capture_default_str()
      ->group(group);
  const auto number = [&](const char* name, std::optional<double>& value, const char* what) {
    app.add_option(name, value, std::string(what) + "; default: the formula's own")
        ->check(kNotNegative)
        ->group(group);
  };
  number("--beta-1", s.beta_1, "decay of the mean of gradients");
  number("--beta-2", s.beta_2, "decay of the mean of their squares");
  number("--epsilon", s.epsilon, "what is added to a divisor");
  number("--momentum", s.momentum, "of sgd and rmsprop");
  number("--rho", s.rho, "decay of the squares, of rmsprop and adadelta");
  app.add_flag("--nesterov", s.nesterov, "of sgd")->group(group);
  app.add_flag("--amsgrad", s.amsgrad, "of adam and adamw")->group(group);
  app.add_flag("--centered", s.centered, "of rmsprop")->group(group);
  app.add_option("--weight-decay", s.weight_decay,
                 "fraction of the weights lost in an update, times the rate; not of biases and "
                 "normalizations")
      ->check(kNotNegative)
      ->capture_default_str()
      ->group(group);
}

void add_schedule(CLI::App& app, TrainSettings& s) {
  const char* group = "Schedule";
  app.add_option("--decay-steps", s.decay_steps,
                 "steps of a decay, or of the first cosine of restarts; 0: to the last step")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--decay-rate", s.decay_rate,
                 "exponential: the factor in --decay-steps; inverse-time: 1 / (1 + this)")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--staircase", s.staircase, "these two decay in steps")->group(group);
  app.add_option("--power", s.power, "of a polynomial")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--cycle", s.cycle, "a polynomial begins again")->group(group);
  app.add_option("--restart-length", s.restart_length, "factor of each cosine's length")
      ->check(console::Real(1))
      ->capture_default_str()
      ->group(group);
  app.add_option("--restart-height", s.restart_height, "factor of each cosine's height")
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_option("--boundaries", s.boundaries, "piecewise: steps after which the rate changes")
      ->check(kCount)
      ->delimiter(',')
      ->group(group);
  app.add_option("--factors", s.factors, "piecewise: factors of the rate after each boundary")
      ->check(kNotNegative)
      ->delimiter(',')
      ->group(group);
}

void add_run(CLI::App& app, TrainSettings& s) {
  const char* group = "Run";
  app.add_option(
         "--best", s.best,
         "what chooses the weights: val_loss, val_wer, val_per, val_exact, val_bleu (of tokens), "
         "val_sacrebleu, val_chrf (of text), or last")
      ->check(CLI::IsMember({"val_loss", "val_wer", "val_per", "val_exact", "val_bleu",
                             "val_sacrebleu", "val_chrf", "last"}))
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
  app.add_option("--length-factor", s.length_factor,
                 "limit of the tokens written for a dev pair: this times those read, plus 10; "
                 "0: none")
      ->check(kNotNegative)
      ->capture_default_str()
      ->group(group);
  app.add_option("--save-steps", s.save_steps,
                 "save also after every so many steps; 0: each epoch only")
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--keep", s.keep, "newest checkpoints that stay, beside the best")
      ->check(kCount)
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
  CLI::Option* const resume =
      app.add_flag("--resume", s.resume, "go on where a run into --model stopped")->group(group);
  app.add_flag("--overwrite", s.overwrite, "replace the model that is there")
      ->excludes(resume)
      ->group(group);
}

}  // namespace

void add_options(CLI::App& app, TrainSettings& s) {
  add_data(app, s);
  add_model(app, s);
  add_training(app, s);
  add_optimizer(app, s);
  add_schedule(app, s);
  add_run(app, s);
  // The files' contents are compared instead of their paths.
  static const std::set<std::string> free{
      "--train",  "--dev",       "--model",      "--patience",    "--record",
      "--resume", "--overwrite", "--save-steps", "--tensorboard", "--keep"};
  app.footer(free_options_text(free, "; --epochs too, unless --schedule decays to the last step"));
  app.final_callback([&app, &s] {
    s.configuration = configuration_of(app, free);
    for (const CLI::Option* option : app.get_options()) {
      if (!option->results().empty()) s.given.insert(option->get_name());
    }
  });
}

}  // namespace seq2seq
