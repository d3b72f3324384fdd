#pragma once
/// \file
/// Tables of numbers from files of comma-separated values:
///
///     const CsvTable table = read_csv("flowers.csv", {.text = {"species"}});
///     const auto x = table.numbers<float>();                 // (rows, the columns of numbers)
///     const auto [y, names] = table.categories("species");   // labels from 0 on
///
/// Files are UTF-8, plain or gzip, as those of <xtape/data/text.hpp>. Fields may be quoted as in RFC 4180,
/// but a line end inside quotes is refused. Spaces around a field do not count.

#include <xtape/array/array.hpp>
#include <xtape/data/text.hpp>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace xtape {

/// Options of read_csv.
struct CsvOptions {
  char separator = ',';  ///< no quote, space or line end; a tab and ';' are common
  bool header = true;    ///< the first line has the names; otherwise they are "0", "1", ...
  std::vector<std::string> text = {};  ///< the columns that hold text, not numbers
  /// A field of a number may be empty, "NA", "nan" or "NaN", which give NaN. Otherwise a FormatError.
  bool missing = false;
  TextOptions limits = {};  ///< limits of the file and its lines
};

/// Labels made of texts.
struct Categories {
  Array<std::int64_t> ids;         ///< (rows,): positions in `names`
  std::vector<std::string> names;  ///< all different texts, sorted by their bytes
};

/// The columns of a file. ParameterError naming the known ones for a column that is not there.
class CsvTable {
 public:
  /// The number of rows.
  [[nodiscard]] std::size_t size() const noexcept { return rows_; }
  /// The names of all columns, in the order of the file.
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  /// All columns of numbers as (rows, columns), in the order of the file. T: float, double.
  template <class T> [[nodiscard]] Array<T> numbers() const;
  /// These columns as (rows, columns), in this order. ParameterError for a column of text.
  template <class T> [[nodiscard]] Array<T> numbers(const std::vector<std::string>& columns) const;
  /// A column of whole numbers as (rows,). ValueError for another number.
  [[nodiscard]] Array<std::int64_t> integers(const std::string& column) const;
  /// A column of text as labels. ParameterError for a column of numbers.
  [[nodiscard]] Categories categories(const std::string& column) const;

 private:
  friend CsvTable parse_csv(std::span<const std::byte>, const std::string&, const CsvOptions&);
  [[nodiscard]] const std::vector<double>& number_column(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& column, std::optional<bool> text) const;

  std::size_t rows_ = 0;
  std::vector<std::string> columns_;
  std::map<std::string, std::vector<double>> numbers_;
  std::map<std::string, TextLines> texts_;
};

/// Reads a whole file. IoError; FormatError with line and byte for a line of more or fewer fields than the
/// first, a field that is no finite number, a quote without end, names that repeat, and a header alone.
/// ValueError for a separator out of range, ParameterError for a name in `text` that no column has.
CsvTable read_csv(const std::string& path, const CsvOptions& options = {});
/// Reads bytes in memory; `name` is for messages.
CsvTable parse_csv(std::span<const std::byte> bytes, const std::string& name = "csv",
                   const CsvOptions& options = {});

}  // namespace xtape
