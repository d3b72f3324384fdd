#include "prepare.hpp"
#include "../model_memory.hpp"

#include "card.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace seq2seq {

namespace {

/// Returns the number and a hash of pairs, to tell data apart.
std::string fingerprint(const std::vector<Pair>& pairs) {
  std::uint64_t hash = 0;
  for (const Pair& pair : pairs) {
    std::string text = std::to_string(hash) + '\n' + pair.source;
    for (const std::string& target : pair.targets) text += '\t' + target;
    hash = xp::stable_hash(text);
  }
  return std::to_string(pairs.size()) + " pairs, hash " + std::to_string(hash);
}

/// Returns the texts that subwords are learned from.
std::vector<std::string> texts_of(const TrainSettings& s, const std::vector<Pair>& pairs,
                                  bool sources, bool targets) {
  std::vector<std::string> texts;
  for (const Pair& pair : pairs) {
    if (sources) texts.push_back(pair.source);
    if (targets) texts.push_back(pair.targets.front());
  }
  if (s.lowercase) {
    for (std::string& text : texts) text = xp::to_lower(text);
  }
  return texts;
}

}  // namespace

void check_subwords(const TrainSettings& s, const Language* from) {
  const bool source = from == nullptr || from->source_kind != Tokens::pieces;
  const bool target = from == nullptr || from->target_kind != Tokens::pieces;
  if ((source && s.source_tokens == "sentencepiece") ||
      (target && s.target_tokens == "sentencepiece")) {
    return;
  }
  for (const char* option :
       {"--subwords", "--subword-kind", "--subword-coverage", "--joint-subwords"}) {
    if (s.given.count(option) == 0) continue;
    throw xp::ValueError(std::string(option) +
                         ": of no use: no subwords are learned, expected --source-tokens "
                         "sentencepiece, or the same of the target, and not those of --init; leave "
                         "it out");
  }
}

void check_settings(const TrainSettings& s) {
  const bool there = std::filesystem::exists(options_file(s.folder));
  if (there && !s.resume && !s.overwrite) {
    throw xp::ValueError(s.folder +
                         ": a model is here already, expected a new folder; give "
                         "--resume to go on, --overwrite to replace it, or another --model");
  }
  if (!there && s.resume) {
    throw xp::ValueError(s.folder +
                         ": nothing to resume: no model is here, expected one that was "
                         "being trained; leave out --resume");
  }
  std::error_code none;  // a folder that is not there is another one
  if (!s.init.empty() && std::filesystem::equivalent(s.init, s.folder, none)) {
    throw xp::ValueError(
        "--init: it is the folder of --model, expected another one, because it is "
        "read again when a training is resumed; give another --model");
  }
  check_length(s.max_length, "--max-length");
  if (s.dev.empty() == (s.dev_split == 0)) {
    throw xp::ValueError(std::string("--dev, --dev-split: ") +
                         (s.dev.empty() ? "none is given" : "both are given") +
                         ", expected one of them; give a file, or a fraction such as 0.05");
  }
  if (s.dev_split >= 1) {
    throw xp::ValueError(
        "--dev-split: no pair is left to learn from: it is 1, expected less; give a fraction, "
        "such as 0.05");
  }
  if (s.init.empty()) check_subwords(s, nullptr);
  if (s.source_tokens == "sentencepiece") Subwords::check_built("--source-tokens");
  if (s.target_tokens == "sentencepiece") Subwords::check_built("--target-tokens");
  if (s.best == "last" && s.patience != 0) {
    throw xp::ValueError("--patience: it is " + std::to_string(s.patience) +
                         ", expected 0 with --best last, which compares no epochs; choose another "
                         "--best, or leave it out");
  }
  if (s.best != "val_loss" && s.best != "last" && s.score_every != 1) {
    throw xp::ValueError("--best " + s.best + ": --score-every is " +
                         std::to_string(s.score_every) +
                         ", expected 1, because every epoch must be scored; leave it out");
  }
}

