#include "run/checkpoint_file.hpp"

#include "base/crc.hpp"
#include "io/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace xtape::io {
namespace {

constexpr std::string_view kWeights = "params/";
constexpr std::string_view kOptimizer = "optimizer/";
constexpr const char* kChecksumKey = "crc32c";  // sorts before the other key
constexpr const char* kNotesKey = "xtape.checkpoint";
// The header begins with this, and the digits follow.
constexpr std::string_view kBeforeDigits = R"({"__metadata__":{"crc32c":")";
constexpr std::size_t kDigitsAt = 8 + kBeforeDigits.size();
constexpr std::string_view kBlank = "00000000";  // the checksum is over these in its own place
constexpr int kVersion = 1;

/// A number that reads back bit by bit, here and in Python. NaN and infinities are texts.
std::string json_number(double value) {
  if (std::isnan(value)) return "\"nan:" + hex(std::bit_cast<std::uint64_t>(value), 16) + '"';
  if (std::isinf(value)) return value < 0 ? "\"-inf\"" : "\"inf\"";
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  std::string out(digits.data(), end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";  // -0 would be read as an integer
  return out;
}

template <class Value, class Write>
std::string json_object(const std::map<std::string, Value>& values, Write&& write) {
  std::string out = "{";
  for (const auto& [key, value] : values) {
    if (out.size() > 1) out += ',';
    out += json_quoted(key) + ':' + write(value);
  }
  return out + '}';
}

std::string notes(const CheckpointView& c) {
  const TrainingProgress& p = c.progress;
  const std::string arithmetic =
      p.arithmetic == 0 ? "" : ",\"arithmetic\":" + std::to_string(p.arithmetic);
  return "{\"version\":" + std::to_string(kVersion) + arithmetic +
         ",\"epoch\":" + std::to_string(p.epoch) + ",\"batch\":" + std::to_string(p.batch) +
         ",\"step\":" + std::to_string(p.step) + ",\"tape_seed\":" + std::to_string(p.tape_seed) +
         ",\"random_index\":" + std::to_string(p.random_index) +
         ",\"numbers\":" + json_object(p.numbers, json_number) +
         ",\"texts\":" + json_object(p.texts, json_quoted) +
         ",\"optimizer\":" + json_object(c.numbers, json_number) + '}';
}

/// Reads notes from left to right. It may accept too much: read_notes compares the text with what
/// writing makes of the result. (A tree of nlohmann's allocates in its destructor, which ends the program
/// when memory runs out.)
class NotesReader {
 public:
  NotesReader(std::string_view text, const Source& source) : rest_(text), source_(source) {}

  [[noreturn]] void fail() const {
    source_.fail(8,
                 "notes out of form, expected exactly what a checkpoint of what they say has; the "
                 "file was not written by xtape");
  }

  bool accept(std::string_view literal) {
    if (!rest_.starts_with(literal)) return false;
    rest_.remove_prefix(literal.size());
    return true;
  }

  void expect(std::string_view literal) {
    if (!accept(literal)) fail();
  }

  std::uint64_t whole() { return parsed<std::uint64_t>(); }
  std::int64_t count() {
    const auto value = parsed<std::int64_t>();
    if (value < 0) fail();
    return value;
  }

  double number() {
    if (!rest_.starts_with('"')) return parsed<double>();
    const std::string text = string();
    if (text == "inf") return INFINITY;
    if (text == "-inf") return -INFINITY;
    std::uint64_t bits = 0;
    if (text.size() == 20) std::from_chars(text.data() + 4, text.data() + 20, bits, 16);
    return std::bit_cast<double>(bits);
  }

  /// Reads a string with the escapes that json_quoted writes.
  std::string string() {
    std::string out;
    for (expect("\""); !accept("\"");) {
      if (rest_.empty()) fail();
      if (accept("\\")) {
        out += escape();
      } else {
        out += rest_.front();
        rest_.remove_prefix(1);
      }
    }
    return out;
  }

  template <class Value, class Read> std::map<std::string, Value> object(Read&& read) {
    std::map<std::string, Value> out;
    expect("{");
    while (!accept("}")) {
      if (!out.empty()) expect(",");
      std::string key = string();
      expect(":");
      out.emplace_hint(out.end(), std::move(key), read());
    }
    return out;
  }

  std::map<std::string, double> numbers() {
    return object<double>([this] { return number(); });
  }

 private:
  char escape() {
    constexpr std::string_view written = "\"\\bfnrt";
    constexpr std::string_view meant = "\"\\\b\f\n\r\t";
    if (rest_.empty()) fail();
    const std::size_t which = written.find(rest_.front());
    if (which != std::string_view::npos) {
      rest_.remove_prefix(1);
      return meant[which];
    }
    expect("u00");
    unsigned code = 0;
    std::from_chars(rest_.data(), rest_.data() + std::min<std::size_t>(2, rest_.size()), code, 16);
    rest_.remove_prefix(std::min<std::size_t>(2, rest_.size()));
    return static_cast<char>(code);
  }

  template <class Number> Number parsed() {
    Number value{};
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc()) fail();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  std::string_view rest_;
  const Source& source_;
};

void read_notes(const std::string& text, CheckpointView& c, const Source& source) {
  NotesReader reader(text, source);
  reader.expect("{\"version\":");
  if (const std::uint64_t version = reader.whole(); version != kVersion) {
    source.fail(8, "another version: the checkpoint's is ", version, ", expected ", kVersion,
                "; read it with the xtape that wrote it");
  }
  TrainingProgress& p = c.progress;
  p.arithmetic = reader.accept(",\"arithmetic\":") ? reader.count() : 0;
  reader.expect(",\"epoch\":");
  p.epoch = reader.count();
  reader.expect(",\"batch\":");
  p.batch = reader.count();
  reader.expect(",\"step\":");
  p.step = reader.count();
  reader.expect(",\"tape_seed\":");
  p.tape_seed = reader.whole();
  reader.expect(",\"random_index\":");
  p.random_index = reader.whole();
  reader.expect(",\"numbers\":");
  p.numbers = reader.numbers();
  reader.expect(",\"texts\":");
  p.texts = reader.object<std::string>([&] { return reader.string(); });
  reader.expect(",\"optimizer\":");
  c.numbers = reader.numbers();
  if (notes(c) != text) reader.fail();
}

void check_checksum(Bytes bytes, const Source& source) {
  const std::string_view digits = text_of(bytes).substr(kDigitsAt, kBlank.size());
  const Bytes behind = bytes.subspan(kDigitsAt + kBlank.size());
  const std::uint32_t sum =
      detail::crc32c(behind, detail::crc32c(bytes_of(kBlank),  //
                                            detail::crc32c(bytes.first(kDigitsAt))));
  if (hex(sum, kBlank.size()) != digits) {
    source.fail(kDigitsAt, "damaged: checksum is ", hex(sum, kBlank.size()), ", expected ",
                escaped(digits, kBlank.size()), "; go on from an earlier checkpoint");
  }
}

/// Moves tensors whose names begin with `prefix`, and removes it.
void take(Views& from, std::string_view prefix, Views& to) {
  for (auto at = from.lower_bound(std::string(prefix));
       at != from.end() && at->first.starts_with(prefix); at = from.erase(at)) {
    to.emplace_hint(to.end(), at->first.substr(prefix.size()), std::move(at->second));
  }
}

}  // namespace

