#pragma once
// A model in a folder: options.json, source.vocab, target.vocab, weights.safetensors, and checkpoints/ of
// its training; source.spm and target.spm if it has subwords. Language converts sentences to token ids and back.

#include "subwords.hpp"

#include <xtape/xtape.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace seq2seq {

namespace xp = xtape;

/// The kind of tokens: characters, words between spaces, or pieces of SentencePiece.
enum class Tokens { characters, words, pieces };

/// Returns the kind of a name: chars, space or sentencepiece; nothing for another name.
std::optional<Tokens> tokens_named(const std::string& name);

/// The vocabularies and tokenization of a model.
struct Language {
  Tokens source_kind = Tokens::characters;
  Tokens target_kind = Tokens::characters;
  Subwords source_subwords, target_subwords;  // of pieces
  bool lowercase = false;
  bool source_ends = false;  // the model reads start and end around a source
  xp::Vocabulary source = xp::Vocabulary::build({});
  xp::Vocabulary target = xp::Vocabulary::build({});

  [[nodiscard]] std::vector<std::string> source_tokens(const std::string& text) const;
  /// Returns the ids that the model reads; none for an empty text.
  [[nodiscard]] std::vector<std::int64_t> source_ids(const std::string& text) const;
  /// Cuts ids of a source to this many. The end stays.
  void crop(std::vector<std::int64_t>& ids, std::size_t most) const;
  [[nodiscard]] std::vector<std::string> target_tokens(const std::string& text) const;
  [[nodiscard]] std::string target_text(const std::vector<std::int64_t>& ids) const;
  /// Returns the word that a token stands for. A word spelled "<end>" is the token "\\<end>", because "<end>" is what
  /// ends a sentence; likewise "<pad>" and "<start>".
  [[nodiscard]] static std::string word(const std::string& token);
};

/// Whether two languages have the same tokens of the same texts.
bool same(const Language& a, const Language& b);

/// A model with its language, ready to translate.
struct Bundle {
  Language language;
  xp::Params<float> params;
  std::unique_ptr<xp::Seq2Seq<float>> model;
};

/// Throws ValueError for more tokens than a sentence may have. `option` is for the message.
void check_length(int length, const std::string& option);

/// Paths in a model's folder.
std::string subwords_file(const std::string& folder, bool source);
std::string options_file(const std::string& folder);
std::string weights_file(const std::string& folder);
std::string checkpoints_folder(const std::string& folder);
/// Returns the paths of a model's files, without its checkpoints.
std::vector<std::string> files_of(const std::string& folder);

/// Writes language and options. IoError.
void save_language(const std::string& folder, const Language& language,
                   const xp::Seq2SeqOptions& options);
/// Reads language and options. IoError; FormatError, also for vocabularies that do not fit the options.
xp::Seq2SeqOptions load_language(const std::string& folder, Language& language);
/// Reads a whole model with its weights, or with the best so far of a training that was interrupted.
/// Claims of the options are compared with the files first. IoError, FormatError, ParameterError.
Bundle load_bundle(const std::string& folder);
/// Throws ValueError, naming a rank, unless all ranks have read the same model.
void need_same_model(xp::Team* team, const std::string& folder, const Bundle& bundle);

}  // namespace seq2seq
