// The options of the commands that use a model.

#include "checks.hpp"
#include "settings.hpp"

namespace seq2seq {

namespace {

void add_columns(CLI::App& app, std::vector<std::string>& columns) {
  app.add_option("--columns", columns,
                 "names of the columns with source, target and other targets, in a file .csv, "
                 "which has a header; default: the first two")
      ->delimiter(',');
}

void add_ensemble(CLI::App& app, std::vector<std::string>& folders) {
  app.add_option("--ensemble", folders,
                 "folders of further models with the same tokens, separated by commas; the mean of "
                 "all probabilities decides")
      ->delimiter(',');
}

constexpr const char* kDecoding = "Decoding";

/// Adds what every command that translates has. Beams have at most `most` hypotheses.
void add_writing(CLI::App& app, DecodeSettings& s, const CLI::Validator& most) {
  const char* group = kDecoding;
  app.add_option("--beam", s.beam, "hypotheses kept; 1: the most probable token each time")
      ->check(most)
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
  app.add_option("--length-factor", s.length_factor,
                 "limit of the tokens written: this times those read, plus 10; 0: none")
      ->check(kNotNegative)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--allow-unknown", s.allow_unknown, "write <unk> where it is the most probable")
      ->group(group);
}

void add_decoding(CLI::App& app, DecodeSettings& s) {
  const char* group = kDecoding;
  add_writing(app, s, kHypotheses);
  app.get_option("--length-penalty")->needs(app.get_option("--beam"));
  app.add_option("--batch-size", s.batch, "sentences at once")
      ->check(kCount)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--crop", s.crop, "cut sources that are longer than the model was trained for")
      ->group(group);
}

}  // namespace

void add_options(CLI::App& app, TranslateSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  app.add_option("input", s.input, "file of sentences, one per line; -: standard input")
      ->capture_default_str();
  app.add_flag("--scores", s.scores, "write the score and a tab before each translation");
  app.add_flag("--json", s.json,
               "lines are JSON objects with a text 'source', and come back with 'translations'");
  app.add_option("--alignment", s.alignment,
                 "file for the source token that each token written looked at most, as pairs "
                 "source-target from 0 on (Pharaoh)");
  add_ensemble(app, s.ensemble);
  add_decoding(app, s.decode);
  const char* group = kDecoding;
  app.add_option("--n-best", s.decode.n_best,
                 "translations of each sentence, with --beam or --sample")
      ->check(kHypotheses)
      ->capture_default_str()
      ->group(group);
  CLI::Option* const sample =
      app.add_flag("--sample", s.decode.sample, "draw tokens by their probabilities")->group(group);
  app.add_option("--temperature", s.decode.temperature, "of samples: below 1 is more cautious")
      ->needs(sample)
      ->check(kPositive)
      ->capture_default_str()
      ->group(group);
  app.add_option("--top-k", s.decode.top_k, "draw among so many tokens; 0: all")
      ->needs(sample)
      ->check(kNone)
      ->capture_default_str()
      ->group(group);
  app.add_option("--top-p", s.decode.top_p, "draw among tokens that together have this probability")
      ->needs(sample)
      ->check(console::Real(0, 1, true))
      ->capture_default_str()
      ->group(group);
  app.add_option("--seed", s.decode.seed, "of samples")
      ->needs(sample)
      ->check(kSeed)
      ->capture_default_str()
      ->group(group);
  app.footer(
      "Each line of the input gives --n-best lines of the output. They are empty for a line that "
      "cannot be translated: one that is too long, or no UTF-8. Standard error names such lines, "
      "and the exit status is then 1. A score of -inf belongs to no translation.");
}

void add_options(CLI::App& app, EvaluateSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  app.add_option("file", s.file, "pairs source<TAB>target[<TAB>other target...]")->required();
  app.add_option("--json", s.json, "write the figures to this file too");
  add_columns(app, s.columns);
  app.add_option("--show", s.show, "show so many wrong translations")
      ->check(kNone)
      ->capture_default_str();
  add_ensemble(app, s.ensemble);
  add_decoding(app, s.decode);
  app.add_option("--too-long", s.too_long,
                 "pairs with a source longer than the model was trained for: wrong, or leave-out")
      ->check(CLI::IsMember({"wrong", "leave-out"}))
      ->capture_default_str()
      ->excludes("--crop");
  app.footer(
      "WER is the share of outputs that are wrong anywhere, PER the edits per token. BLEU is of "
      "the model's tokens. sacreBLEU and chrF are of plain text, with the tokens and figures of "
      "the sacrebleu package. Case counts, unless the model was trained with --lowercase.");
}

void add_options(CLI::App& app, ScoreSettings& s) {
  app.add_option("translations", s.translations, "file of translations, one per line")->required();
  app.add_option("file", s.file, "pairs source<TAB>target[<TAB>other target...]")->required();
  app.add_option("--json", s.json, "write the figures to this file too");
  add_columns(app, s.columns);
  app.add_flag("--lowercase", s.lowercase, "compare without case");
}

void add_options(CLI::App& app, AverageSettings& s) {
  app.add_option("models", s.models, "folders of models with the same options and tokens")
      ->required();
  app.add_option("--model", s.folder, "folder for the mean")->required();
  app.add_option("--last", s.last,
                 "average so many newest checkpoints of each model, which --keep leaves; 0: its "
                 "weights")
      ->check(kNone)
      ->capture_default_str();
}

void add_options(CLI::App& app, InspectSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  CLI::Option* const sentence =
      app.add_option("--sentence", s.sentence, "translate it, and draw where the decoder looked")
          ->check(console::not_empty());
  app.add_option("--picture", s.picture, "where to draw that (SVG)")
      ->needs(sentence)
      ->check(console::not_empty())
      ->capture_default_str();
}

void add_options(CLI::App& app, ServeSettings& s) {
  app.add_option("model", s.folder, "folder of the model")->required();
  app.add_option("--port", s.port, "port of the page; 0: any that is free")
      ->check(console::Whole(0, 65535))
      ->capture_default_str();
  app.add_option("--address", s.address,
                 "address of this machine: 127.0.0.1 to 127.255.255.254, or ::1")
      ->check(console::not_empty())
      ->capture_default_str();
  app.add_option("--seconds", s.seconds, "an answer that takes longer is given up")
      ->check(console::Real(1, 3600))
      ->capture_default_str();
  add_writing(app, s.decode, console::Whole(1, kMostBeam));
  app.footer(
      "The page needs a browser and nothing else. Programs send POST /translate with JSON: "
      "{\"source\": \"a sentence\"}, and \"beam\", \"n_best\", \"attention\" or \"stream\" if "
      "wanted. "
      "Ctrl-C and SIGTERM end the program with status 0.");
}

}  // namespace seq2seq
