#include "corpus.hpp"

#include "../ranks.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <functional>
#include <memory>
#include <new>

#include <nlohmann/json.hpp>

namespace seq2seq {

std::vector<Pair> read_pairs(const std::string& path, const std::vector<std::string>& columns,
                             std::int64_t limit) {
  if (has_header(path)) return read_table(path, columns, limit);
  if (!columns.empty()) {
    throw xp::ValueError("--columns: " + path +
                         " has no header: its name does not end in .csv or .csv.gz, expected such "
                         "a file; rename it, or leave --columns out");
  }
  std::vector<Pair> pairs;
  try {
    for (auto row : xp::read_tsv(path, {.columns = 2, .further = true})) {
      Pair pair{std::move(row[0]), {}};
      pair.targets.assign(std::make_move_iterator(row.begin() + 1),
                          std::make_move_iterator(row.end()));
      pairs.push_back(std::move(pair));
      if (limit != 0 && static_cast<std::int64_t>(pairs.size()) == limit) break;
    }
  } catch (const std::bad_alloc&) {
    throw xp::IoError(path + ": memory ran out after " + std::to_string(pairs.size()) +
                          " pairs, expected a file that fits; split it",
                      path, ENOMEM);
  }
  return pairs;
}

std::vector<Pair> split_off(std::vector<Pair>& pairs, double fraction) {
  const auto taken = [&](const Pair& pair) {
    const std::uint64_t hash = xp::stable_hash("1\n" + pair.source);  // another prefix, other pairs
    return std::ldexp(static_cast<double>(hash >> 11U), -53) < fraction;
  };
  const auto kept = std::stable_partition(pairs.begin(), pairs.end(), std::not_fn(taken));
  std::vector<Pair> apart(std::make_move_iterator(kept), std::make_move_iterator(pairs.end()));
  pairs.erase(kept, pairs.end());
  return apart;
}

void share_pairs(xp::Team* team, std::vector<Pair>& pairs) {
  if (team == nullptr) return;
  console::Message message(console::from_lead(team, [&] {
    console::Message all;
    for (const Pair& pair : pairs) {
      all.put(pair.source);
      all.put(pair.targets);
    }
    return all.bytes();
  }));
  for (pairs.clear(); !message.done();) {
    Pair& pair = pairs.emplace_back();
    message.get(pair.source);
    message.get(pair.targets);
  }
}

std::size_t leave_out(std::vector<Pair>& pairs, const Language& language, std::size_t max_length) {
  const std::size_t ends = language.source_ends ? 2 : 0;
  return std::erase_if(pairs, [&](const Pair& pair) {
    const std::size_t source = language.source_tokens(pair.source).size();
    const std::size_t target = language.target_tokens(pair.targets.front()).size();
    return source == 0 || target == 0 || source + ends > max_length || target >= max_length;
  });
}

std::vector<Example> encode(const std::vector<Pair>& pairs, const Language& language,
                            std::size_t max_length, std::size_t& left_out, bool crop) {
  std::vector<Example> examples;
  left_out = 0;
  for (const Pair& pair : pairs) {
    Example e{language.source_ids(pair.source),
              language.target.encode(language.target_tokens(pair.targets.front()))};
    if (crop) language.crop(e.source, max_length);
    const bool fits = !e.source.empty() && !e.target.empty() && e.source.size() <= max_length &&
                      e.target.size() < max_length;
    if (fits) {
      examples.push_back(std::move(e));
    } else {
      ++left_out;
    }
  }
  return examples;
}

xp::Batches<Batch> batches_of(const std::vector<Example>& examples, const Language& language,
                              xp::BatchOptions options) {
  std::vector<std::size_t> lengths;
  for (const Example& e : examples)
    lengths.push_back(std::max(e.source.size(), e.target.size() + 1));
  const std::int64_t start = language.target.start();
  const std::int64_t end = language.target.end();
  const std::int64_t pad = language.target.pad();
  // A background thread makes the batches, so they own the examples.
  const auto all = std::make_shared<const std::vector<Example>>(examples);
  return xp::Batches<Batch>(std::move(lengths), options,
                            [all, start, end, pad](std::span<const std::size_t> indices) {
                              std::vector<std::vector<std::int64_t>> source, in, out;
                              Batch batch;
                              for (const std::size_t i : indices) {
                                const Example& e = (*all)[i];
                                source.push_back(e.source);
                                in.push_back(e.target);
                                in.back().insert(in.back().begin(), start);
                                out.push_back(e.target);
                                out.back().push_back(end);
                                batch.tokens += static_cast<double>(out.back().size());
                              }
                              xp::Padded padded = xp::pad(source, pad);
                              batch.source = std::move(padded.ids);
                              batch.source_mask = std::move(padded.mask);
                              batch.target_in = xp::pad(in, pad).ids;
                              batch.target_out = xp::pad(out, pad).ids;
                              return batch;
                            });
}

void write_batches(const xp::Batches<Batch>& batches, const std::string& path) {
  const auto rows = [](const xp::Array<std::int64_t>& a) {
    nlohmann::json all;
    for (std::size_t r = 0; r < a.shape()[0]; ++r) {
      std::vector<std::int64_t> row;
      for (std::size_t i = 0; i < a.shape()[1]; ++i) row.push_back(a(r, i));
      all.push_back(row);
    }
    return all;
  };
  std::string text;
  for (const Batch& b : batches.epoch(0)) {
    text += nlohmann::json{{"source", rows(b.source)},
                           {"target_in", rows(b.target_in)},
                           {"target_out", rows(b.target_out)}}
                .dump() +
            "\n";
  }
  xp::write_text(path, text);
}

}  // namespace seq2seq
