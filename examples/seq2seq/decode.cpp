#include "decode.hpp"

#include "../console.hpp"
#include "../ranks.hpp"
#include "corpus.hpp"

#include <algorithm>

namespace seq2seq {

namespace {

using Lists = std::vector<std::vector<xp::Hypothesis>>;

constexpr double kMargin = 10;  // tokens that --length-factor adds

Lists decode_batch(const xp::Seq2Seq<float>& model, const Language& language,
                   const std::vector<const Source*>& sources, const DecodeSettings& s) {
  // Each source has a row for each of its samples.
  const std::size_t samples = s.sample ? s.n_best : 1;
  std::vector<std::vector<std::int64_t>> rows;
  std::vector<std::uint64_t> streams;
  for (const Source* source : sources) {
    for (std::uint64_t k = 0; k < samples; ++k) {
      rows.push_back(source->ids);
      streams.push_back(source->line + (k << 40U));  // no text has so many lines
    }
  }
  const xp::Padded batch = xp::pad(rows, language.source.pad());
  const auto most = static_cast<std::size_t>(model.options().max_length);
  xp::DecodingOptions options{.max_length =
                                  s.max_length == 0 ? most : std::min(s.max_length, most)};
  if (!s.allow_unknown) options.suppress = {language.target.unknown()};
  if (s.length_factor > 0) {
    std::vector<double> limits;
    for (const auto& row : rows) {
      limits.push_back(s.length_factor * static_cast<double>(row.size()) + kMargin);
    }
    options.on_token = [limits = std::move(limits)](const xp::WrittenToken& token) {
      return static_cast<double>(token.position) + 1 < limits[token.row];
    };
  }
  if (s.beam > 1) {
    const xp::BeamOptions beam{
        .width = s.beam, .n_best = s.n_best, .length_penalty = s.length_penalty};
    return xp::beam_search(model, batch.ids, batch.mask, beam, options);
  }
  std::vector<xp::Hypothesis> found;
  if (s.sample) {
    found = xp::sample(model, batch.ids, batch.mask,
                       {.temperature = s.temperature,
                        .top_k = s.top_k,
                        .top_p = s.top_p,
                        .seed = s.seed,
                        .streams = std::move(streams)},
                       options);
  } else {
    found = xp::greedy(model, batch.ids, batch.mask, options);
  }
  Lists lists(sources.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    lists[i / samples].push_back(std::move(found[i]));
  }
  return lists;
}

/// Decodes a batch. If that fails it decodes one source after the other, to find those at fault.
Lists decode_safely(const xp::Seq2Seq<float>& model, const Language& language,
                    const std::vector<const Source*>& sources, const DecodeSettings& s,
                    const std::function<void(std::size_t, const std::string&)>& failed) {
  try {
    return decode_batch(model, language, sources, s);
  } catch (const std::exception& e) {
    if (!failed) throw;
    if (sources.size() == 1) {
      failed(0, e.what());
      return Lists(1);
    }
  }
  Lists lists;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    Lists one = decode_safely(model, language, {sources[i]}, s,
                              [&](std::size_t, const std::string& why) { failed(i, why); });
    lists.push_back(std::move(one[0]));
  }
  return lists;
}

/// A source that cannot be translated: its place in the order of decoding, its index, and the reason.
struct Failure {
  std::size_t place = 0, index = 0;
  std::string why;
};

/// Completes the lists and failures of this rank by those of the others. `mine` are the indices that it decoded.
void gather(xp::Team& team, const std::vector<std::size_t>& mine, Lists& lists,
            std::vector<Failure>& failures) {
  console::Message own;
  own.put<std::uint64_t>(mine.size());
  for (const std::size_t i : mine) {
    own.put<std::uint64_t>(i);
    own.put<std::uint64_t>(lists[i].size());
    for (const xp::Hypothesis& h : lists[i]) {
      own.put(h.tokens);
      own.put(h.log_probability);
      own.put(h.score);
      own.put(h.ended);
    }
  }
  for (const Failure& failure : failures) {
    own.put<std::uint64_t>(failure.place);
    own.put<std::uint64_t>(failure.index);
    own.put(failure.why);
  }
  failures.clear();
  for (std::string& bytes : team.all_gather(own.bytes())) {
    console::Message message(std::move(bytes));
    std::uint64_t decoded = 0, i = 0, size = 0;
    for (message.get(decoded); decoded > 0; --decoded) {
      message.get(i);
      message.get(size);
      lists[i] = std::vector<xp::Hypothesis>(size);
      for (xp::Hypothesis& h : lists[i]) {
        message.get(h.tokens);
        message.get(h.log_probability);
        message.get(h.score);
        message.get(h.ended);
      }
    }
    while (!message.done()) {
      Failure& failure = failures.emplace_back();
      message.get(failure.place);
      message.get(failure.index);
      message.get(failure.why);
    }
  }
  std::sort(failures.begin(), failures.end(),
            [](const Failure& a, const Failure& b) { return a.place < b.place; });
}

}  // namespace

