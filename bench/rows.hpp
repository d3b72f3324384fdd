#pragma once
// Rows of work: a line of shapes.txt each, with the operations of its training step.

#include <cstddef>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

using Extents = std::vector<std::size_t>;

struct Row {
  std::string kind;
  Extents extents;

  [[nodiscard]] bool is_attention() const { return kind != "encoder_decoder"; }
  [[nodiscard]] bool is_causal() const { return kind != "cross" && kind != "full"; }
  /// Returns "causal/32x10x32x4".
  [[nodiscard]] std::string name() const {
    std::string text = kind;
    for (std::size_t i = 0; i < extents.size(); ++i) {
      text += (i == 0 ? '/' : 'x') + std::to_string(extents[i]);
    }
    return text;
  }
};

/// Returns the row of a line. Throws std::invalid_argument for a line that names no row.
inline Row parse_row(const std::string& line) {
  std::istringstream words(line);
  Row row;
  words >> row.kind;
  for (std::size_t n = 0; words >> n;) row.extents.push_back(n);
  bool known = row.kind == "encoder_decoder";
  for (const char* kind : {"causal", "dropout", "padding", "cross", "full"}) {
    known = known || row.kind == kind;
  }
  if (!known || !words.eof() || row.extents.size() != (row.is_attention() ? 4U : 8U)) {
    throw std::invalid_argument("no row: \"" + line + "\"; see bench/shapes.txt");
  }
  return row;
}

inline std::vector<Row> read_rows(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::invalid_argument("cannot read " + path);
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') rows.push_back(parse_row(line));
  }
  return rows;
}

/// Returns how many keys exist for each sample of a `padding` row: between half of them and all.
inline std::vector<std::size_t> padded_lengths(std::size_t batch, std::size_t length) {
  std::vector<std::size_t> lengths(batch);
  for (std::size_t b = 0; b < batch; ++b) {
    lengths[b] = length - length * (b + 1) / (2 * (batch + 1));
  }
  return lengths;
}

namespace detail {

/// Returns the operations of one attention layer's forward: four projections, and two products over `pairs`.
inline double attention_flops(std::size_t queries, std::size_t keys, std::size_t width,
                              double pairs) {
  const auto d = static_cast<double>(width);
  return 4 * d * d * static_cast<double>(queries + keys) + 4 * d * pairs;
}

/// Returns the number of pairs (query, key) that a causal mask leaves when the first `keys` of `length` exist.
inline double causal_pairs(std::size_t length, std::size_t keys) {
  double pairs = 0;
  for (std::size_t i = 0; i < length; ++i) pairs += static_cast<double>(i < keys ? i + 1 : keys);
  return pairs;
}

}  // namespace detail

/// Returns the floating-point operations of a training step: three times those of the forward's products,
/// over pairs that no mask removes. Recomputation is not counted.
inline double step_flops(const Row& row) {
  const Extents& e = row.extents;
  if (row.is_attention()) {
    const std::size_t batch = e[0], length = e[1], width = e[2];
    const std::size_t source = row.kind == "cross" ? 2 * length : length;
    double pairs = static_cast<double>(batch * length * source);
    if (row.is_causal()) {
      pairs = 0;
      for (const std::size_t keys : padded_lengths(batch, length)) {
        pairs += detail::causal_pairs(length, row.kind == "padding" ? keys : length);
      }
    }
    return 3 * detail::attention_flops(batch * length, batch * source, width, pairs);
  }
  const std::size_t layers = e[0], width = e[1], hidden = e[3], batch = e[4];
  const std::size_t sources = batch * e[5], targets = batch * e[6];
  const auto dense = [](std::size_t rows, std::size_t from, std::size_t to) {
    return 2 * static_cast<double>(rows) * static_cast<double>(from) * static_cast<double>(to);
  };
  const double encoder =
      detail::attention_flops(sources, sources, width, static_cast<double>(sources * e[5])) +
      2 * dense(sources, width, hidden);
  const double decoder =
      detail::attention_flops(targets, targets, width,
                              static_cast<double>(batch) * detail::causal_pairs(e[6], e[6])) +
      detail::attention_flops(targets, sources, width, static_cast<double>(targets * e[5])) +
      2 * dense(targets, width, hidden);
  return 3 * (static_cast<double>(layers) * (encoder + decoder) + dense(targets, width, e[7]));
}

}  // namespace bench
