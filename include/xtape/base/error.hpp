#pragma once
/// \file
/// The exceptions xtape throws. All derive from xtape::Error, so one catch serves; each is worded
/// "<path or op>: <what is wrong>: <operand> is <shape>, expected <shape>; <what to do>".

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace xtape {

/// Base of every exception thrown by the library.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Shapes, ranks or axes that do not fit together.
struct ShapeError : Error {
  using Error::Error;
};

/// An option or argument outside its range (rates, counts, labels, names).
struct ValueError : Error {
  using Error::Error;
};

/// Misuse of a tape or of a handle into one: stale handles, mixed tapes, a second backward.
struct TapeError : Error {
  using Error::Error;
};

/// Misuse of parameters: a path taken twice, missing gradients, another architecture's arrays.
struct ParameterError : Error {
  using Error::Error;
};

/// A NaN or an infinity where the tape was asked to look for one (TapeOptions::check_finite).
struct NonFiniteError : Error {
  using Error::Error;
};

/// A file that cannot be opened, read or written; names the path and the cause.
struct IoError : Error {
  explicit IoError(const std::string& what, std::string file = {}, int error_number = 0)
      : Error(what), path(std::move(file)), code(error_number) {}
  std::string path;
  int code = 0;  ///< errno, where the system gave one (ENOENT, ENOSPC, ...)
};

/// A file whose contents break a rule of its format.
struct FormatError : Error {
  explicit FormatError(const std::string& what, std::uint64_t byte = 0)
      : Error(what), offset(byte) {}
  std::uint64_t offset = 0;  ///< where in the file, in bytes; also in the message
};

}  // namespace xtape
