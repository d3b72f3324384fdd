#pragma once
/// \file
/// Pictures: attention maps and training curves as SVG, the graph of a step as DOT. Each function
/// returns the text of a file; write_text writes it.
///
///     write_text("attention.svg", attention_svg(scores, written, read));
///
/// Names, labels and titles are UTF-8 and may contain anything: what XML or DOT would misread is
/// escaped, spaces and control characters of labels are drawn as signs. Malformed UTF-8 is a
/// ValueError.

#include <xtape/tape/var.hpp>

#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace xtape {

/// Options of attention_svg().
struct AttentionPictureOptions {
  std::string title = {};
  std::string row_title = {};           ///< what the rows are, beside them
  std::string column_title = {};        ///< what the columns are, above them
  std::vector<std::string> heads = {};  ///< names of the heads; default "head 1", "head 2", ...
  std::optional<double> maximum = {};   ///< where the colours end; default: the largest score
};

/// A map of scores (rows, columns), or one beside the other of scores (heads, rows, columns): darker
/// is more. Colours begin at 0, or at the least score where that is negative, and what exceeds the
/// maximum has the last one. Of up to 20000 cells each has its score as its title. ShapeError when
/// the labels are not as many as rows and columns, or for another rank; NonFiniteError for a score
/// that is no number; ValueError for options that do not fit.
template <class T>
std::string attention_svg(const Array<T>& scores, const std::vector<std::string>& row_labels,
                          const std::vector<std::string>& column_labels,
                          const AttentionPictureOptions& options = {});

/// Options of curves_svg().
struct CurvesOptions {
  std::string title = {};
  std::string x_title = "epoch";
  double first = 1;                   ///< where the first value stands
  double step = 1;                    ///< from one value to the next; positive
  std::vector<std::string> log = {};  ///< names whose axis is logarithmic; "loss" is also val_loss'
};

/// Values in the order in which they came, by name.
using Curves = std::vector<std::pair<std::string, std::vector<double>>>;

/// Curves of a training run: one diagram for each name, with "val_<name>" in the diagram of <name>.
/// A value that is NaN, infinite or beyond 1e300 leaves a gap. Of more than 2000 values neighbours are drawn as
/// their least and their greatest. ValueError when there is no value at all, for a name given twice,
/// for one in options.log that is not there, and for a value on a logarithmic axis that is not
/// positive.
std::string curves_svg(const Curves& curves, const CurvesOptions& options = {});
/// The same of a map. A template, so that braces mean Curves.
template <std::same_as<std::map<std::string, std::vector<double>>> Columns>
std::string curves_svg(const Columns& curves, const CurvesOptions& options = {}) {
  return curves_svg(Curves(curves.begin(), curves.end()), options);
}

/// The graph behind a value, in the language of Graphviz: what backward(result) would pass through.
/// A node for each operation, with the shape of its output; parameters by their paths; arrows as
/// values flow. Constants are not on a tape and left out. Call it before backward, which clears the
/// tape. TapeError when the result is not tracked, or recorded on a tape that was cleared.
template <class T>
std::string graph_dot(const Var<T>& result);

/// Writes a file, atomically: it appears complete, or the previous one stays. IoError.
void write_text(const std::string& path, const std::string& text);

}  // namespace xtape
