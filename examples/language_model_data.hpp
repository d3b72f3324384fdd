#pragma once
// The batches of language_model: blocks of characters, and those that follow each.

#include <xtape/xtape.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace xp = xtape;

using Ids = std::vector<std::int64_t>;

inline std::string whole_text(const std::string& path, const xp::TextOptions& limits = {}) {
  std::string text;
  for (const std::string& line : xp::read_lines(path, limits)) text += line + "\n";
  return text;
}

inline Ids ids_of(const std::string& text, const xp::Vocabulary& vocabulary) {
  return vocabulary.encode(xp::tokenize(text, xp::TokenKind::characters));
}

/// The batch of a step: at each position a character and its successor.
struct Batch {
  xp::Array<std::int64_t> read, next;
};

inline Batch batch_at(const Ids& text, std::span<const std::size_t> places, std::size_t block) {
  const xp::Shape shape{places.size(), block};
  Batch batch{xp::Array<std::int64_t>(shape), xp::Array<std::int64_t>(shape)};
  for (std::size_t r = 0; r < places.size(); ++r) {
    for (std::size_t t = 0; t < block; ++t) {
      batch.read(r, t) = text[places[r] + t];
      batch.next(r, t) = text[places[r] + t + 1];
    }
  }
  return batch;
}

/// Overlapping blocks, in an order that is a function of seed and epoch.
inline xp::Batches<Batch> anywhere(Ids text, std::size_t block, std::size_t batch,
                                   std::uint64_t seed) {
  const std::size_t places = text.size() - block;
  return {places,
          {.batch_size = batch, .seed = seed, .drop_last = true},
          [text = std::make_shared<const Ids>(std::move(text)), block](auto rows) {
            return batch_at(*text, rows, block);
          }};
}

/// Batches for `steps` steps, in portions of `report` between two measurements. The last portion may be smaller.
class Portions {
 public:
  Portions(xp::Batches<Batch> batches, std::int64_t steps, std::int64_t report)
      : batches_(std::move(batches)), steps_(steps), report_(std::min(steps, report)) {
    const auto most = static_cast<std::int64_t>(batches_.steps(0));
    if (report_ > most) {
      throw xp::ValueError("--report: too many steps: it is " + std::to_string(report_) +
                           ", expected at most " + std::to_string(most) +
                           ", the batches of the text; lower it or --batch-size");
    }
  }
  [[nodiscard]] std::int64_t count() const { return (steps_ - 1) / report_ + 1; }
  [[nodiscard]] std::size_t steps(std::int64_t portion) const {
    return static_cast<std::size_t>(std::min(report_, steps_ - portion * report_));
  }
  [[nodiscard]] xp::Epoch<Batch> epoch(std::int64_t portion, std::size_t first) const {
    return batches_.epoch(portion, first);
  }
  [[nodiscard]] xp::Epoch<Batch> epoch(std::int64_t portion, std::size_t first,
                                       const xp::Shards& shards) const {
    return batches_.epoch(portion, first, shards);
  }

 private:
  xp::Batches<Batch> batches_;
  std::int64_t steps_, report_;
};

/// The whole text in blocks without overlap.
inline xp::Batches<Batch> in_order(Ids text, std::size_t block) {
  const std::size_t blocks = (text.size() - 1) / block;
  return {blocks,
          {.batch_size = 64, .shuffle = false},
          [text = std::make_shared<const Ids>(std::move(text)), block](auto rows) {
            std::vector<std::size_t> places;
            for (const std::size_t row : rows) places.push_back(row * block);
            return batch_at(*text, places, block);
          }};
}
