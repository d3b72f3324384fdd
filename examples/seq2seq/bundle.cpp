#include "bundle.hpp"

#include "../console.hpp"
#include "../ranks.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace seq2seq {

namespace {

using SortedJson = nlohmann::json;

const char* name_of(Tokens kind) {
  if (kind == Tokens::pieces) return "sentencepiece";
  return kind == Tokens::characters ? "chars" : "space";
}

Tokens kind_of(const SortedJson& options, const char* key) {
  const std::string name = options.at(key);
  if (const auto kind = tokens_named(name)) return *kind;
  throw SortedJson::other_error::create(600, std::string(key) + " is '" + name + "'", nullptr);
}

xp::TokenKind kind_of(Tokens kind) {
  return kind == Tokens::characters ? xp::TokenKind::characters : xp::TokenKind::spaces;
}

/// Whether a token is spelled as a special one that a text must not have, behind any backslashes.
bool like_special(const std::string& token) {
  if (token.size() < 5 || token.back() != '>') return false;  // most tokens
  const std::string bare = token.substr(std::min(token.find_first_not_of('\\'), token.size()));
  return bare == "<pad>" || bare == "<start>" || bare == "<end>";
}

std::vector<std::string> tokens_of(const std::string& text, Tokens kind, const Subwords& subwords,
                                   bool lowercase) {
  const std::string cased = lowercase ? xp::to_lower(text) : text;
  std::vector<std::string> tokens =
      kind == Tokens::pieces ? subwords.pieces(cased) : xp::tokenize(cased, kind_of(kind));
  for (std::string& token : tokens) {
    if (like_special(token)) token.insert(0, 1, '\\');
  }
  return tokens;
}

std::string hash_of(const xp::Vocabulary& vocabulary) {
  return std::to_string(xp::stable_hash(vocabulary.to_text()));
}

/// Shortens a text of a file for a message, without control characters.
std::string printable(std::string text) {
  if (text.size() > 200) text = text.substr(0, 200) + "...";
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) c = '?';
  }
  return text;
}

/// Reads options.json. FormatError for more text or deeper nesting than options have.
SortedJson read_options(const std::string& path) {
  constexpr int kDepth = 16;
  std::string text;
  for (const std::string& line : xp::read_lines(path, {.max_bytes = 1U << 20U}))
    text += line + "\n";
  return SortedJson::parse(text, [&](int depth, SortedJson::parse_event_t, const SortedJson&) {
    if (depth <= kDepth) return true;
    throw xp::FormatError(path + ": nested too deeply: more than " + std::to_string(kDepth) +
                          " levels, expected what 'seq2seq train' wrote; train again");
  });
}

/// Reads the model of subwords of a side that has one.
void read_subwords(const std::string& path, const SortedJson& options, const char* key, Tokens kind,
                   Subwords& subwords) {
  if (kind != Tokens::pieces) return;
  Subwords::check_built(path);
  subwords = Subwords::load(path);
  if (options.at(key) == subwords.hash()) return;
  throw xp::FormatError(path + ": another model of subwords: its hash is " + subwords.hash() +
                        ", expected " + printable(options.at(key).dump()) + " as " + key +
                        "; copy the whole folder of the model again");
}

xp::Vocabulary read_vocabulary(const std::string& path, const SortedJson& options, const char* name,
                               const std::string& options_path) {
  xp::Vocabulary vocabulary = xp::Vocabulary::load(path);
  const SortedJson& size = options.at("model").at(name);
  if (size != vocabulary.size()) {
    throw xp::FormatError(path + ": another vocabulary: it has " +
                          std::to_string(vocabulary.size()) + " tokens, expected " +
                          size.dump().substr(0, 40) + " as " + name + " in " + options_path +
                          " says; copy the whole folder of the model again");
  }
  const std::string hash = hash_of(vocabulary);
  const std::string expected = options.value(std::string(name) + "_hash", hash);
  if (hash != expected) {
    throw xp::FormatError(path + ": another vocabulary: its hash is " + hash + ", expected " +
                          expected.substr(0, 40) + " as in " + options_path +
                          "; copy the whole folder of the model again");
  }
  return vocabulary;
}

