#include "run/path_pattern.hpp"

#include "base/message.hpp"
#include "base/numbers.hpp"

#include <cmath>

namespace xtape::detail {
namespace {

struct Format {
  std::string flags;   // "0" or nothing, and the width
  std::string digits;  // ".2", or nothing
  char kind = 0;       // d, f, e, g, or nothing
};

/// Reads a format; returns whether the whole text is one.
bool read_format(const std::string& text, Format& format) {
  std::size_t i = 0;
  const auto number = [&](std::string& out) {
    const std::size_t begin = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') out += text[i++];
    return i - begin <= 3;  // wide enough, and short enough for the buffer
  };
  if (!number(format.flags)) return false;
  if (i < text.size() && text[i] == '.') {
    format.digits = text[i++];
    if (!number(format.digits) || format.digits.size() == 1) return false;
  }
  if (i < text.size()) format.kind = text[i++];
  const bool known = format.kind == 0 || std::string("dfeg").find(format.kind) != std::string::npos;
  return i == text.size() && known && (format.kind != 'd' || format.digits.empty());
}

std::string filled(double value, const Format& format) {
  const bool whole = value == std::floor(value) && std::abs(value) < 9007199254740992.0;
  std::string text;
  if (format.kind == 'd' || (format.kind == 0 && format.digits.empty() && whole)) {
    text = std::to_string(static_cast<long long>(value));
  } else {
    text = number_text(value,
                       format.kind == 'f'   ? std::chars_format::fixed
                       : format.kind == 'e' ? std::chars_format::scientific
                                            : std::chars_format::general,
                       format.digits.empty() ? 6 : std::stoi(format.digits.substr(1)));
  }
  const std::size_t width = format.flags.empty() ? 0 : std::stoul(format.flags);
  if (text.size() >= width) return text;
  const bool zeros = format.flags[0] == '0' && std::isfinite(value);
  text.insert(zeros && text[0] == '-' ? 1 : 0, width - text.size(), zeros ? '0' : ' ');
  return text;
}

/// Calls field(name, format) for each placeholder; returns the text with the results in their place.
template <class F>
std::string parsed(const std::string& who, const std::string& pattern, F&& field) {
  const auto malformed = [&](const std::string& what) {
    fail<ValueError>(who, "malformed path: ", what, " in '", pattern,
                     "', expected placeholders as '{epoch:02d}' or '{val_loss:.2f}'; double a "
                     "brace that is meant as such");
  };
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '{' && c != '}') {
      out += c;
    } else if (i + 1 < pattern.size() && pattern[i + 1] == c) {
      out += c;
      ++i;
    } else if (c == '}') {
      malformed("a '}' closes nothing");
    } else {
      const std::size_t end = pattern.find('}', i);
      if (end == std::string::npos) malformed("a '{' is not closed");
      const std::string inside = pattern.substr(i + 1, end - i - 1);
      const std::size_t colon = inside.find(':');
      const std::string name = inside.substr(0, colon);
      Format format;
      if (name.empty() ||
          (colon != std::string::npos && !read_format(inside.substr(colon + 1), format))) {
        malformed("'{" + inside + "}'");
      }
      out += field(name, format);
      i = end;
    }
  }
  return out;
}

}  // namespace

std::string fill_path(const std::string& who, const std::string& pattern, const Logs& logs) {
  return parsed(who, pattern, [&](const std::string& name, const Format& format) {
    const double* value = logs.find(name);
    if (value == nullptr) {
      fail<ValueError>(who, "placeholder without a number: '", name, "' in '", pattern,
                       "' is not there, expected one of: ", logs.names());
    }
    if (format.kind == 'd' && !(*value == std::floor(*value))) {
      fail<ValueError>(who, "placeholder for a whole number: '", name, "' in '", pattern, "' is ",
                       *value, ", expected a whole number; use '.2f'");
    }
    return filled(*value, format);
  });
}

void check_path(const std::string& who, const std::string& pattern) {
  parsed(who, pattern, [](const std::string&, const Format&) { return std::string(); });
}

}  // namespace xtape::detail
