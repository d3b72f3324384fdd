// A language model of characters: learns to continue a text (.gz too), measures the loss, and writes.
//
//   language_model train --train text.txt --dev more.txt --model folder
//   language_model evaluate folder more.txt
//   language_model write folder --prompt "..."

#include "command_line.hpp"
#include "configuration.hpp"
#include "language_model_data.hpp"
#include "model_memory.hpp"
#include "ranks.hpp"

#include <xtape/xtape.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <memory>

namespace {

struct Settings {
  std::string train, dev, folder, file, prompt = "\n";
  int layers = 4, width = 128, heads = 4, block = 64;
  double dropout = 0.0, learning_rate = 1e-3, final_rate = 0.1, beta_2 = 0.99, weight_decay = 0.1;
  double temperature = 0.8;
  std::int64_t steps = 2000, warmup = 100, report = 500, shards = 1;
  std::size_t batch = 12, top_k = 0, length = 500;
  std::uint64_t seed = 1;
  bool resume = false, overwrite = false;
  std::map<std::string, std::string> configuration;  // what a resumed run must have
  xp::Team* team = nullptr;                          // of ranks that share each step; null if alone
};

auto step_of(const xp::LanguageModel<float>& model) {
  return [&model](xp::Tape<float>& tape, const Batch& b) {
    const auto tokens = static_cast<double>(b.read.size());
    return xp::StepResult<float>(model.loss(tape.input(b.read), b.next), tokens, tokens);
  };
}

struct Saved {
  xp::Vocabulary vocabulary = xp::Vocabulary::build({});
  xp::Params<float> params;
  std::unique_ptr<xp::LanguageModel<float>> model;
};

/// Compares what the options claim with the files, before anything of that size is made.
void check_claims(const std::string& folder, const xp::LanguageModelOptions& o,
                  const xp::Vocabulary& vocabulary, const xp::Tensors& weights) {
  const auto claim = [&](const char* option, std::size_t is, std::size_t expected,
                         const char* place) {
    if (is == expected) return;
    throw xp::FormatError(folder + "/options.json: " + option + " does not fit " + place +
                          ": it is " + std::to_string(is) + ", expected " +
                          std::to_string(expected) + "; copy the whole folder again");
  };
  const auto extent = [&](const std::string& name, std::size_t axis) {
    const auto at = weights.find(name);
    return at != weights.end() && at->second.shape.size() > axis ? at->second.shape[axis] : 0;
  };
  std::size_t layers = 0;
  while (extent("decoder/" + std::to_string(layers) + "/feed_forward/intermediate/kernel", 1) != 0)
    ++layers;
  const auto size = [](int value) { return static_cast<std::size_t>(value); };
  claim("vocabulary", size(o.vocabulary), vocabulary.size(), "vocabulary.txt");
  claim("vocabulary", size(o.vocabulary), extent("embedding/embeddings", 0), "the weights");
  claim("hidden_dim", size(o.hidden_dim), extent("embedding/embeddings", 1), "the weights");
  claim("layers", size(o.layers), layers, "the weights");
  claim("intermediate_dim", size(o.intermediate_dim),
        extent("decoder/0/feed_forward/intermediate/kernel", 1), "the weights");
  if (o.positions == xp::Positions::learned) {
    claim("max_length", size(o.max_length), extent("positions/embeddings", 0), "the weights");
  }
}

Saved load(const std::string& folder) {
  Saved saved;
  const std::string options = folder + "/options.json", weights = folder + "/weights.safetensors";
  if (!std::filesystem::exists(weights) && std::filesystem::exists(options)) {
    throw xp::IoError(weights +
                      ": no weights yet: its training was not finished, expected the file; go on "
                      "with 'language_model train' and --resume");
  }
  saved.vocabulary = xp::Vocabulary::load(folder + "/vocabulary.txt");
  const auto o =
      xp::LanguageModel<float>::from_config(whole_text(options, {.max_bytes = 1U << 20U}));
  check_claims(folder, o, saved.vocabulary, xp::read_safetensors(weights).tensors);
  saved.model = std::make_unique<xp::LanguageModel<float>>(saved.params.scope(), o);
  saved.model->build();
  xp::load(saved.params, weights);
  return saved;
}

std::string fingerprint(const std::string& text) {
  return std::to_string(text.size()) + " bytes, hash " + std::to_string(xp::stable_hash(text));
}

/// Returns the ids of a text of at least one block. `path` is for messages.
Ids long_enough(const std::string& path, const std::string& contents,
                const xp::Vocabulary& vocabulary, std::size_t block) {
  Ids text = ids_of(contents, vocabulary);
  if (text.size() <= block) {
    throw xp::ValueError(path + ": too short: it has " + std::to_string(text.size()) +
                         " characters, expected more than a block of " + std::to_string(block) +
                         "; give a longer text or a smaller --block");
  }
  return text;
}

/// Checks that the folder's contents fit --resume and --overwrite.
void check_folder(const Settings& s) {
  const bool there = std::filesystem::exists(s.folder + "/options.json");
  if (there && !s.resume && !s.overwrite) {
    throw xp::ValueError(
        s.folder +
        ": a model is here already, expected a new folder; give --resume to go on, "
        "--overwrite to replace it, or another --model");
  }
  if (!there && s.resume) {
    throw xp::ValueError(s.folder +
                         ": nothing to resume: no model is here, expected one that was being "
                         "trained; leave out --resume");
  }
}

xp::AdamW<float> optimizer_of(const Settings& s) {
  return xp::AdamW<float>(
      {.learning_rate =
           xp::schedules::LinearWarmup{
               .steps = s.warmup,
               .then = xp::schedules::CosineDecay{.initial_learning_rate = s.learning_rate,
                                                  .decay_steps =
                                                      std::max<std::int64_t>(1, s.steps - s.warmup),
                                                  .alpha = s.final_rate}},
       .beta_2 = s.beta_2,
       .weight_decay = s.weight_decay},
      {.exclude_from_weight_decay = {"norm"}});
}

/// The files of a model's folder.
struct Files {
  std::string options, words, weights;
  explicit Files(const std::string& folder)
      : options(folder + "/options.json"),
        words(folder + "/vocabulary.txt"),
        weights(folder + "/weights.safetensors") {}
};

/// Locks the folder, and removes what an earlier run left.
void open_folder(const Settings& s, const Files& files, xp::Checkpoints& checkpoints) {
  checkpoints.lock();
  check_folder(s);  // another process may have trained here meanwhile
  for (const std::string& path : {files.options, files.words, files.weights}) {
    xp::remove_temporaries(path);
  }
  if (s.resume) return;
  std::filesystem::remove(files.options);
  std::filesystem::remove(files.weights);
  checkpoints.clear();
}

/// Saves the weights, unless they are of no use.
void finish(const Settings& s, const std::string& path, const xp::Params<float>& params,
            double dev_loss, bool finished_before) {
  if (!std::isfinite(dev_loss)) {
    throw xp::NonFiniteError("train: the weights are of no use: the loss on --dev is " +
                             std::to_string(dev_loss) +
                             ", expected a number; nothing was saved, lower --learning-rate");
  }
  if (!console::leads(s.team)) return;
  xp::save(params, path);
  if (finished_before) console::print("this training was finished before\n");
  console::print_format("dev loss %.4f per character; ", dev_loss);
  console::print("the model is in " + s.folder + "\n");
}

void train(const Settings& s) {
  const bool lead = console::leads(s.team);
  console::need_shards(s.team, s.shards);
  if (lead) check_folder(s);
  const std::string train_text = console::from_lead(s.team, [&] { return whole_text(s.train); });
  const std::string dev_text = console::from_lead(s.team, [&] { return whole_text(s.dev); });
  const auto tokens = xp::tokenize(train_text, xp::TokenKind::characters);
  const auto vocabulary = xp::Vocabulary::build(std::vector<std::vector<std::string>>(1, tokens));
  const auto block = static_cast<std::size_t>(s.block);
  const Portions batches(
      anywhere(long_enough(s.train, train_text, vocabulary, block), block, s.batch, s.seed),
      s.steps, s.report);
  const auto dev = in_order(long_enough(s.dev, dev_text, vocabulary, block), block);
  check_model_memory(
      "--layers, --width, --block",
      1.0 * s.width *
          (12.0 * s.width * s.layers + s.block + static_cast<double>(vocabulary.size())),
      s.layers);
  xp::Params<float> params({.seed = s.seed});
  const xp::LanguageModel<float> model(params.scope(),
                                       {.vocabulary = static_cast<int>(vocabulary.size()),
                                        .hidden_dim = s.width,
                                        .num_heads = s.heads,
                                        .intermediate_dim = 4 * s.width,
                                        .layers = s.layers,
                                        .max_length = s.block,
                                        .dropout = s.dropout,
                                        .use_bias = false});
  model.build();
  xp::AdamW<float> optimizer = optimizer_of(s);
  const Files files(s.folder);
  xp::Checkpoints checkpoints(s.folder + "/checkpoints");
  if (lead) open_folder(s, files, checkpoints);
  std::int64_t begun_at = 0;
  // After the checkpoint was found to fit.
  xp::LambdaCallback writer({.on_train_begin = [&](xp::Run& run) {
    begun_at = run.step();
    if (!lead) return;
    vocabulary.save(files.words);
    xp::write_text(files.options, model.get_config());
  }});
  auto configuration = s.configuration;
  configuration["contents of --train"] = fingerprint(train_text);
  configuration["contents of --dev"] = fingerprint(dev_text);
  if (xp::default_products() != xp::Products::float32) {
    console::print("products: " + xp::describe(xp::default_products()) + "\n");
  }
  const xp::StopSignals signals({.also = {SIGUSR1}});  // which mpirun and Slurm pass on
  const auto history = xp::fit(params, optimizer, batches, step_of(model),
                               {.epochs = batches.count(),
                                .validation = {dev, step_of(model)},
                                .callbacks = {&writer},
                                .clip_norm = 1.0,
                                .seed = s.seed,
                                .progress = {.interval = s.team == nullptr ? 0.05 : 1},
                                .message =
                                    [](const std::string& text) {
                                      console::print(console::shortened(text) + "\n");
                                      console::flush();
                                    },
                                .checkpoints = &checkpoints,
                                .resume = s.resume,
                                .configuration = std::move(configuration),
                                .signals = &signals,
                                .shards = s.shards,
                                .team = s.team});
  if (history.interrupted) {
    console::print("interrupted; the same command with --resume goes on\n");
    return;
  }
  finish(s, files.weights, params, history["val_loss"].back(), begun_at == s.steps);
}

void evaluate(const Settings& s) {
  console::need_output();
  const Saved saved = load(s.folder);
  const auto block = static_cast<std::size_t>(saved.model->options().max_length);
  const auto batches =
      in_order(long_enough(s.file, whole_text(s.file), saved.vocabulary, block), block);
  const double loss = xp::evaluate(saved.params, batches, step_of(*saved.model)).at("loss");
  console::print_format("loss %.4f per character, perplexity %.4f\n", loss, std::exp(loss));
}

void write(const Settings& s) {
  console::need_output();
  const Saved saved = load(s.folder);
  Ids text = ids_of(s.prompt, saved.vocabulary);
  if (text.empty()) text = ids_of("\n", saved.vocabulary);
  console::print(s.prompt);
  Ids specials;  // of which the text has none
  for (std::size_t i = 0; i < saved.vocabulary.specials(); ++i) {
    specials.push_back(static_cast<std::int64_t>(i));
  }
  // The model has as many positions as a block; half of them keep the text before.
  const auto block = static_cast<std::size_t>(saved.model->options().max_length);
  std::size_t written = 0;
  for (std::uint64_t part = 0; written < s.length; ++part) {
    const std::size_t kept = std::min(text.size(), block / 2);
    text.erase(text.begin(), text.end() - static_cast<std::ptrdiff_t>(kept));
    const auto more = xp::sample(
        *saved.model, {text},
        {.temperature = s.temperature, .top_k = s.top_k, .seed = s.seed, .first_stream = part},
        {.max_length = std::min(block - kept, s.length - written), .suppress = specials});
    text.insert(text.end(), more[0].tokens.begin(), more[0].tokens.end());
    written += more[0].tokens.size();
    console::print(
        xp::join_tokens(saved.vocabulary.decode(more[0].tokens), xp::TokenKind::characters));
    console::check_output();
    if (more[0].tokens.empty()) break;
  }
  console::print("\n");
}

void add_train_options(CLI::App& app, Settings& s) {
  const console::Whole count(1, 100000000);
  const console::Real positive(0, std::numeric_limits<double>::max(), true);
  const console::Real rate(0, 1);
  const auto add = [&](const char* name, auto& value, const char* text) {
    return app.add_option(name, value, text)->capture_default_str();
  };
  app.add_option("--train", s.train, "text to learn from")->required();
  app.add_option("--dev", s.dev, "text to measure by")->required();
  app.add_option("--model", s.folder, "folder for the model")
      ->required()
      ->check(console::not_empty());
  add("--layers", s.layers, "layers")->check(count);
  add("--width", s.width, "width of the vectors, a multiple of --heads")->check(count);
  add("--heads", s.heads, "attention heads")->check(count);
  add("--block", s.block, "characters the model looks back on at most")
      ->check(console::Whole(2, 100000000));
  add("--batch-size", s.batch, "blocks per step")->check(count);
  add("--steps", s.steps, "steps in all")->check(count);
  add("--shards", s.shards,
      "parts of a step, one after the other, or shared by the ranks of mpirun; a part of the "
      "result")
      ->check(count);
  add("--report", s.report, "steps between measurements on the dev text")->check(count);
  add("--dropout", s.dropout, "rate")->check(rate);
  add("--learning-rate", s.learning_rate, "highest rate")->check(positive);
  add("--final-rate", s.final_rate, "fraction of it in the end")->check(rate);
  add("--warmup", s.warmup, "steps in which the rate grows")->check(console::Whole(0, 100000000));
  add("--beta-2", s.beta_2, "of AdamW")->check(rate);
  add("--weight-decay", s.weight_decay, "of AdamW")->check(console::Real(0));
  add("--seed", s.seed, "of weights and blocks")->check(console::Whole(0));
  CLI::Option* const resume = app.add_flag("--resume", s.resume, "go on where a run stopped");
  app.add_flag("--overwrite", s.overwrite, "replace the model that is there")->excludes(resume);
  // The files' contents are compared instead of their paths.
  static const std::set<std::string> free{"--train", "--dev", "--model", "--resume", "--overwrite"};
  app.footer(free_options_text(free, ""));
  app.final_callback([&app, &s] { s.configuration = configuration_of(app, free); });
}

}  // namespace

