#include "decode.hpp"

#include "corpus.hpp"

#include <algorithm>
#include <numeric>

namespace seq2seq {

namespace {

using Lists = std::vector<std::vector<xp::Hypothesis>>;

Lists decode_batch(const xp::Seq2Seq<float>& model,
                   const std::vector<std::vector<std::int64_t>>& sources, std::int64_t pad,
                   const DecodeSettings& s, std::uint64_t first) {
  const xp::Padded batch = xp::pad(sources, pad);
  const auto most = static_cast<std::size_t>(model.options().max_length);
  const xp::DecodingOptions options{.max_length =
                                        s.max_length == 0 ? most : std::min(s.max_length, most)};
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
                        .first_stream = first},
                       options);
  } else {
    found = xp::greedy(model, batch.ids, batch.mask, options);
  }
  Lists lists;
  for (auto& one : found) lists.push_back({std::move(one)});
  return lists;
}

}  // namespace

Lists decode(const xp::Seq2Seq<float>& model, const Language& language,
             const std::vector<std::string>& texts, const DecodeSettings& s) {
  if (s.n_best > s.beam) {
    throw xp::ValueError("--n-best: too many: it is " + std::to_string(s.n_best) +
                         ", expected at most --beam, " + std::to_string(s.beam) + "; raise --beam");
  }
  if (s.sample && s.beam > 1) {
    throw xp::ValueError("--sample: cannot be combined with --beam " + std::to_string(s.beam) +
                         ", expected one of them; leave one out");
  }
  std::vector<std::vector<std::int64_t>> sources;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    sources.push_back(language.source_ids(texts[i]));
    if (sources.back().size() > static_cast<std::size_t>(model.options().max_length)) {
      throw xp::ValueError("sentence " + std::to_string(i + 1) + ": too long: it has " +
                           std::to_string(sources.back().size()) + " tokens, expected at most " +
                           std::to_string(model.options().max_length) +
                           "; shorten it, or train with a larger --max-length");
    }
  }
  // Batches have sentences of similar lengths. A translation does not depend on its batch.
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return sources[a].size() < sources[b].size();
  });
  Lists lists(texts.size());
  std::size_t begin = 0;
  for (; begin < order.size() && sources[order[begin]].empty(); ++begin) {
    lists[order[begin]].resize(1);
  }
  while (begin < order.size()) {
    const std::size_t end = std::min(begin + s.batch, order.size());
    std::vector<std::vector<std::int64_t>> some;
    for (std::size_t i = begin; i < end; ++i) some.push_back(sources[order[i]]);
    Lists found = decode_batch(model, some, language.source.pad(), s, begin);
    for (std::size_t i = begin; i < end; ++i) lists[order[i]] = std::move(found[i - begin]);
    begin = end;
  }
  return lists;
}

Scores score(const xp::Seq2Seq<float>& model, const Language& language,
             const std::vector<Pair>& pairs, const DecodeSettings& settings,
             std::vector<std::string>* outputs) {
  std::vector<std::string> sources;
  for (const Pair& pair : pairs) sources.push_back(pair.source);
  const Lists lists = decode(model, language, sources, settings);
  xp::EditDistance errors;
  xp::BLEU bleu;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::vector<std::string> written = language.target.decode(lists[i].front().tokens);
    std::vector<std::vector<std::string>> references;
    for (const std::string& target : pairs[i].targets) {
      references.push_back(language.target_tokens(target));
    }
    errors.update(written, references);
    bleu.update(written, references);
    if (outputs != nullptr) outputs->push_back(language.target_text(lists[i].front().tokens));
  }
  const double wrong = errors.sequence_error_rate();
  return {100 - wrong, wrong, errors.result(), bleu.result()};
}

}  // namespace seq2seq
