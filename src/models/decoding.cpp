// Decoding with one hypothesis per row: greedy() and sample().

#include <xtape/models/decoding.hpp>

#include "base/check.hpp"
#include "models/choice.hpp"

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::Ids;
using detail::StepLogits;
using detail::Stepper;

namespace {

/// One row of the batch while it is written.
struct Writing {
  std::size_t row = 0;
  Hypothesis text;
  std::vector<double> attention;  // of the tokens, one after the other
};

/// Writes one text per prompt. `choose(logits, i, row)` gives the next token of row `row`, whose logits
/// are row i of those computed.
template <class T, class Choose>
std::vector<Hypothesis> write(Stepper<T>& model, const DecodingOptions& options,
                              const Choose& choose) {
  const std::size_t batch = model.prompts.size();
  std::vector<Hypothesis> out(batch);
  if (batch == 0) return out;
  std::vector<Writing> running(batch);
  for (std::size_t r = 0; r < batch; ++r) running[r].row = r;

  // All rows stand at the same position. The first step reads the length of the shortest prompt. Longer
  // prompts are read further while other rows are written.
  Array<std::int64_t> next = model.first_tokens();
  std::size_t read = next.shape()[1];
  while (true) {
    StepLogits<T> logits(model.name, model.step(next), model.never);
    next = Array<std::int64_t>(Shape{running.size(), 1});
    Ids going;
    for (std::size_t i = 0; i < running.size(); ++i) {
      Writing& w = running[i];
      const Ids& prompt = model.prompts[w.row];
      if (read < prompt.size()) {
        next.data()[going.size()] = prompt[read];
        going.push_back(static_cast<std::int64_t>(i));
        continue;
      }
      const std::size_t position = read - prompt.size();
      if (model.end && position < options.min_length) logits.forbid(i, *model.end);
      const detail::Choice c = choose(logits, i, w.row);
      w.text.log_probability += c.log_probability;
      w.text.ended = model.end && c.token == *model.end;
      if (!w.text.ended) {
        w.text.tokens.push_back(c.token);
        if (options.attention) {
          const std::vector<double> looked = model.attention(i);
          w.attention.insert(w.attention.end(), looked.begin(),
                             looked.begin() + static_cast<std::ptrdiff_t>(model.columns[w.row]));
        }
      }
      const bool go_on = !options.on_token || options.on_token({w.row, 0, position, c.token,
                                                                c.log_probability, running.size()});
      if (w.text.ended || !go_on || position + 1 == options.max_length) {
        w.text.score = w.text.log_probability;
        if (options.attention) {
          w.text.attention = Array<double>(Shape{w.text.tokens.size(), model.columns[w.row]});
          std::copy(w.attention.begin(), w.attention.end(), w.text.attention.data());
        }
        out[w.row] = std::move(w.text);
      } else {
        next.data()[going.size()] = c.token;
        going.push_back(static_cast<std::int64_t>(i));
      }
    }
    if (going.empty()) return out;
    if (going.size() < running.size()) {
      // Rows that are finished take no more work.
      model.reorder(going);
      std::vector<Writing> rest;
      Array<std::int64_t> kept(Shape{going.size(), 1});
      for (std::size_t i = 0; i < going.size(); ++i) {
        rest.push_back(std::move(running[static_cast<std::size_t>(going[i])]));
        kept.data()[i] = next.data()[i];
      }
      running = std::move(rest);
      next = std::move(kept);
    }
    ++read;
  }
}

template <class T>
std::vector<Hypothesis> write_best(Stepper<T>& model, const DecodingOptions& options) {
  return write(model, options, [](const StepLogits<T>& logits, std::size_t i, std::size_t) {
    return logits.best(i);
  });
}

void check_sampling(const SamplingOptions& o, std::size_t rows) {
  detail::check_option(o.temperature > 0 && std::isfinite(o.temperature), "sample", "temperature",
                       o.temperature, "a positive number; greedy() is the limit of 0");
  detail::check_option(o.top_p > 0 && o.top_p <= 1, "sample", "top_p", o.top_p,
                       "more than 0, at most 1");
  detail::check_option(o.streams.empty() || o.streams.size() == rows, "sample", "streams",
                       o.streams.size(), "as many as rows, ", rows, ", or none");
}

template <class T>
std::vector<Hypothesis> write_drawn(Stepper<T>& model, const SamplingOptions& sampling,
                                    const DecodingOptions& options) {
  const std::size_t rows = model.prompts.size();
  std::vector<RandomStream> streams;
  for (std::size_t r = 0; r < rows; ++r) {
    streams.emplace_back(
        sampling.seed, sampling.streams.empty() ? sampling.first_stream + r : sampling.streams[r]);
  }
  return write(model, options, [&](const StepLogits<T>& logits, std::size_t i, std::size_t row) {
    return logits.draw(i, sampling, streams[row]);
  });
}

}  // namespace

template <class T>
std::vector<Hypothesis> greedy(const Seq2Seq<T>& model, const ArrayArg<std::int64_t>& source,
                               const OptionalArray<bool>& mask, const DecodingOptions& options) {
  return write_best(*detail::stepper("greedy", model, source, mask, options), options);
}

template <class T>
std::vector<Hypothesis> greedy(const LanguageModel<T>& model, const std::vector<Ids>& prompts,
                               const DecodingOptions& options) {
  return write_best(*detail::stepper("greedy", model, prompts, options), options);
}

template <class T>
std::vector<Hypothesis> sample(const Seq2Seq<T>& model, const ArrayArg<std::int64_t>& source,
                               const OptionalArray<bool>& mask, const SamplingOptions& sampling,
                               const DecodingOptions& options) {
  check_sampling(sampling, source.dimension() == 0 ? 0 : source.shape()[0]);
  return write_drawn(*detail::stepper("sample", model, source, mask, options), sampling, options);
}

template <class T>
std::vector<Hypothesis> sample(const LanguageModel<T>& model, const std::vector<Ids>& prompts,
                               const SamplingOptions& sampling, const DecodingOptions& options) {
  check_sampling(sampling, prompts.size());
  return write_drawn(*detail::stepper("sample", model, prompts, options), sampling, options);
}

#define XTAPE_INSTANTIATE(T)                                                                   \
  template std::vector<Hypothesis> greedy(const Seq2Seq<T>&, const ArrayArg<std::int64_t>&,    \
                                          const OptionalArray<bool>&, const DecodingOptions&); \
  template std::vector<Hypothesis> greedy(const LanguageModel<T>&, const std::vector<Ids>&,    \
                                          const DecodingOptions&);                             \
  template std::vector<Hypothesis> sample(const Seq2Seq<T>&, const ArrayArg<std::int64_t>&,    \
                                          const OptionalArray<bool>&, const SamplingOptions&,  \
                                          const DecodingOptions&);                             \
  template std::vector<Hypothesis> sample(const LanguageModel<T>&, const std::vector<Ids>&,    \
                                          const SamplingOptions&, const DecodingOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