void tell_unknown(std::size_t unknown, std::size_t tokens) {
  if (unknown == 0) return;
  console::complain("seq2seq", std::to_string(unknown) + " of " +
                                   console::counted(tokens, "token") + " of the input " +
                                   (unknown == 1 ? "is" : "are") +
                                   " unknown to the model: not in its training file");
}

void check_decoding(const DecodeSettings& s) {
  if (s.n_best > s.beam && !s.sample) {
    throw xp::ValueError("--n-best: too many: it is " + std::to_string(s.n_best) +
                         ", expected at most --beam, " + std::to_string(s.beam) +
                         "; raise --beam, or give --sample");
  }
  if (s.sample && s.beam > 1) {
    throw xp::ValueError("--sample: cannot be combined with --beam " + std::to_string(s.beam) +
                         ", expected one of them; leave one out");
  }
}

Lists decode(const xp::Seq2Seq<float>& model, const Language& language,
             const std::vector<Source>& sources, const DecodeSettings& s, const Failed& failed) {
  // Batches have sentences of similar lengths. A translation does not depend on its batch.
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].ids.empty()) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return sources[a].ids.size() < sources[b].ids.size();
  });
  Lists lists(sources.size());
  std::vector<Failure> failures;
  std::vector<std::size_t> mine;
  // Ranks take batches in turn.
  const auto ranks = static_cast<std::size_t>(s.team == nullptr ? 1 : s.team->size());
  const auto rank = static_cast<std::size_t>(s.team == nullptr ? 0 : s.team->rank());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    end = std::min(begin + s.batch, order.size());
    if (begin / s.batch % ranks != rank) continue;
    std::vector<const Source*> some;
    for (std::size_t i = begin; i < end; ++i) some.push_back(&sources[order[i]]);
    Failed failed_here;
    if (failed) {
      failed_here = [&](std::size_t i, const std::string& why) {
        failures.push_back({begin + i, order[begin + i], why});
      };
    }
    Lists found = decode_safely(model, language, some, s, failed_here);
    for (std::size_t i = begin; i < end; ++i) {
      lists[order[i]] = std::move(found[i - begin]);
      mine.push_back(order[i]);
    }
  }
  if (s.team != nullptr) gather(*s.team, mine, lists, failures);
  for (const Failure& failure : failures) failed(failure.index, failure.why);
  return lists;
}

Scores score(const xp::Seq2Seq<float>& model, const Language& language,
             const std::vector<Pair>& pairs, const DecodeSettings& settings,
             std::vector<std::string>& outputs) {
  const auto most = static_cast<std::size_t>(model.options().max_length);
  std::vector<Source> sources;
  for (const Pair& pair : pairs) {
    Source& source = sources.emplace_back();
    source.ids = language.source_ids(pair.source);
    if (settings.crop) language.crop(source.ids, most);
    if (source.ids.size() > most) source.ids.clear();
  }
  const Lists lists = decode(model, language, sources, settings);
  xp::EditDistance errors;
  TextScores text(language.lowercase);
  xp::BLEU bleu({.lowercase = false});  // as exact match and the error rates beside it
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::vector<std::int64_t> ids =
        lists[i].empty() ? std::vector<std::int64_t>() : lists[i].front().tokens;
    const std::vector<std::string> written = language.target.decode(ids);
    std::vector<std::vector<std::string>> references;
    for (const std::string& target : pairs[i].targets) {
      references.push_back(language.target_tokens(target));
    }
    errors.update(written, references);
    bleu.update(written, references);
    outputs.push_back(language.target_text(ids));
    text.update(outputs.back(), pairs[i].targets);
  }
  const double wrong = errors.sequence_error_rate();
  return {100 - wrong, wrong, errors.result(), bleu.result(), std::move(text)};
}

}  // namespace seq2seq
