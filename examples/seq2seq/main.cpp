// seq2seq: trains a Transformer on a file of pairs and translates with it.
//
//   seq2seq train --train pairs.tsv --dev dev.tsv --model folder
//   seq2seq translate folder < sentences.txt
//   seq2seq evaluate folder test.tsv
//   seq2seq inspect folder --sentence "..."

#include "settings.hpp"

#include <cstdio>

int main(int argc, char** argv) {
  CLI::App app(
      "Trains a Transformer on pairs of sentences (source<TAB>target, one pair per line), and "
      "translates with it.",
      "seq2seq");
  app.require_subcommand(1);
  app.allow_config_extras(CLI::config_extras_mode::error);  // for misspelt options
  app.set_config("--config", "", "options from a file, as 'learning-rate = 1e-3' under [train]");
  app.fallthrough();
  std::size_t threads = 0;
  app.add_option("--threads", threads, "processors to use; default: all")
      ->check(CLI::Range(1, 1024));
  app.footer("'seq2seq COMMAND --help' tells the options of a command.");

  seq2seq::TrainSettings train;
  seq2seq::TranslateSettings translate;
  seq2seq::EvaluateSettings evaluate;
  seq2seq::InspectSettings inspect;
  CLI::App* const training = app.add_subcommand("train", "trains a model on a file of pairs");
  CLI::App* const translating = app.add_subcommand("translate", "translates lines of text");
  CLI::App* const evaluating =
      app.add_subcommand("evaluate", "scores translations of a file of pairs");
  CLI::App* const inspecting =
      app.add_subcommand("inspect", "shows a model's layers, and where it looks");
  add_options(*training, train);
  add_options(*translating, translate);
  add_options(*evaluating, evaluate);
  add_options(*inspecting, inspect);
  CLI11_PARSE(app, argc, argv);

  try {
    if (threads != 0) xtape::set_num_threads(threads);
    if (training->parsed()) seq2seq::train(train);
    if (translating->parsed()) seq2seq::translate(translate);
    if (evaluating->parsed()) seq2seq::evaluate(evaluate);
    if (inspecting->parsed()) seq2seq::inspect(inspect);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "seq2seq: %s\n", e.what());
    return 1;
  }
  return 0;
}