/// Compares what the options claim with the tensors of a file, before anything of that size is made.
/// FormatError naming the option. `prefix` leads the names of weights.
void check_claims(const std::string& path, const xp::Seq2SeqOptions& o, const std::string& file,
                  const std::string& prefix) {
  const xp::Tensors tensors = xp::read_safetensors(file).tensors;
  const auto claim = [&](const char* option, std::size_t is, std::size_t expected) {
    if (is == expected) return;
    throw xp::FormatError(path + ": " + option + " does not fit the weights: it is " +
                          std::to_string(is) + ", expected " + std::to_string(expected) +
                          " as in " + file + "; copy the whole folder of the model again");
  };
  const auto extent = [&](const char* option, int is, const std::string& name, std::size_t axis) {
    const auto at = tensors.find(prefix + name);
    const bool there = at != tensors.end() && at->second.shape.size() > axis;
    claim(option, static_cast<std::size_t>(is), there ? at->second.shape[axis] : 0);
  };
  const auto layers = [&](const char* option, int is, const std::string& stack) {
    std::size_t count = 0;
    while (true) {
      const std::string below = prefix + stack + "/" + std::to_string(count) + "/";
      const auto at = tensors.lower_bound(below);
      if (at == tensors.end() || !at->first.starts_with(below)) break;
      ++count;
    }
    claim(option, static_cast<std::size_t>(is), count);
  };
  const bool joint = o.tying == xp::Tying::all;
  const std::string source = joint ? "embedding/embeddings" : "source_embedding/embeddings";
  extent("source_vocabulary", o.source_vocabulary, source, 0);
  extent("hidden_dim", o.hidden_dim, source, 1);
  extent("target_vocabulary", o.target_vocabulary, joint ? source : "target_embedding/embeddings",
         0);
  layers("encoder_layers", o.encoder_layers, "encoder");
  layers("decoder_layers", o.decoder_layers, "decoder");
  extent("intermediate_dim", o.intermediate_dim, "encoder/0/feed_forward/intermediate/kernel", 1);
  if (o.positions == xp::Positions::learned) {
    extent("max_length", o.max_length, "source_positions/embeddings", 0);
  }
}

}  // namespace

std::vector<std::string> Language::source_tokens(const std::string& text) const {
  return tokens_of(text, source_kind, source_subwords, lowercase);
}

std::vector<std::int64_t> Language::source_ids(const std::string& text) const {
  std::vector<std::int64_t> ids = source.encode(source_tokens(text));
  if (source_ends && !ids.empty()) {
    ids.insert(ids.begin(), source.start());
    ids.push_back(source.end());
  }
  return ids;
}

void Language::crop(std::vector<std::int64_t>& ids, std::size_t most) const {
  if (ids.size() <= most) return;
  ids.resize(most);
  if (source_ends) ids.back() = source.end();
}

std::vector<std::string> Language::target_tokens(const std::string& text) const {
  return tokens_of(text, target_kind, target_subwords, lowercase);
}

std::string Language::target_text(const std::vector<std::int64_t>& ids) const {
  std::vector<std::string> words = target.decode(ids);
  for (std::string& token : words) token = word(token);
  if (target_kind == Tokens::pieces) return target_subwords.text(words);
  return xp::join_tokens(words, kind_of(target_kind));
}

std::string Language::word(const std::string& token) {
  return token.front() == '\\' && like_special(token) ? token.substr(1) : token;
}

bool same(const Language& a, const Language& b) {
  const auto pieces = [](Tokens kind, const Subwords& subwords) {
    return kind == Tokens::pieces ? subwords.hash() : std::string();
  };
  return a.source_kind == b.source_kind && a.target_kind == b.target_kind &&
         a.lowercase == b.lowercase && a.source_ends == b.source_ends && a.source == b.source &&
         a.target == b.target &&
         pieces(a.source_kind, a.source_subwords) == pieces(b.source_kind, b.source_subwords) &&
         pieces(a.target_kind, a.target_subwords) == pieces(b.target_kind, b.target_subwords);
}

void check_length(int length, const std::string& option) {
  constexpr int kMost = 1'000'000;
  if (length <= kMost) return;
  throw xp::ValueError(option + " out of range: it is " + std::to_string(length) +
                       ", expected at most " + std::to_string(kMost) + " tokens; give fewer");
}

std::optional<Tokens> tokens_named(const std::string& name) {
  if (name == "chars") return Tokens::characters;
  if (name == "space") return Tokens::words;
  if (name == "sentencepiece") return Tokens::pieces;
  return std::nullopt;
}

std::string subwords_file(const std::string& folder, bool source) {
  return folder + (source ? "/source.spm" : "/target.spm");
}
std::string options_file(const std::string& folder) { return folder + "/options.json"; }
std::string weights_file(const std::string& folder) { return folder + "/weights.safetensors"; }
std::string checkpoints_folder(const std::string& folder) { return folder + "/checkpoints"; }

std::vector<std::string> files_of(const std::string& folder) {
  return {options_file(folder),     weights_file(folder),        folder + "/source.vocab",
          folder + "/target.vocab", subwords_file(folder, true), subwords_file(folder, false),
          folder + "/README.md",    folder + "/log.json",        folder + "/curves.svg"};
}

