#pragma once
/// \file
/// summary(): a table of a model's layers, their outputs' shapes and their numbers of parameters.

#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <functional>
#include <string>

namespace xtape {

/// Options of summary().
struct SummaryOptions {
  std::string name = "model";    ///< in the first line
  std::string scope = {};        ///< only what lies below this path; default: everything
  bool expand_nested = false;    ///< also the layers inside layers
  bool show_trainable = false;   ///< a column that says what is trained
  std::size_t line_length = 76;  ///< in characters
};

namespace detail {
template <class T>
std::string summary(const Params<T>& params, const std::function<void(Tape<T>&)>& run,
                    const SummaryOptions& options);
}  // namespace detail

/// The table that Keras's Model.summary() prints: one row per layer, in the order of the calls, then
/// parameters that no call used ("?" for the shape); below, how many parameters there are and the
/// memory they take. `run` calls the model once, on inputs of the tape it is given, which records
/// nothing:
///
///   std::cout << summary(params, [&](Tape<float>& tape) { model(tape.input(x)); });
///
/// Shapes are those of that call, the batch included. Layers are named by their paths. ValueError
/// when the line is too short for the columns, ParameterError when nothing lies below the scope.
template <class T, std::invocable<Tape<T>&> Run>
std::string summary(const Params<T>& params, const Run& run, const SummaryOptions& options = {}) {
  return detail::summary<T>(params, run, options);
}
/// The same without a call: every shape is "?".
template <class T> std::string summary(const Params<T>& params, const SummaryOptions& options = {});

}  // namespace xtape
