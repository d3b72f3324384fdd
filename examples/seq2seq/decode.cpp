#include "decode.hpp"

#include "../console.hpp"
#include "../ranks.hpp"
#include "corpus.hpp"

#include <algorithm>
#include <cmath>

namespace seq2seq {

namespace {

using Lists = std::vector<std::vector<xp::Hypothesis>>;

constexpr double kMargin = 10;  // tokens that --length-factor adds

/// Decodes with several models, one source after the other.
Lists decode_together(const Models& models, const std::vector<const Source*>& sources,
                      const DecodeSettings& s, const xp::DecodingOptions& options) {
  Lists lists;
  for (const Source* source : sources) {
    xp::DecodingOptions here = options;
    if (s.length_factor > 0) {
      const double limit = s.length_factor * static_cast<double>(source->ids.size()) + kMargin;
      if (limit < static_cast<double>(here.max_length)) {
        here.max_length = static_cast<std::size_t>(std::ceil(limit));
      }
    }
    // As greedy, whose score is the probability alone.
    const double penalty = s.beam > 1 ? s.length_penalty : 0;
    lists.push_back(
        search_together(models, source->ids,
                        {.width = s.beam, .n_best = s.n_best, .length_penalty = penalty}, here));
  }
  return lists;
}

Lists decode_batch(const Models& models, const Language& language,
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
  const xp::Seq2Seq<float>& model = *models[0];
  const std::size_t most = longest(models);
  xp::DecodingOptions options{.max_length =
                                  s.max_length == 0 ? most : std::min(s.max_length, most)};
  if (!s.allow_unknown) options.suppress = {language.target.unknown()};
  options.attention = s.attention;
  options.on_token = s.on_token;
  if (models.size() > 1) return decode_together(models, sources, s, options);
  if (s.length_factor > 0) {
    std::vector<double> limits;
    for (const auto& row : rows) {
      limits.push_back(s.length_factor * static_cast<double>(row.size()) + kMargin);
    }
    options.on_token = [limits = std::move(limits), &s](const xp::WrittenToken& token) {
      if (s.on_token && !s.on_token(token)) return false;
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
Lists decode_safely(const Models& models, const Language& language,
                    const std::vector<const Source*>& sources, const DecodeSettings& s,
                    const std::function<void(std::size_t, const std::string&)>& failed) {
  try {
    return decode_batch(models, language, sources, s);
  } catch (const std::exception& e) {
    if (!failed) throw;
    if (sources.size() == 1) {
      failed(0, e.what());
      return Lists(1);
    }
  }
  Lists lists;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    Lists one = decode_safely(models, language, {sources[i]}, s,
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
      const bool looked = h.attention.dimension() == 2;
      own.put<std::uint64_t>(looked ? h.attention.shape()[1] : 0);
      own.put(looked ? std::vector<double>(h.attention.begin(), h.attention.end())
                     : std::vector<double>());
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
        std::uint64_t columns = 0;
        std::vector<double> looked;
        message.get(columns);
        message.get(looked);
        if (columns == 0) continue;
        h.attention = xp::Array<double>(xp::Shape{looked.size() / columns, columns});
        std::copy(looked.begin(), looked.end(), h.attention.data());
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

std::vector<Bundle> load_others(xp::Team* team, const std::vector<std::string>& folders,
                                const Bundle& first) {
  std::vector<Bundle> others;
  for (const std::string& folder : folders) {
    others.push_back(load_bundle(folder));
    need_same_model(team, folder, others.back());
    if (same(others.back().language, first.language)) continue;
    throw xp::ValueError("--ensemble " + folder +
                         ": another language: its tokens differ, expected those of the first "
                         "model; train with the same files and options of tokens");
  }
  return others;
}

Models models_of(const Bundle& first, const std::vector<Bundle>& others) {
  Models models = {first.model.get()};
  for (const Bundle& other : others) models.push_back(other.model.get());
  return models;
}

std::size_t longest(const Models& models) {
  int most = models[0]->options().max_length;
  for (const auto* model : models) most = std::min(most, model->options().max_length);
  return static_cast<std::size_t>(most);
}

void check_decoding(const DecodeSettings& s, std::size_t models) {
  if (s.sample && models > 1) {
    throw xp::ValueError(
        "--sample: cannot be combined with --ensemble, expected one of them; leave one out");
  }
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

Lists decode(const Models& models, const Language& language, const std::vector<Source>& sources,
             const DecodeSettings& s, const Failed& failed) {
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
    Lists found = decode_safely(models, language, some, s, failed_here);
    for (std::size_t i = begin; i < end; ++i) {
      lists[order[i]] = std::move(found[i - begin]);
      mine.push_back(order[i]);
    }
  }
  if (s.team != nullptr) gather(*s.team, mine, lists, failures);
  for (const Failure& failure : failures) failed(failure.index, failure.why);
  return lists;
}

Scores score(const Models& models, const Language& language, const std::vector<Pair>& pairs,
             const DecodeSettings& settings, std::vector<std::string>& outputs) {
  const std::size_t most = longest(models);
  std::vector<Source> sources;
  for (const Pair& pair : pairs) {
    Source& source = sources.emplace_back();
    source.ids = language.source_ids(pair.source);
    if (settings.crop) language.crop(source.ids, most);
    if (source.ids.size() > most) source.ids.clear();
  }
  const Lists lists = decode(models, language, sources, settings);
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
