// seq2seq translate: translates lines of text.

#include "../console.hpp"
#include "../ranks.hpp"
#include "decode.hpp"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace seq2seq {

namespace {

/// Reads lines, writes translations, and counts what did not go well.
class Translator {
 public:
  explicit Translator(const TranslateSettings& s)
      : settings_(s),
        bundle_(load_bundle(s.folder)),
        most_(static_cast<std::size_t>(bundle_.model->options().max_length)) {
    need_same_model(team_, s.folder, bundle_);
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
    console::complain("seq2seq", std::to_string(failed_) + " of " +
                                     console::counted(lines->number(), "line") +
                                     " could not be translated; the output has empty lines there");
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
    if (!lines.fault().empty()) {
      fail(lines.fault());
    } else {
      source.ids = bundle_.language.source_ids(lines.line());
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
        decode(*bundle_.model, bundle_.language, sources_, settings_.decode,
               [this](std::size_t i, const std::string& why) {
                 fail(name_ + ": line " + std::to_string(sources_[i].line + 1) + ": " + why);
               });
    for (const auto& list : lists) {
      for (std::size_t k = 0; k < settings_.decode.n_best; ++k) {
        if (settings_.scores) {
          console::print_format(
              "%.4f\t", k < list.size() ? list[k].score : -std::numeric_limits<double>::infinity());
        }
        if (k < list.size()) console::print(bundle_.language.target_text(list[k].tokens));
        console::print("\n");
      }
    }
    sources_.clear();
    console::check_output();
  }

  void fail(const std::string& why) {
    console::complain("seq2seq", why);
    ++failed_;
  }

  const TranslateSettings& settings_;
  xp::Team* const team_ = settings_.decode.team;  // null if alone
  const Bundle bundle_;
  const std::size_t most_;  // tokens of a source
  std::string name_;        // of the input
  std::vector<Source> sources_;
  std::size_t failed_ = 0, cropped_ = 0, tokens_ = 0, unknown_ = 0;
};

}  // namespace

int translate(const TranslateSettings& s) {
  console::need_output();
  check_decoding(s.decode);
  return Translator(s).run();
}

}  // namespace seq2seq
