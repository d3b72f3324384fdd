#pragma once
// The options of the commands of the program seq2seq.

#include "subwords.hpp"

#include <CLI/CLI.hpp>
#include <xtape/xtape.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace seq2seq {

namespace xp = xtape;

/// Options of `train`.
struct TrainSettings {
  std::string train, dev, folder;
  std::string init;                  // folder of a model to begin with
  std::vector<std::string> freeze;   // paths of layers
  double dev_split = 0;              // fraction of the training pairs; 0: there is a dev file
  std::vector<std::string> columns;  // of files with a header
  std::string source_tokens = "chars", target_tokens = "chars";
  SubwordOptions subwords;
  bool joint_subwords = false;  // one model of subwords for both sides
  bool lowercase = false, source_ends = false;
  std::size_t min_frequency = 1;
  std::int64_t limit = 0;  // the first pairs to use; 0: all

  int layers = 2, width = 128, heads = 4, hidden = 256;
  std::optional<int> decoder_layers;  // default: as many as the encoder
  double dropout = 0.1;
  std::optional<double> embedding_dropout, attention_dropout, activation_dropout;
  std::string norm = "pre", positions = "sine", activation = "relu", tying = "none";
  int max_length = 256;  // tokens of a sentence
  bool no_scaling = false, no_bias = false;
  std::string kernels = "glorot_uniform", embeddings, biases = "zeros";

  std::string optimizer = "adam";
  double learning_rate = 1e-3, weight_decay = 0;
  std::optional<double> beta_1, beta_2, epsilon, momentum, rho;  // default: the optimizer's
  bool nesterov = false, amsgrad = false, centered = false;
  std::int64_t accumulate = 1;  // batches of an update
  std::string schedule = "cosine";
  std::int64_t warmup = 100;
  double final_rate = 0.02;
  std::int64_t decay_steps = 0;  // 0: those of the whole training
  double decay_rate = 0.5, power = 1, restart_length = 2, restart_height = 1;
  bool staircase = false, cycle = false;
  std::vector<std::int64_t> boundaries;  // of piecewise rates
  std::vector<double> factors;
  double clip_norm = 1.0;
  double label_smoothing = 0.0;
  double ema = 0;  // 0: no average of the weights
  std::int64_t epochs = 20;
  std::size_t batch_size = 64, max_tokens = 0;
  std::int64_t shards = 1;
  std::uint64_t seed = 1;

  std::string best = "val_loss";
  std::int64_t patience = 0;
  std::int64_t score_every = 1;  // epochs between translations of the whole dev set; 0: never
  double length_factor = 0;      // of translations while training
  std::int64_t save_steps = 0;
  std::size_t keep = 2;  // checkpoints
  std::string tensorboard, record;
  bool batch_loss = false;  // reports the mean over batches too
  bool resume = false, overwrite = false;
  xp::Team* team = nullptr;  // of ranks that share each step; null if alone
  /// The values of the options that a resumed run must have, by name.
  std::map<std::string, std::string> configuration;
  /// The names of the options that were given.
  std::set<std::string> given;
};

/// Decoding options of `translate` and `evaluate`.
struct DecodeSettings {
  std::size_t beam = 1, n_best = 1, max_length = 0;
  double length_penalty = 0.6;
  bool sample = false;
  double temperature = 1.0, top_p = 1.0;
  std::size_t top_k = 0;
  std::uint64_t seed = 0;
  std::size_t batch = 64;
  bool crop = false;  // cuts sources that are too long
  bool allow_unknown = false, attention = false;
  double length_factor = 0;  // tokens written for a token read; 0: no limit
  xp::Team* team = nullptr;  // of ranks that share the sentences; null if alone
  std::function<bool(const xp::WrittenToken&)> on_token = {};  // as of xtape::DecodingOptions
};

struct TranslateSettings {
  std::string folder, input = "-";
  std::vector<std::string> ensemble;  // folders of further models
  std::string alignment;              // file
  bool scores = false, json = false;
  DecodeSettings decode;
};

struct EvaluateSettings {
  std::vector<std::string> columns;
  std::vector<std::string> ensemble;  // folders of further models
  std::string folder, file, json, too_long = "wrong";
  std::int64_t show = 0;
  DecodeSettings decode;
};

struct InspectSettings {
  std::string folder, sentence, picture = "attention.svg";
};

/// Options of `serve`.
struct ServeSettings {
  std::string folder, address = "127.0.0.1";
  int port = 8080;      // 0: any
  double seconds = 30;  // an answer takes at most
  DecodeSettings decode{.beam = 4};
};

/// Options of `average`.
struct AverageSettings {
  std::vector<std::string> models;
  std::string folder;
  std::size_t last = 0;  // checkpoints of each model; 0: its weights
};

/// Options of `score`.
struct ScoreSettings {
  std::string translations, file, json;
  std::vector<std::string> columns;
  bool lowercase = false;
};

void add_options(CLI::App& app, TrainSettings& s);
void add_options(CLI::App& app, TranslateSettings& s);
void add_options(CLI::App& app, EvaluateSettings& s);
void add_options(CLI::App& app, InspectSettings& s);
void add_options(CLI::App& app, ScoreSettings& s);
void add_options(CLI::App& app, AverageSettings& s);
void add_options(CLI::App& app, ServeSettings& s);

/// Returns the names of the optimizers.
std::vector<std::string> optimizer_names();

/// Whether the learning rate depends on the number of epochs.
bool rate_needs_epochs(const TrainSettings& s);

/// Returns the optimizer of the settings, for this number of steps. ValueError for options that it does not have.
std::unique_ptr<xp::Optimizer<float>> make_optimizer(const TrainSettings& s, std::int64_t steps);

/// The commands, each in its own file. They throw xtape::Error.
void train(const TrainSettings& given);
/// Returns the exit status: 1 if a line could not be translated.
int translate(const TranslateSettings& s);
void evaluate(const EvaluateSettings& s);
void inspect(const InspectSettings& s);
void score(const ScoreSettings& s);
void average(const AverageSettings& s);
/// Answers until SIGINT or SIGTERM.
void serve(const ServeSettings& s);

}  // namespace seq2seq