void save_language(const std::string& folder, const Language& language,
                   const xp::Seq2SeqOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw xp::IoError(folder + ": cannot make the folder: " + error.message() +
                          ", expected a path that can be written; choose another with --model",
                      folder, error.value());
  }
  xp::Params<float> params;  // only to write the options
  SortedJson json = {
      {"format", 1},
      {"source_tokens", name_of(language.source_kind)},
      {"target_tokens", name_of(language.target_kind)},
      {"lowercase", language.lowercase},
      {"source_ends", language.source_ends},
      {"source_vocabulary_hash", hash_of(language.source)},
      {"target_vocabulary_hash", hash_of(language.target)},
      {"model", SortedJson::parse(xp::Seq2Seq<float>(params.scope(), options).get_config())}};
  language.source.save(folder + "/source.vocab");
  language.target.save(folder + "/target.vocab");
  if (language.source_kind == Tokens::pieces) {
    language.source_subwords.save(subwords_file(folder, true));
    json["source_subwords_hash"] = language.source_subwords.hash();
  }
  if (language.target_kind == Tokens::pieces) {
    language.target_subwords.save(subwords_file(folder, false));
    json["target_subwords_hash"] = language.target_subwords.hash();
  }
  xp::write_text(options_file(folder), json.dump(1) + "\n");
}

xp::Seq2SeqOptions load_language(const std::string& folder, Language& language) {
  const std::string path = options_file(folder);
  if (!std::filesystem::exists(path)) {
    throw xp::IoError(folder +
                      ": no model is here: options.json is missing, expected a folder that "
                      "'seq2seq train --model' made; give its path");
  }
  try {
    const SortedJson json = read_options(path);
    if (json.at("format") != 1) {
      throw xp::FormatError(path + ": unknown format: it is " +
                            json.at("format").dump().substr(0, 40) +
                            ", expected 1; use the version of the program that made it");
    }
    language.source_kind = kind_of(json, "source_tokens");
    language.target_kind = kind_of(json, "target_tokens");
    language.lowercase = json.at("lowercase");
    language.source_ends = json.value("source_ends", false);
    read_subwords(subwords_file(folder, true), json, "source_subwords_hash", language.source_kind,
                  language.source_subwords);
    read_subwords(subwords_file(folder, false), json, "target_subwords_hash", language.target_kind,
                  language.target_subwords);
    language.source = read_vocabulary(folder + "/source.vocab", json, "source_vocabulary", path);
    language.target = read_vocabulary(folder + "/target.vocab", json, "target_vocabulary", path);
    try {
      xp::Seq2SeqOptions options = xp::Seq2Seq<float>::from_config(json.at("model").dump());
      check_length(options.max_length, "max_length");
      static_cast<void>(language.source.end());  // all special tokens are there
      if (options.pad_id != language.target.pad() || options.start_id != language.target.start() ||
          options.end_id != language.target.end()) {
        throw xp::ValueError(
            "special tokens do not fit target.vocab, expected pad_id 0, start_id 2 and end_id 3");
      }
      return options;
    } catch (const xp::ValueError& e) {
      throw xp::FormatError(path + ": " + e.what());
    }
  } catch (const SortedJson::exception& e) {
    throw xp::FormatError(path + ": options cannot be read: " + printable(e.what()) +
                          ", expected what 'seq2seq train' wrote; train again");
  }
}

Bundle load_bundle(const std::string& folder) {
  Bundle bundle;
  const xp::Seq2SeqOptions options = load_language(folder, bundle.language);
  const std::string best = checkpoints_folder(folder) + "/best.safetensors";
  const bool finished = std::filesystem::exists(weights_file(folder));
  if (!finished && !std::filesystem::exists(best)) {
    throw xp::IoError(weights_file(folder) +
                          ": no weights yet: its training was not finished, expected the file; go "
                          "on with 'seq2seq train' and --resume",
                      weights_file(folder), ENOENT);
  }
  check_claims(options_file(folder), options, finished ? weights_file(folder) : best,
               finished ? "" : "params/");
  try {
    bundle.model = std::make_unique<xp::Seq2Seq<float>>(bundle.params.scope(), options);
  } catch (const xp::ValueError& e) {
    throw xp::FormatError(options_file(folder) + ": " + e.what());
  }
  bundle.model->build();
  if (finished) {
    xp::load(bundle.params, weights_file(folder));
  } else {
    const auto progress = xp::load_checkpoint(best, bundle.params);
    console::complain("seq2seq", folder +
                                     ": its training is not finished; the weights are the best so "
                                     "far, of epoch " +
                                     std::to_string(progress.epoch));
  }
  return bundle;
}

void need_same_model(xp::Team* team, const std::string& folder, const Bundle& bundle) {
  if (team == nullptr) return;
  std::string all = bundle.model->get_config() + hash_of(bundle.language.source) +
                    hash_of(bundle.language.target);
  // The environment may reach some machines only.
  all += xp::default_products() == xp::Products::float32 ? " float32" : " bfloat16";
  for (const auto& p : bundle.params.all()) {
    const std::string_view bytes(reinterpret_cast<const char*>(p.value().data()),
                                 p.value().size() * sizeof(float));
    all += std::to_string(xp::stable_hash(bytes));
  }
  console::need_same(team, "the hash of the model " + folder, std::to_string(xp::stable_hash(all)),
                     "copy the same folder to all machines");
}

}  // namespace seq2seq
