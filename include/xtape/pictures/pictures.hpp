#pragma once
/// \file
/// Pictures: attention maps and training curves as SVG, the graph of a step as DOT. Each function
/// returns the text of a file; write_text writes it.
///
///     write_text("attention.svg", attention_svg(scores, written, read));
///
/// Names, labels and titles are any UTF-8: special characters of XML and DOT are escaped, and labels
/// show spaces and control characters as signs. ValueError for malformed UTF-8.

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
  std::string title = {};               ///< text above the picture
  std::string row_title = {};           ///< beside the rows
  std::string column_title = {};        ///< above the columns
  std::vector<std::string> heads = {};  ///< names of the heads; default "head 1", "head 2", ...
  std::optional<double> maximum = {};   ///< the score of the last colour; default: the largest
};

/// Draws a map of scores (rows, columns), or one for each head of scores (heads, rows, columns): darker
/// is more. Colours begin at 0 or at the least negative score; scores above the maximum have the last
/// colour. Cells have their scores as titles when there are at most 20000. ShapeError for another number
/// of labels than rows and columns, or another rank; NonFiniteError for a score that is not finite;
/// ValueError for options that do not fit.
template <class T>
std::string attention_svg(const Array<T>& scores, const std::vector<std::string>& row_labels,
                          const std::vector<std::string>& column_labels,
                          const AttentionPictureOptions& options = {});

/// Options of curves_svg().
struct CurvesOptions {
  std::string title = {};             ///< text above the picture
  std::string x_title = "epoch";      ///< text below the horizontal axis
  double first = 1;                   ///< the position of the first value
  double step = 1;                    ///< the distance of values; positive
  std::vector<std::string> log = {};  ///< names with a logarithmic axis; "loss" includes "val_loss"
};

/// Values by name, in order of arrival.
using Curves = std::vector<std::pair<std::string, std::vector<double>>>;

/// Draws curves of a training run: one diagram for each name, with `val_<name>` in that of `<name>`. A
/// value that is NaN, infinite or beyond 1e300 leaves a gap. From more than 2000 values it draws the
/// least and the greatest of each group of neighbours. ValueError for no values, a name given twice, an
/// unknown name in options.log, and a value on a logarithmic axis that is not positive.
std::string curves_svg(const Curves& curves, const CurvesOptions& options = {});
/// Draws the curves of a map. A template, so that braces mean Curves.
template <std::same_as<std::map<std::string, std::vector<double>>> Columns>
std::string curves_svg(const Columns& curves, const CurvesOptions& options = {}) {
  return curves_svg(Curves(curves.begin(), curves.end()), options);
}

/// Returns the graph that backward(result) would pass through, in the language of Graphviz: a node for
/// each operation with the shape of its output, parameters by their paths, arrows along the data flow.
/// Constants are left out. Call it before backward, which clears the tape. TapeError when the result is
/// not tracked, or its tape was cleared.
template <class T> std::string graph_dot(const Var<T>& result);

/// Writes a file atomically: it appears complete, or the previous one stays. IoError.
void write_text(const std::string& path, const std::string& text);

}  // namespace xtape
