#pragma once
// Subwords by the library SentencePiece, an optional dependency of the program.

#include <memory>
#include <string>
#include <vector>

namespace seq2seq {

/// Options of Subwords::train.
struct SubwordOptions {
  std::size_t size = 8000;  // pieces at most
  std::string kind = "unigram";
  double coverage = 0.9995;  // share of the characters that have a piece
};

/// A model that cuts text into pieces and joins them again. Every function throws ValueError if the program was built
/// without SentencePiece.
class Subwords {
 public:
  /// Throws ValueError if the program was built without SentencePiece. `option` is for the message.
  static void check_built(const std::string& option);
  /// Learns pieces from texts; equal texts give equal models. ValueError for a size below the number of characters.
  static Subwords train(const std::vector<std::string>& texts, const SubwordOptions& options);
  /// Reads what save() wrote. IoError, FormatError.
  static Subwords load(const std::string& path);

  void save(const std::string& path) const;
  /// Returns a hash of the model.
  [[nodiscard]] std::string hash() const;
  /// Returns the pieces of a text. Characters without a piece are pieces that no vocabulary has.
  [[nodiscard]] std::vector<std::string> pieces(const std::string& text) const;
  [[nodiscard]] std::string text(const std::vector<std::string>& pieces) const;

 private:
  struct State;
  static Subwords of(std::string bytes, const std::string& name);
  std::shared_ptr<const State> state_;
};

}  // namespace seq2seq