CheckpointView parse_checkpoint(Bytes bytes, const Source& source) {
  Metadata metadata;
  Views views = parse_safetensors_views(bytes, source, &metadata);
  if (text_of(bytes).substr(8, kBeforeDigits.size()) != kBeforeDigits ||
      metadata[kChecksumKey].size() != kBlank.size()) {
    source.fail(8, "not a checkpoint: its header does not begin with a checksum, expected ",
                kBeforeDigits, "...; load a file of weights with load()");
  }
  check_checksum(bytes, source);
  if (metadata.size() != 2 || !metadata.contains(kNotesKey)) {
    source.fail(8, "not a checkpoint: metadata has ", metadata.size(),
                " texts, expected crc32c and ", kNotesKey, "; load a file of weights with load()");
  }
  CheckpointView c;
  read_notes(metadata[kNotesKey], c, source);
  if (!views.empty()) c.dtype = views.begin()->second.dtype;
  for (const auto& [name, view] : views) {
    if (view.dtype != c.dtype || (c.dtype != DType::f32 && c.dtype != DType::f64)) {
      source.fail(8, "dtype out of form: tensor ", printable(name), " is ", to_string(view.dtype),
                  ", expected F32 or F64, the same in the whole checkpoint");
    }
  }
  take(views, kWeights, c.weights);
  take(views, kOptimizer, c.optimizer);
  if (!views.empty()) {
    source.fail(8, "name out of form: tensor ", printable(views.begin()->first), ", expected ",
                kWeights, "... or ", kOptimizer, "...");
  }
  return c;
}

void write_checkpoint_to(const Sink& sink, const std::string& path, const CheckpointView& c) {
  const TrainingProgress& p = c.progress;
  if (p.epoch < 0 || p.batch < 0 || p.step < 0) {
    detail::fail<ValueError>(path, "progress out of range: epoch is ", p.epoch, ", batch ", p.batch,
                             ", step ", p.step, ", expected 0 or more");
  }
  const auto check_text = [&](const std::string& key, const std::string& text) {
    if (valid_utf8(key) && valid_utf8(text)) return;
    detail::fail<ValueError>(
        path, "progress a file cannot hold: ", printable(key),
        " or its text is not UTF-8, expected UTF-8; encode it, say in base 64");
  };
  for (const auto& [key, number] : p.numbers) check_text(key, "");
  for (const auto& [key, text] : p.texts) check_text(key, text);
  Views tensors;
  for (const auto& [name, view] : c.weights) tensors.emplace(std::string(kWeights) + name, view);
  for (const auto& [name, view] : c.optimizer) {
    tensors.emplace(std::string(kOptimizer) + name, view);
  }
  Metadata metadata{{kChecksumKey, std::string(kBlank)}, {kNotesKey, notes(c)}};
  std::uint32_t sum = 0;
  write_safetensors_to([&](Bytes bytes) { sum = detail::crc32c(bytes, sum); }, path, tensors,
                       metadata);
  metadata[kChecksumKey] = hex(sum, kBlank.size());
  write_safetensors_to(sink, path, tensors, metadata);
}

}  // namespace xtape::io
