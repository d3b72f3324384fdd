// seq2seq: trains a Transformer on a file of pairs and translates with it.
//
//   seq2seq train --train pairs.tsv --dev dev.tsv --model folder
//   seq2seq translate folder < sentences.txt
//   seq2seq evaluate folder test.tsv
//   seq2seq score translations.txt test.tsv
//   seq2seq average folder --last 5 --model mean
//   seq2seq serve folder
//   seq2seq inspect folder --sentence "..."

#include "../command_line.hpp"
#include "../configuration.hpp"
#include "../ranks.hpp"
#include "settings.hpp"

int main(int argc, char** argv) {
  console::open_descriptors();
  CLI::App app(
      "Trains a Transformer on pairs of sentences (source<TAB>target, one pair per line), and "
      "translates with it.",
      "seq2seq");
  console::prepare(app);
  app.set_config("--config", "", "options from a file, as 'learning-rate = 1e-3' under [train]")
      ->check(recipe());
  std::size_t threads = 0;
  app.add_option("--threads", threads, "processors to use; default: all")
      ->check(console::Whole(1, 1024));
  console::add_products(app);
  app.footer(
      "'seq2seq COMMAND --help' tells the options of a command. Under mpirun, train, translate and "
      "evaluate share their work among the ranks, and give the same bytes.");

  seq2seq::TrainSettings train;
  seq2seq::TranslateSettings translate;
  seq2seq::EvaluateSettings evaluate;
  seq2seq::InspectSettings inspect;
  seq2seq::ScoreSettings score;
  seq2seq::AverageSettings average;
  seq2seq::ServeSettings serve;
  CLI::App* const training = app.add_subcommand("train", "trains a model on a file of pairs");
  CLI::App* const translating = app.add_subcommand("translate", "translates lines of text");
  CLI::App* const evaluating =
      app.add_subcommand("evaluate", "scores translations of a file of pairs");
  CLI::App* const inspecting =
      app.add_subcommand("inspect", "shows a model's layers, and where it looks");
  CLI::App* const scoring =
      app.add_subcommand("score", "scores a file of translations of a file of pairs");
  CLI::App* const averaging =
      app.add_subcommand("average", "makes a model of the mean weights of others");
  CLI::App* const serving = app.add_subcommand(
      "serve", "shows a page in the browser that translates and tells where it looks");
  add_options(*training, train);
  add_options(*translating, translate);
  add_options(*evaluating, evaluate);
  add_options(*inspecting, inspect);
  add_options(*scoring, score);
  add_options(*averaging, average);
  add_options(*serving, serve);

  return console::run_ranks("seq2seq", [&](xtape::Team* team) {
    if (const auto status = console::parse(app, argc, argv)) return *status;
    if (threads != 0) xtape::set_num_threads(threads);
    static_cast<void>(xtape::num_threads());  // refuses a malformed XTAPE_NUM_THREADS
    static_cast<void>(xtape::default_products());
    train.team = translate.decode.team = evaluate.decode.team = team;
    for (const CLI::App* alone : {inspecting, scoring, averaging, serving}) {
      if (alone->parsed()) console::need_one_process(xtape::launched_ranks(), alone->get_name());
    }
    if (training->parsed()) seq2seq::train(train);
    if (evaluating->parsed()) seq2seq::evaluate(evaluate);
    if (inspecting->parsed()) seq2seq::inspect(inspect);
    if (averaging->parsed()) seq2seq::average(average);
    if (serving->parsed()) seq2seq::serve(serve);
    if (scoring->parsed()) seq2seq::score(score);
    return translating->parsed() ? seq2seq::translate(translate) : 0;
  });
}
