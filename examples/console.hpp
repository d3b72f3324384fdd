#pragma once
// The manners of programs on a command line: no output is lost unnoticed, no data reaches the terminal's
// controls, and a message has one form.

#include <fcntl.h>
#include <unistd.h>

#include <xtape/base/error.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace console {

/// The longest message.
inline constexpr std::size_t kMessage = 2000;

/// Escapes control characters and malformed UTF-8, but line ends and tabs, which terminals show as such.
inline std::string escaped(std::string_view text) {
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = at(i);
    std::size_t length = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
    bool whole = lead < 0x80 || length > 1;
    for (std::size_t k = 1; k < length; ++k) whole = whole && (at(i + k) & 0xC0U) == 0x80U;
    // Overlong forms, surrogates, and numbers beyond U+10FFFF.
    whole = whole && !((lead == 0xE0 && at(i + 1) < 0xA0) || (lead == 0xED && at(i + 1) > 0x9F) ||
                       (lead == 0xF0 && at(i + 1) < 0x90) || (lead == 0xF4 && at(i + 1) > 0x8F));
    if (!whole) length = 1;
    // U+0080 to U+009F control terminals as those below 32 do.
    const bool control = (lead < 0x20 && lead != '\n' && lead != '\t') || lead == 0x7F ||
                         (lead == 0xC2 && at(i + 1) < 0xA0);
    if (whole && !control) {
      out += text.substr(i, length);
    } else {
      for (std::size_t k = 0; k < length; ++k) {
        constexpr std::string_view digits = "0123456789abcdef";
        out += {'\\', 'x', digits[at(i + k) >> 4U], digits[at(i + k) & 15U]};
      }
    }
    i += length;
  }
  return out;
}

/// Shortens a text to `longest` characters, with the number of those left out.
inline std::string shortened(const std::string& text, std::size_t longest = kMessage) {
  if (text.size() <= longest) return text;
  std::size_t kept = longest - 40;  // room for the count
  while (kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0U) == 0x80U) --kept;
  return text.substr(0, kept) + " ... (" + std::to_string(text.size() - kept) + " bytes more)";
}

/// Returns "1 pair" or "2 pairs".
inline std::string counted(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// Standard output as the program found it.
struct Output {
  bool closed = false;
  bool terminal = ::isatty(STDOUT_FILENO) == 1;
  bool silent = false;  // nothing is printed: another process of a team does
  int error = 0;        // errno of the first failure
};
inline Output& output() {
  static Output state;
  return state;
}

/// Writes a message to standard error.
inline void complain(const std::string& program, const std::string& text) {
  if (output().silent) return;
  const std::string line = program + ": " + shortened(escaped(text)) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

/// Throws ValueError if an output option names one of the inputs, which would be lost.
inline void need_other(const char* option, const std::string& output,
                       const std::vector<std::string>& inputs) {
  std::error_code none;  // a file that is not there is another one
  for (const std::string& input : inputs) {
    if (output.empty() || !std::filesystem::equivalent(output, input, none)) continue;
    throw xtape::ValueError(std::string(option) + ": it is an input: it names " + output +
                            ", expected another file; give another name");
  }
}

/// Opens /dev/null for each of the descriptors 0 to 2 that is closed. A file would get its number otherwise, and
/// reports would go into that file. Standard input becomes one that cannot be read.
inline void open_descriptors() {
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    if (descriptor == STDOUT_FILENO) output().closed = true;
    // The lowest free number is this one, because those below are open.
    if (::open("/dev/null", O_WRONLY) != descriptor) std::_Exit(1);
  }
}

/// Writes to standard output. Control characters are escaped on a terminal. check_output() reports failures.
inline void print(const std::string& text) {
  if (output().silent) return;
  const std::string shown = output().terminal ? escaped(text) : text;
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size() && output().error == 0) {
    output().error = errno;
  }
}
template <class... Values> void print_format(const char* format, Values... values) {
  std::array<char, 500> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  print(text.data());
}
inline void flush() {
  if (std::fflush(stdout) != 0 && output().error == 0) output().error = errno;
}

/// Throws an IoError if standard output was lost.
inline void check_output() {
  flush();
  Output& out = output();
  if (out.error == 0 && std::ferror(stdout) != 0) out.error = EIO;
  if (out.error == 0) return;
  throw xtape::IoError(
      "standard output: cannot be written: " + std::generic_category().message(out.error) +
          ", expected room for all of it; what was written is not complete",
      "standard output", out.error);
}

/// Throws an IoError if standard output is closed, for commands whose result it is.
inline void need_output() {
  if (!output().closed) return;
  throw xtape::IoError(
      "standard output: closed: the result has nowhere to go, expected an open file; redirect it",
      "standard output", EBADF);
}

/// Returns a message of the library with advice for a command line in place of that for C++, which stands at the end.
inline std::string advised(const std::exception& e, const std::string& advice) {
  const std::string text = e.what();
  return text.substr(0, text.rfind("; ")) + "; " + advice;
}

/// Runs a command, which returns the exit status, and reports what it throws.
template <class Command> int run(const std::string& program, const Command& command) {
  try {
    const int status = command();
    check_output();
    return status;
  } catch (const std::bad_alloc&) {
    complain(program,
             "out of memory: this takes more than the system gives, expected room; make the "
             "batch, the model or the file smaller");
  } catch (const xtape::ParameterError& e) {
    complain(program, advised(e, "use files that one training has written"));
  } catch (const xtape::NonFiniteError& e) {
    complain(program, advised(e, "a lower learning rate may help"));
  } catch (const std::filesystem::filesystem_error& e) {
    complain(program, e.path1().string() + ": cannot be used: " + e.code().message() +
                          ", expected a path of the file system; give another one");
  } catch (const std::exception& e) {
    complain(program, e.what());
  }
  flush();
  return 1;
}

}  // namespace console
