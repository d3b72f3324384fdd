#include "bundle.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace seq2seq {

namespace {

using Json = nlohmann::json;

const char* name_of(xp::TokenKind kind) {
  return kind == xp::TokenKind::characters ? "chars" : "space";
}

xp::TokenKind kind_of(const Json& options, const char* key) {
  const std::string name = options.at(key);
  if (name == "chars") return xp::TokenKind::characters;
  if (name == "space") return xp::TokenKind::spaces;
  throw Json::other_error::create(600, std::string(key) + " is '" + name + "'", nullptr);
}

/// Whether a token is spelled as a special one that a text must not have, behind any backslashes.
bool like_special(const std::string& token) {
  if (token.size() < 5 || token.back() != '>') return false;  // most tokens
  const std::string bare = token.substr(std::min(token.find_first_not_of('\\'), token.size()));
  return bare == "<pad>" || bare == "<start>" || bare == "<end>";
}

std::vector<std::string> tokens_of(const std::string& text, xp::TokenKind kind, bool lowercase) {
  std::vector<std::string> tokens = xp::tokenize(lowercase ? xp::to_lower(text) : text, kind);
  for (std::string& token : tokens) {
    if (like_special(token)) token.insert(0, 1, '\\');
  }
  return tokens;
}

std::string all_lines(const std::string& path) {
  std::string text;
  for (const std::string& line : xp::read_lines(path)) text += line + "\n";
  return text;
}

}  // namespace

std::vector<std::string> Language::source_tokens(const std::string& text) const {
  return tokens_of(text, source_kind, lowercase);
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
  return tokens_of(text, target_kind, lowercase);
}

std::string Language::target_text(const std::vector<std::int64_t>& ids) const {
  std::vector<std::string> words = target.decode(ids);
  for (std::string& token : words) token = word(token);
  return xp::join_tokens(words, target_kind);
}

std::string Language::word(const std::string& token) {
  return token.front() == '\\' && like_special(token) ? token.substr(1) : token;
}

std::string options_file(const std::string& folder) { return folder + "/options.json"; }
std::string weights_file(const std::string& folder) { return folder + "/weights.safetensors"; }
std::string checkpoints_folder(const std::string& folder) { return folder + "/checkpoints"; }

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
  const Json json = {
      {"format", 1},
      {"source_tokens", name_of(language.source_kind)},
      {"target_tokens", name_of(language.target_kind)},
      {"lowercase", language.lowercase},
      {"source_ends", language.source_ends},
      {"model", Json::parse(xp::Seq2Seq<float>(params.scope(), options).get_config())}};
  language.source.save(folder + "/source.vocab");
  language.target.save(folder + "/target.vocab");
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
    const Json json = Json::parse(all_lines(path));
    if (json.at("format") != 1) {
      throw xp::FormatError(path + ": unknown format: it is " + json.at("format").dump() +
                            ", expected 1; use the version of the program that made it");
    }
    language.source_kind = kind_of(json, "source_tokens");
    language.target_kind = kind_of(json, "target_tokens");
    language.lowercase = json.at("lowercase");
    language.source_ends = json.value("source_ends", false);
    language.source = xp::Vocabulary::load(folder + "/source.vocab");
    language.target = xp::Vocabulary::load(folder + "/target.vocab");
    return xp::Seq2Seq<float>::from_config(json.at("model").dump());
  } catch (const Json::exception& e) {
    throw xp::FormatError(path + ": options cannot be read: " + e.what() +
                          ", expected what 'seq2seq train' wrote; train again");
  }
}

Bundle load_bundle(const std::string& folder) {
  Bundle bundle;
  const xp::Seq2SeqOptions options = load_language(folder, bundle.language);
  bundle.model = std::make_unique<xp::Seq2Seq<float>>(bundle.params.scope(), options);
  bundle.model->build();
  xp::load(bundle.params, weights_file(folder));
  return bundle;
}

}  // namespace seq2seq