int main(int argc, char** argv) {
  console::open_descriptors();
  Settings s;
  CLI::App app("A language model of characters.", "language_model");
  console::prepare(app);
  app.set_config("--config", "", "options from a file")->check(recipe());
  console::add_products(app);
  CLI::App* const training = app.add_subcommand("train", "learns from a text");
  add_train_options(*training, s);
  CLI::App* const evaluating = app.add_subcommand("evaluate", "the loss on a text, in blocks");
  evaluating->add_option("model", s.folder, "folder of the model")->required();
  evaluating->add_option("file", s.file, "the text")->required();
  CLI::App* const writing = app.add_subcommand("write", "goes on with a text");
  writing->add_option("model", s.folder, "folder of the model")->required();
  writing->add_option("--prompt", s.prompt, "what to go on with");
  const console::Whole count(0, 1000000000);
  writing->add_option("--length", s.length, "characters to write")
      ->check(count)
      ->capture_default_str();
  writing->add_option("--temperature", s.temperature, "below 1 is more cautious")
      ->check(console::Real(0, std::numeric_limits<double>::max(), true))
      ->capture_default_str();
  writing->add_option("--top-k", s.top_k, "draw among so many characters; 0: all")
      ->check(count)
      ->capture_default_str();
  writing->add_option("--seed", s.seed, "of the draws")
      ->check(console::Whole(0))
      ->capture_default_str();
  return console::run_ranks("language_model", [&](xp::Team* team) {
    if (const auto status = console::parse(app, argc, argv)) return *status;
    static_cast<void>(xp::num_threads());  // refuses a malformed XTAPE_NUM_THREADS
    static_cast<void>(xp::default_products());
    s.team = team;
    if (!training->parsed()) {
      console::need_one_process(xp::launched_ranks(), evaluating->parsed() ? "evaluate" : "write");
    }
    if (training->parsed()) train(s);
    if (evaluating->parsed()) evaluate(s);
    if (writing->parsed()) write(s);
    return 0;
  });
}
