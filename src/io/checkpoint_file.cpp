#include "io/checkpoint_file.hpp"

#include "base/crc.hpp"
#include "io/safetensors_header.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <charconv>
#include <cmath>

namespace xtape::io {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kWeights = "params/";
constexpr std::string_view kOptimizer = "optimizer/";
constexpr const char* kChecksumKey = "crc32c";  // sorts before the other key
constexpr const char* kNotesKey = "xtape.checkpoint";
// The header begins with this, and the digits follow.
constexpr std::string_view kBeforeDigits = R"({"__metadata__":{"crc32c":")";
constexpr std::size_t kDigitsAt = 8 + kBeforeDigits.size();
constexpr std::string_view kBlank = "00000000";  // the checksum is over these in its own place
constexpr int kVersion = 1;

std::string hex(std::uint64_t value, std::size_t digits) {
  std::string out(digits, '0');
  for (std::size_t i = digits; i-- > 0; value >>= 4U) out[i] = "0123456789abcdef"[value & 15U];
  return out;
}

/// A number that reads back bit by bit, here and in Python; what JSON has no number for is a text.
std::string json_number(double value) {
  if (std::isnan(value)) return "\"nan:" + hex(std::bit_cast<std::uint64_t>(value), 16) + '"';
  if (std::isinf(value)) return value < 0 ? "\"-inf\"" : "\"inf\"";
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  std::string out(digits.data(), end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";  // -0 would be read as an integer
  return out;
}

std::string json_numbers(const std::map<std::string, double>& numbers) {
  std::string out = "{";
  for (const auto& [key, value] : numbers) {
    if (out.size() > 1) out += ',';
    out += json_quoted(key) + ':' + json_number(value);
  }
  return out + '}';
}

std::string json_texts(const std::map<std::string, std::string>& texts) {
  std::string out = "{";
  for (const auto& [key, value] : texts) {
    if (out.size() > 1) out += ',';
    out += json_quoted(key) + ':' + json_quoted(value);
  }
  return out + '}';
}

std::string notes(const CheckpointView& c) {
  const TrainingProgress& p = c.progress;
  return "{\"version\":" + std::to_string(kVersion) + ",\"epoch\":" + std::to_string(p.epoch) +
         ",\"batch\":" + std::to_string(p.batch) + ",\"step\":" + std::to_string(p.step) +
         ",\"tape_seed\":" + std::to_string(p.tape_seed) +
         ",\"random_index\":" + std::to_string(p.random_index) +
         ",\"numbers\":" + json_numbers(p.numbers) + ",\"texts\":" + json_texts(p.texts) +
         ",\"optimizer\":" + json_numbers(c.numbers) + '}';
}

double number_of(const Json& value) {
  if (!value.is_string()) return value.get<double>();
  const auto& text = value.get_ref<const std::string&>();
  if (text == "inf") return INFINITY;
  if (text == "-inf") return -INFINITY;
  std::uint64_t bits = 0;
  if (text.size() == 20) std::from_chars(text.data() + 4, text.data() + 20, bits, 16);
  return std::bit_cast<double>(bits);
}

void read_numbers(const Json& from, std::map<std::string, double>& to) {
  for (const auto& [key, value] : from.items()) to.emplace(key, number_of(value));
}

std::uint64_t whole(const Json& from, const char* key) {
  const Json& value = from.at(key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

void read_notes(const std::string& text, CheckpointView& c, const Source& source) {
  // Reading is generous, because the text must be what writing makes of the result.
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > 2) source.fail(8, "notes nested too deep, expected those of a checkpoint");
    return true;
  };
  try {
    const Json json = Json::parse(text, shallow);
    if (const std::uint64_t version = whole(json, "version"); version != kVersion) {
      source.fail(8, "another version: the checkpoint's is ", version, ", expected ", kVersion,
                  "; read it with the xtape that wrote it");
    }
    TrainingProgress& p = c.progress;
    p.epoch = static_cast<std::int64_t>(whole(json, "epoch"));
    p.batch = static_cast<std::int64_t>(whole(json, "batch"));
    p.step = static_cast<std::int64_t>(whole(json, "step"));
    p.tape_seed = whole(json, "tape_seed");
    p.random_index = whole(json, "random_index");
    read_numbers(json.at("numbers"), p.numbers);
    for (const auto& [key, value] : json.at("texts").items()) {
      p.texts.emplace(key, value.get<std::string>());
    }
    read_numbers(json.at("optimizer"), c.numbers);
  } catch (const Json::exception& e) {
    source.fail(8, "notes out of form: ", escaped(e.what(), 200),
                ", expected those of a checkpoint; the file was not written by xtape");
  }
  if (c.progress.epoch < 0 || c.progress.batch < 0 || c.progress.step < 0 || notes(c) != text) {
    source.fail(8,
                "notes out of form, expected exactly what a checkpoint of what they say has; the "
                "file was not written by xtape");
  }
}

void check_checksum(Bytes bytes, const Source& source) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view digits = text.substr(kDigitsAt, kBlank.size());
  const Bytes behind = bytes.subspan(kDigitsAt + kBlank.size());
  const std::uint32_t sum =
      detail::crc32c(behind, detail::crc32c(bytes_of(kBlank),  //
                                            detail::crc32c(bytes.first(kDigitsAt))));
  if (hex(sum, kBlank.size()) != digits) {
    source.fail(kDigitsAt, "damaged: checksum is ", hex(sum, kBlank.size()), ", expected ",
                escaped(digits, kBlank.size()), "; go on from an earlier checkpoint");
  }
}

/// Tensors whose names begin with `prefix`, without it.
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
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(8, kBeforeDigits.size()) != kBeforeDigits ||
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
  for (const auto& [name, view] : c.optimizer)
    tensors.emplace(std::string(kOptimizer) + name, view);
  Metadata metadata{{kChecksumKey, std::string(kBlank)}, {kNotesKey, notes(c)}};
  std::uint32_t sum = 0;
  write_safetensors_to([&](Bytes bytes) { sum = detail::crc32c(bytes, sum); }, path, tensors,
                       metadata);
  metadata[kChecksumKey] = hex(sum, kBlank.size());
  write_safetensors_to(sink, path, tensors, metadata);
}

}  // namespace xtape::io