void read_both(const TrainSettings& s, std::vector<Pair>& pairs, std::vector<Pair>& dev_pairs) {
  pairs = read_pairs(s.train, s.columns, s.limit);
  const auto need = [](const std::vector<Pair>& of, const std::string& where, const char* advice) {
    if (!of.empty()) return;
    throw xp::ValueError(where + ": there are 0, expected 1 or more; " + advice);
  };
  need(pairs, s.train + ": no pairs", "look at the file");
  if (!s.dev.empty()) {
    dev_pairs = read_pairs(s.dev, s.columns);
    return need(dev_pairs, s.dev + ": no pairs", "look at the file");
  }
  dev_pairs = split_off(pairs, s.dev_split);
  need(dev_pairs, "--dev-split: no pair is left for validation",
       "give a larger fraction, or a file as --dev");
  need(pairs, "--dev-split: no pair is left to learn from",
       "give a smaller fraction, or a file as --dev");
}

Language tokenization(const TrainSettings& s, const std::vector<Pair>& pairs,
                      const Language* from) {
  Language language;
  language.source_kind = *tokens_named(s.source_tokens);
  language.target_kind = *tokens_named(s.target_tokens);
  language.lowercase = s.lowercase;
  language.source_ends = s.source_ends;
  const bool joint = s.joint_subwords || s.tying == "all";
  for (const bool source : {true, false}) {
    if ((source ? language.source_kind : language.target_kind) != Tokens::pieces) continue;
    Subwords& subwords = source ? language.source_subwords : language.target_subwords;
    const std::string file = subwords_file(s.folder, source);
    const bool known =
        from != nullptr && (source ? from->source_kind : from->target_kind) == Tokens::pieces;
    if (known) {
      subwords = source ? from->source_subwords : from->target_subwords;
    } else if (s.resume && std::filesystem::exists(file)) {
      subwords = Subwords::load(file);
    } else if (!source && joint && language.source_kind == Tokens::pieces) {
      subwords = language.source_subwords;
    } else {
      subwords = Subwords::train(texts_of(s, pairs, source || joint, !source || joint), s.subwords);
    }
  }
  return language;
}

bool rises(const std::string& figure) {
  return figure == "val_exact" || figure == "val_bleu" || figure == "val_sacrebleu" ||
         figure == "val_chrf";
}

std::map<std::string, std::string> options_of_run(const TrainSettings& s) {
  auto all = s.configuration;
  if (xp::default_products() != xp::Products::float32) all["--products"] = "bfloat16";
  return all;
}

std::map<std::string, std::string> configuration(const TrainSettings& s, const Language& language,
                                                 const std::vector<Pair>& pairs,
                                                 const std::vector<Pair>& dev_pairs) {
  auto all = options_of_run(s);
  if (!rate_needs_epochs(s)) all.erase("--epochs");  // no rate depends on them
  all["contents of --train"] = fingerprint(pairs);
  all["contents of --dev"] = fingerprint(dev_pairs);
  // The data decide about the tokens, but for those of a model that may have been trained anew.
  if (!s.init.empty()) {
    all["tokens of --init"] =
        std::to_string(xp::stable_hash(language.source.to_text() + language.target.to_text()));
  }
  return all;
}

void clear_folder(const std::string& folder, xp::Checkpoints& checkpoints) {
  for (const std::string& path : {options_file(folder), weights_file(folder)}) {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) continue;
    throw xp::IoError(path + ": cannot be removed: " + std::generic_category().message(errno) +
                          ", expected a file of an earlier model; give another --model",
                      path, errno);
  }
  remove_card(folder);
  checkpoints.clear();
}

void check_memory(const xp::Seq2SeqOptions& o) {
  const double d = o.hidden_dim;
  const double feed_forward = 2 * d * o.intermediate_dim;
  const double weights =
      d * (o.source_vocabulary + 2.0 * o.target_vocabulary +
           2.0 * o.max_length * (o.positions == xp::Positions::learned ? 1 : 0)) +
      o.encoder_layers * (4 * d * d + feed_forward) + o.decoder_layers * (8 * d * d + feed_forward);
  check_model_memory("--layers, --width, --hidden", weights,
                     1.0 * o.encoder_layers + o.decoder_layers);
}

}  // namespace seq2seq
