// seq2seq translate: translates lines of text.

#include "../console.hpp"
#include "../ranks.hpp"
#include "decode.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <memory>
#include <system_error>

#include <nlohmann/json.hpp>

namespace seq2seq {

namespace {

using Json = nlohmann::ordered_json;

/// Reads the object of a line of JSON. FormatError for anything but an object with a text "source"; an
/// object without one is left for the answer.
void read_object(const std::string& line, Json& to) {
  constexpr int kDepth = 32;
  Json object;
  try {
    object = Json::parse(line, [](int depth, Json::parse_event_t, const Json&) {
      if (depth > kDepth) throw xp::FormatError("nested too deeply");
      return true;
    });
  } catch (const Json::exception&) {
    throw xp::FormatError("malformed JSON: expected an object as {\"source\": \"a sentence\"}");
  }
  const bool text = object.is_object() && object.contains("source") && object["source"].is_string();
  if (object.is_object()) to = std::move(object);
  if (!text) {
    throw xp::FormatError(
        "no text 'source': expected an object as {\"source\": \"a sentence\"}; give it as a text");
  }
}

/// Returns pairs source-target: the source token that each token written looked at most. `ends` is true for a model
/// that reads a start and an end, which no token is aligned with.
std::string alignment_of(const xp::Hypothesis& text, bool ends) {
  std::string pairs;
  if (text.tokens.empty()) return pairs;
  const std::size_t columns = text.attention.shape()[1], first = ends ? 1 : 0;
  for (std::size_t j = 0; j < text.tokens.size(); ++j) {
    std::size_t best = first;
    for (std::size_t i = first; i + first < columns; ++i) {
      if (text.attention(j, i) > text.attention(j, best)) best = i;
    }
    pairs += (j == 0 ? "" : " ") + std::to_string(best - first) + "-" + std::to_string(j);
  }
  return pairs;
}

/// Reads lines, writes translations, and counts what did not go well.
class Translator {
 public:
  explicit Translator(const TranslateSettings& s)
      : settings_(s),
        decoding_(s.decode),
        bundle_(load_bundle(s.folder)),
        others_(load_others(team_, s.ensemble, bundle_)),
        models_(models_of(bundle_, others_)),
        most_(longest(models_)) {
    need_same_model(team_, s.folder, bundle_);
    decoding_.attention = s.json || !s.alignment.empty();
    if (!s.alignment.empty() && console::leads(team_)) {
      console::need_other("--alignment", s.alignment, {s.input});
      alignment_.open(s.alignment);
      check_alignment();
    }
  }

  /// Returns the exit status.
  int run() {
    if (console::leads(team_)) return lead();
    while (receive()) write();
    return failed_ == 0 ? 0 : 1;
  }

 private:
  // Rank 0 reads, and sends the sentences to the others; all translate.
  int lead() {
    const bool standard = settings_.input == "-";
    const auto lines = standard ? std::make_unique<xp::LineReader>(STDIN_FILENO, "standard input")
                                : std::make_unique<xp::LineReader>(settings_.input);
    // Terminal input is translated line by line, other input in batches.
    const bool person = standard && ::isatty(STDIN_FILENO) == 1;
    const auto ranks = static_cast<std::size_t>(team_ == nullptr ? 1 : team_->size());
    const std::size_t many =
        person ? 1 : 16 * ranks * std::min<std::size_t>(settings_.decode.batch, 4096);
    name_ = standard ? "standard input" : settings_.input;
    try {
      while (lines->next()) {
        take(*lines);
        if (sources_.size() == many) send_and_write();
      }
    } catch (const xp::Error&) {
      send_and_write();  // the lines before the damage
      throw;
    }
    send_and_write();
    if (team_ != nullptr) console::from_lead(team_, [&] { return message_of(false); });
    tell_unknown(unknown_, tokens_);
    if (cropped_ != 0) {
      console::complain("seq2seq", console::counted(cropped_, "line") +
                                       (cropped_ == 1 ? " was" : " were") + " cut to " +
                                       std::to_string(most_) + " tokens, as --crop says");
    }
    if (failed_ == 0) return 0;
    console::complain("seq2seq",
                      std::to_string(failed_) + " of " + console::counted(lines->number(), "line") +
                          " could not be translated; the output has " +
                          (settings_.json ? "no translations" : "empty lines") + " there");
    return 1;
  }

  /// Returns the sentences for the other ranks, or the end.
  [[nodiscard]] std::string message_of(bool more) const {
    console::Message message;
    message.put(more);
    message.put<std::uint64_t>(failed_);
    if (more) message.put(name_);
    for (const Source& source : sources_) {
      message.put(source.line);
      message.put(source.ids);
    }
    return message.bytes();
  }
  bool receive() {
    console::Message message(console::from_lead(team_, [] { return std::string(); }));
    bool more = false;
    message.get(more);
    message.get(failed_);
    if (more) message.get(name_);
    while (!message.done()) {
      Source& source = sources_.emplace_back();
      message.get(source.line);
      message.get(source.ids);
    }
    return more;
  }
  void send_and_write() {
    if (team_ != nullptr) console::from_lead(team_, [&] { return message_of(true); });
    write();
  }

