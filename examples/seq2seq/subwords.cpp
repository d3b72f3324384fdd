#include "subwords.hpp"

#include <xtape/xtape.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <unordered_map>

#ifdef WITH_SENTENCEPIECE
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#endif

namespace seq2seq {

namespace xp = xtape;

#ifdef WITH_SENTENCEPIECE

namespace {

/// Hands texts to the trainer.
class Texts final : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return at_ == texts_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return texts_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  std::size_t at_ = 0;
};

}  // namespace

struct Subwords::State {
  std::string bytes;
  sentencepiece::SentencePieceProcessor processor;
};

void Subwords::check_built(const std::string& /*option*/) {}

Subwords Subwords::of(std::string bytes, const std::string& name) {
  auto state = std::make_shared<State>();
  const auto status = state->processor.LoadFromSerializedProto(bytes);
  if (!status.ok()) {
    throw xp::FormatError(name + ": no model of SentencePiece: " + status.ToString() +
                          ", expected what 'seq2seq train' wrote; copy the whole folder of the "
                          "model again");
  }
  state->bytes = std::move(bytes);
  Subwords subwords;
  subwords.state_ = std::move(state);
  return subwords;
}

Subwords Subwords::train(const std::vector<std::string>& texts, const SubwordOptions& options) {
  std::set<std::string> characters;
  for (const std::string& text : texts) {
    for (std::string& c : xp::tokenize(text, xp::TokenKind::characters)) {
      if (c != " ") characters.insert(std::move(c));
    }
  }
  const std::size_t least = characters.size() + 4;  // <unk>, <s>, </s> and the mark of a word
  if (options.coverage == 1 && options.size < least) {
    throw xp::ValueError("--subwords: too few: it is " + std::to_string(options.size) +
                         ", expected at least " + std::to_string(least) +
                         ", one for each character; raise it");
  }
  Texts iterator(texts);
  std::string bytes;
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", options.kind},
      {"vocab_size", std::to_string(options.size)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", std::to_string(options.coverage)},
      {"normalization_rule_name", "identity"},  // what is written is spelled as in the file
      {"max_sentence_length", "1048576"},
      {"num_threads", "1"},  // sums of one order
      {"unk_surface", "<unk>"},
      {"minloglevel", "2"}};
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &bytes);
  if (!status.ok()) {
    throw xp::ValueError("--subwords: SentencePiece cannot learn " + std::to_string(options.size) +
                         " pieces: " + status.ToString() +
                         (status.ToString().find("required_chars") == std::string::npos
                              ? ", expected a text with more words; give fewer --subwords"
                              : ", expected a piece for each character; give more --subwords, or a "
                                "smaller --subword-coverage"));
  }
  return of(std::move(bytes), "--subwords");
}

Subwords Subwords::load(const std::string& path) {
  constexpr std::uintmax_t kMost = 1U << 28U;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file || size > kMost) {
    throw xp::IoError(path + ": cannot be read: " + (error ? error.message() : "no such model") +
                          ", expected a file of at most 256 MiB; copy the whole folder of the "
                          "model again",
                      path, error.value());
  }
  return of({std::istreambuf_iterator<char>(file), {}}, path);
}

void Subwords::save(const std::string& path) const { xp::write_text(path, state_->bytes); }

std::string Subwords::hash() const { return std::to_string(xp::stable_hash(state_->bytes)); }

std::vector<std::string> Subwords::pieces(const std::string& text) const {
  return state_->processor.EncodeAsPieces(text);
}

std::string Subwords::text(const std::vector<std::string>& pieces) const {
  return state_->processor.DecodePieces(pieces);
}

#else

void Subwords::check_built(const std::string& option) {
  throw xp::ValueError(option +
                       ": sentencepiece is not built in: this program was made without the "
                       "library, expected libsentencepiece-dev (Debian) when CMake ran; install "
                       "it and build again");
}
Subwords Subwords::train(const std::vector<std::string>& /*texts*/,
                         const SubwordOptions& /*options*/) {
  check_built("--subwords");
  return {};
}
Subwords Subwords::load(const std::string& path) {
  check_built(path);
  return {};
}
void Subwords::save(const std::string& path) const { check_built(path); }
std::string Subwords::hash() const { return {}; }
std::vector<std::string> Subwords::pieces(const std::string& /*text*/) const { return {}; }
std::string Subwords::text(const std::vector<std::string>& /*pieces*/) const { return {}; }

#endif

}  // namespace seq2seq
