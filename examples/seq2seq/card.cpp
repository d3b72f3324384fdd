#include "card.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <nlohmann/json.hpp>

namespace seq2seq {

namespace {

const char* unit(Tokens kind) {
  if (kind == Tokens::pieces) return "subwords";
  return kind == Tokens::characters ? "characters" : "words";
}

constexpr const char* kTitle = "# A model of seq2seq";

/// Whether a README.md is there that this program did not write.
bool of_somebody(const std::string& path) {
  std::ifstream file(path);
  std::string title;
  return file && (!std::getline(file, title) || title != kTitle);
}

}  // namespace

void remove_card(const std::string& folder) {
  const std::string path = folder + "/README.md";
  std::error_code ignored;  // the next card replaces it
  if (!of_somebody(path)) std::filesystem::remove(path, ignored);
}

void write_card(const std::string& folder, const Language& language, const xp::Seq2SeqOptions& o,
                std::size_t weights, const Card& card) {
  const auto number = [](auto n) { return std::to_string(n); };
  std::string text =
      std::string(kTitle) + "\n\nA Transformer that reads " + number(language.source.size()) +
      " kinds of " + unit(language.source_kind) + " and writes " + number(language.target.size()) +
      " kinds of " + unit(language.target_kind) + ". It has " + number(o.encoder_layers) + " + " +
      number(o.decoder_layers) + " layers of width " + number(o.hidden_dim) + ", " +
      number(o.num_heads) + " heads, and " + number(weights) + " weights. It reads at most " +
      number(o.max_length) + " tokens" + (language.lowercase ? ", in lower case" : "") + ".\n\n";
  for (const std::string& sentence : card.origin) text += sentence + "\n";
  if (!card.scores.empty()) text += "\nScores on the dev pairs: " + card.scores + ".\n";
  text +=
      "\n```sh\nseq2seq translate FOLDER < sentences.txt\n```\n\n"
      "| file | what it has |\n|---|---|\n"
      "| `weights.safetensors` | the weights |\n"
      "| `options.json`, `*.vocab`, `*.spm` | the model's options, its tokens, its subwords |\n"
      "| `log.json`, `curves.svg` | the numbers of each epoch, and their picture |\n"
      "| `checkpoints/` | what `seq2seq train --resume` goes on with |\n";
  if (!card.options.empty()) {
    text += "\nOptions of the training:\n\n| option | value |\n|---|---|\n";
    for (const auto& [name, value] : card.options) {
      std::string shown;
      for (const char c : value) {
        if (c == '|') shown += '\\';
        shown += c;
      }
      text += "| `" + name + "` | " + shown + " |\n";
    }
  }
  const std::string path = folder + "/README.md";
  if (!of_somebody(path)) xp::write_text(path, text);
}

std::vector<double> by_epoch(const xp::History& history, const std::vector<double>& given,
                             std::int64_t score_every) {
  if (score_every <= 1 || given.size() == history.epochs().size()) return given;
  std::vector<double> values;
  auto next = given.begin();
  for (const std::int64_t epoch : history.epochs()) {
    const bool scored = (epoch + 1) % score_every == 0 && next != given.end();
    values.push_back(scored ? *next++ : std::nan(""));
  }
  return values;
}

void write_log(const std::string& folder, const xp::History& history, std::int64_t score_every) {
  if (history.epochs().empty()) return;
  nlohmann::ordered_json json;
  json["epochs"] = history.epochs();
  xp::Curves curves;
  for (const auto& [name, given] : history.columns()) {
    const std::vector<double> values = by_epoch(history, given, score_every);
    json[name] = values;  // NaN becomes null
    const bool some = std::any_of(values.begin(), values.end(),
                                  [](double value) { return std::isfinite(value); });
    if (some && name != "time") curves.emplace_back(name, values);
  }
  xp::write_text(folder + "/log.json", json.dump(1) + "\n");
  if (!curves.empty()) xp::write_text(folder + "/curves.svg", xp::curves_svg(curves));
}

}  // namespace seq2seq