  void take(const xp::LineReader& lines) {
    Source source{{}, lines.number() - 1};
    if (settings_.json) objects_.emplace_back(Json::object());
    if (!lines.fault().empty()) {
      fail(lines.fault());
    } else {
      std::string text = lines.line();
      if (settings_.json) text = text_of(lines);
      source.ids = bundle_.language.source_ids(text);
      if (source.ids.size() > most_ && settings_.decode.crop) {
        bundle_.language.crop(source.ids, most_);
        ++cropped_;
      } else if (source.ids.size() > most_) {
        fail(lines.place() + ": too long: it has " + std::to_string(source.ids.size()) +
             " tokens, expected at most " + std::to_string(most_) +
             "; shorten it, give --crop, or train with a larger --max-length");
        source.ids = {};
      }
    }
    tokens_ += source.ids.size();
    unknown_ += static_cast<std::size_t>(
        std::count(source.ids.begin(), source.ids.end(), bundle_.language.source.unknown()));
    sources_.push_back(std::move(source));
  }

  void write() {
    const auto lists =
        decode(models_, bundle_.language, sources_, decoding_,
               [this](std::size_t i, const std::string& why) {
                 fail(name_ + ": line " + std::to_string(sources_[i].line + 1) + ": " + why);
               });
    if (!console::leads(team_)) {
      sources_.clear();
      return;
    }
    for (std::size_t i = 0; settings_.json && i < lists.size(); ++i) write_object(i, lists[i]);
    for (const auto& list : lists) {
      for (std::size_t k = 0; alignment_.is_open() && k < decoding_.n_best; ++k) {
        if (k < list.size()) alignment_ << alignment_of(list[k], bundle_.language.source_ends);
        alignment_ << '\n';
      }
      for (std::size_t k = 0; !settings_.json && k < decoding_.n_best; ++k) {
        if (settings_.scores) {
          console::print_format(
              "%.4f\t", k < list.size() ? list[k].score : -std::numeric_limits<double>::infinity());
        }
        if (k < list.size()) console::print(bundle_.language.target_text(list[k].tokens));
        console::print("\n");
      }
    }
    sources_.clear();
    objects_.clear();
    console::check_output();
    if (alignment_.is_open()) check_alignment();
  }

  /// Returns the text of the object of a line, which is kept; an empty one for a line that has none.
  std::string text_of(const xp::LineReader& lines) {
    try {
      read_object(lines.line(), objects_.back());
      return objects_.back()["source"];
    } catch (const xp::FormatError& e) {
      fail(lines.place() + ": " + e.what());
      return {};
    }
  }

  /// Returns tokens as people spell them.
  static std::vector<std::string> words(std::vector<std::string> tokens) {
    for (std::string& token : tokens) token = Language::word(token);
    return tokens;
  }

  void write_object(std::size_t i, const std::vector<xp::Hypothesis>& list) {
    Json& object = objects_[i];
    if (object.contains("source") && object["source"].is_string()) {
      object["source_tokens"] = words(bundle_.language.source_tokens(object["source"]));
    }
    object["translations"] = Json::array();
    for (const xp::Hypothesis& text : list) {
      object["translations"].push_back(
          {{"text", bundle_.language.target_text(text.tokens)},
           {"score", text.score},
           {"log_probability", text.log_probability},
           {"tokens", words(bundle_.language.target.decode(text.tokens))},
           {"alignment", alignment_of(text, bundle_.language.source_ends)}});
    }
    console::print(object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  /// Throws an IoError if alignments were lost.
  void check_alignment() {
    alignment_.flush();
    if (alignment_.good()) return;
    throw xp::IoError(settings_.alignment +
                          ": cannot be written: " + std::generic_category().message(errno) +
                          ", expected room for all of it; choose another --alignment",
                      settings_.alignment, errno);
  }

  void fail(const std::string& why) {
    console::complain("seq2seq", why);
    ++failed_;
  }

  const TranslateSettings& settings_;
  xp::Team* const team_ = settings_.decode.team;  // null if alone
  DecodeSettings decoding_;
  const Bundle bundle_;
  const std::vector<Bundle> others_;
  const Models models_;
  const std::size_t most_;  // tokens of a source
  std::string name_;        // of the input
  std::vector<Source> sources_;
  std::vector<Json> objects_;  // of the sources
  std::ofstream alignment_;
  std::size_t failed_ = 0, cropped_ = 0, tokens_ = 0, unknown_ = 0;
};

}  // namespace

int translate(const TranslateSettings& s) {
  console::need_output();
  check_decoding(s.decode, 1 + s.ensemble.size());
  if (s.json && (s.scores || !s.alignment.empty())) {
    throw xp::ValueError(
        "--json: cannot be combined with --scores or --alignment, expected it alone, because its "
        "lines have both; leave them out");
  }
  return Translator(s).run();
}

}  // namespace seq2seq
