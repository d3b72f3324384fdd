// Bytes are read as lines, as a table and as CSV, plain or gzip; accepted text put together again is the same.

#include "data/gzip.hpp"
#include "reader_fuzzer.hpp"

#include <xtape/data/csv.hpp>
#include <xtape/data/text.hpp>

#include <cmath>

namespace {

constexpr xtape::TextOptions kSmall{.max_line = 64, .max_bytes = 1U << 20U};

fuzz::Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

void check_lines(fuzz::Bytes bytes) {
  const std::vector<std::string> lines = xtape::parse_lines(bytes, "input", kSmall);
  if (lines.empty()) fuzz::fail("no lines");
  // Ends of lines come back as "\r\n", so that a line may end with "\r", and a mark goes first.
  std::string text = "\xEF\xBB\xBF";
  for (const std::string& line : lines) {
    if (line.size() > kSmall.max_line) fuzz::fail("a line over the limit");
    if (!xtape::io::valid_utf8(line) || line.find('\0') != line.npos) fuzz::fail("no UTF-8");
    text += line + "\r\n";
    const auto characters = xtape::tokenize(line, xtape::TokenKind::characters);
    if (xtape::join_tokens(characters, xtape::TokenKind::characters) != line) {
      fuzz::fail("characters that are not the line's");
    }
    const auto words = xtape::tokenize(line, xtape::TokenKind::spaces);
    const std::string joined = xtape::join_tokens(words, xtape::TokenKind::spaces);
    if (xtape::tokenize(joined, xtape::TokenKind::spaces) != words) fuzz::fail("other words");
  }
  if (xtape::parse_lines(bytes_of(text), "again", kSmall) != lines) fuzz::fail("other lines");
}

void check_table(fuzz::Bytes bytes, const xtape::TsvOptions& options) {
  const auto rows = xtape::parse_tsv(bytes, "input", options);
  std::string text = "\xEF\xBB\xBF";
  for (std::size_t r = options.header ? 0 : 1; r <= rows.size(); ++r) {  // the first for a header
    const auto& row = rows[r == 0 ? 0 : r - 1];
    if (row.size() != rows[0].size()) fuzz::fail("a ragged table");
    for (std::size_t c = 0; c < row.size(); ++c) text += (c == 0 ? "" : "\t") + row[c];
    text += "\r\n";
  }
  if (xtape::parse_tsv(bytes_of(text), "again", options) != rows) fuzz::fail("another table");
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// The first column is text, the others are numbers.
void check_csv(fuzz::Bytes bytes) {
  const xtape::CsvOptions options{
      .separator = ';', .header = false, .text = {"0"}, .missing = true, .limits = kSmall};
  const xtape::CsvTable table = xtape::parse_csv(bytes, "input", options);
  const auto numbers = table.numbers<double>();
  const auto [ids, names] = table.categories("0");
  if (table.size() == 0 || ids.size() != table.size()) fuzz::fail("rows are lost");
  const std::size_t columns = numbers.shape()[1];
  std::string text;
  for (std::size_t r = 0; r < table.size(); ++r) {
    text += quoted(names.at(static_cast<std::size_t>(ids(r))));
    for (std::size_t c = 0; c < columns; ++c) {
      const double value = numbers(r, c);
      if (std::isinf(value)) fuzz::fail("a number that is not finite");
      char digits[40];
      std::snprintf(digits, sizeof digits, ";%.17g", value);
      text += std::isnan(value) ? ";NA" : digits;
    }
    text += "\n";
  }
  xtape::CsvOptions wide = options;
  wide.limits.max_line = 1U << 20U;
  const xtape::CsvTable again = xtape::parse_csv(bytes_of(text), "again", wide);
  const auto same = again.numbers<double>();
  if (same.shape() != numbers.shape() || again.categories("0").names != names) {
    fuzz::fail("another table of CSV");
  }
  for (std::size_t i = 0; i < same.size(); ++i) {
    const double a = same.data()[i], b = numbers.data()[i];
    if (a != b && !(std::isnan(a) && std::isnan(b))) fuzz::fail("another number");
  }
}

void check(fuzz::Bytes bytes) {
  fuzz::accepted([&] { check_csv(bytes); });
  fuzz::accepted([&] { check_lines(bytes); });
  fuzz::accepted([&] { check_table(bytes, {.text = kSmall}); });
  fuzz::accepted([&] {
    check_table(bytes, {.columns = 2, .header = true, .empty_fields = true, .text = kSmall});
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check(fuzz::input(data, size));
  // Behind a header of gzip, as compressed data.
  const std::uint8_t header[] = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3};
  std::vector<std::byte> framed(sizeof header + size);
  std::memcpy(framed.data(), header, sizeof header);
  if (size != 0) std::memcpy(framed.data() + sizeof header, data, size);
  check(framed);
  return 0;
}
