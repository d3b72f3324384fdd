// From files of text to batches: a table of pairs, a vocabulary that is saved and loaded, batches of
// similar lengths from a background thread, and an epoch resumed in the middle.
#include <xtape/xtape.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace xp = xtape;

namespace {

struct Pair {
  std::vector<std::int64_t> source;
  std::vector<std::int64_t> target;
};

struct Batch {
  xp::Padded source;
  xp::Padded target;
};

Batch make_batch(const xp::Selection<Pair>& pairs) {
  std::vector<std::vector<std::int64_t>> sources;
  std::vector<std::vector<std::int64_t>> targets;
  for (const Pair& pair : pairs) {
    sources.push_back(pair.source);
    targets.push_back(pair.target);
  }
  return {xp::pad(sources), xp::pad(targets)};
}

// Sources are words; targets are their letters.
std::vector<Pair> read_pairs(const std::string& path, const std::string& vocabulary_path) {
  std::vector<std::vector<std::string>> tokens;
  for (const auto& row : xp::read_tsv(path, {.columns = 2, .header = true})) {
    tokens.push_back(xp::tokenize(row[0], xp::TokenKind::spaces));
    tokens.push_back(xp::tokenize(row[1], xp::TokenKind::characters));
  }
  xp::Vocabulary::build(tokens, {.min_frequency = 1, .max_size = 100}).save(vocabulary_path);
  const auto vocabulary = xp::Vocabulary::load(vocabulary_path);

  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < tokens.size(); i += 2) {
    pairs.push_back({vocabulary.encode(tokens[i]),
                     vocabulary.encode(tokens[i + 1], {.start = true, .end = true})});
  }
  const auto written = vocabulary.decode_text(pairs.back().target);
  std::printf("%zu pairs, %zu tokens, the last target is %s\n", pairs.size(), vocabulary.size(),
              xp::join_tokens(written, xp::TokenKind::characters).c_str());
  return pairs;
}

// Batches of any range of examples.
bool walk(const std::vector<Pair>& pairs) {
  const auto batches = xp::batches_of(
      pairs, [](const Pair& p) { return p.target.size(); },
      {.batch_size = 8, .max_tokens = 48, .seed = 1, .bucket_window = 20, .prefetch = 2},
      make_batch);
  std::size_t tokens = 0;
  std::size_t padding = 0;
  for (const Batch& batch : batches.epoch(0)) {
    for (const bool exists : batch.target.mask) ++(exists ? tokens : padding);
  }
  std::printf("%zu batches, %zu tokens, %zu of padding\n", batches.steps(0), tokens, padding);

  // A run that stopped after two batches of epoch 3 continues with the third.
  xp::Epoch<Batch> rest = batches.epoch(3, 2);
  const Batch& third = *rest.begin();
  std::size_t number = 0;
  bool same = false;
  for (const Batch& batch : batches.epoch(3)) {
    if (++number == 3) same = batch.target.ids == third.target.ids;
  }
  std::printf("resumed with %zu batches to go, the same ones: %s\n", rest.size(),
              same ? "yes" : "no");
  return same;
}

// Batches from indices, for examples stored elsewhere. BatchOrder is the order alone.
bool by_index() {
  const xp::BatchOptions options{.batch_size = 4, .drop_last = true};
  const xp::Batches batches(10, options, [](std::span<const std::size_t> indices) {
    xp::Array<double> squares(xp::Shape{indices.size()});
    for (std::size_t i = 0; i < indices.size(); ++i) {
      squares(i) = static_cast<double>(indices[i] * indices[i]);
    }
    return squares;
  });
  const xp::BatchOrder order(10, options);
  return order.epoch(0).size() == batches.steps(0) && batches.steps(0) == 2;
}

}  // namespace

int main() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "xtape-example-data";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "pairs.tsv") << "words\tinitials\n"
                                         "the quick brown fox\ttqbf\n"
                                         "jumps over\tjo\n"
                                         "the lazy dog\ttld\n"
                                         "na\xC3\xAFve caf\xC3\xA9s\tnc\n"
                                         "the end\tte\n"
                                         "one two three four five\tottff\n";
  const std::vector<Pair> few =
      read_pairs((folder / "pairs.tsv").string(), (folder / "vocabulary.txt").string());
  std::vector<Pair> pairs;
  for (int copy = 0; copy < 8; ++copy) pairs.insert(pairs.end(), few.begin(), few.end());
  const std::size_t lines = xp::read_lines((folder / "vocabulary.txt").string()).size();
  std::printf("the vocabulary's file has %zu lines\n", lines);
  const bool good = walk(pairs) && by_index();
  std::filesystem::remove_all(folder);
  return good ? 0 : 1;
}
