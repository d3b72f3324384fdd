#pragma once
/// \file
/// The exceptions that xtape throws. All derive from xtape::Error. Each message reads
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

/// Shapes, ranks or axes do not fit together.
struct ShapeError : Error {
  using Error::Error;
};

/// An option or argument is out of range (rates, counts, labels, names).
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

/// A NaN or an infinity is found where the library looks for them: in results on a tape with
/// TapeOptions::check_finite, and in the gradients of a step of an optimizer.
struct NonFiniteError : Error {
  using Error::Error;
};

/// Memory for an array is not to be had. The message says how many bytes were asked for.
struct MemoryError : Error {
  using Error::Error;
};

/// A file cannot be opened, read or written. The message names the path and the cause.
struct IoError : Error {
  /// Keeps the path and the system's error number.
  explicit IoError(const std::string& what, std::string file = {}, int error_number = 0)
      : Error(what), path(std::move(file)), code(error_number) {}
  std::string path;  ///< the file, if it is known
  int code = 0;      ///< errno (ENOENT, ENOSPC, ...); 0 if the system gave none
};

/// The contents of a file break a rule of its format.
struct FormatError : Error {
  /// Keeps the position of the fault.
  explicit FormatError(const std::string& what, std::uint64_t byte = 0)
      : Error(what), offset(byte) {}
  std::uint64_t offset = 0;  ///< the byte in the file; also in the message
};

namespace detail {
/// Throws ValueError: a handle of this type is used that is empty or moved-from.
[[noreturn, gnu::noinline, gnu::cold]] inline void fail_no_value(const char* type) {
  throw ValueError(std::string(type) +
                   ": no value: the operand is empty or moved-from, expected one with a value; "
                   "assign a value first, and do not use what was moved");
}
}  // namespace detail

}  // namespace xtape
