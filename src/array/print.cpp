// Arrays as NumPy prints them (array2string with its defaults).

#include <xtape/array/array.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>

namespace xtape {
namespace {

constexpr std::size_t kShortened = 1000;  // elements from which on the middle is left out
constexpr std::size_t kEdge = 3;          // entries that then stay at either end of an axis
constexpr std::size_t kWidth = 74;        // of a line before its closing bracket
constexpr int kDigits = 8;                // after the point, at most

/// A number in the fewest digits that read back, at most kDigits of them after the point.
template <class T> struct Number {
  std::string whole, fraction, exponent;

  Number(T x, std::chars_format format) {
    char text[512];
    split(text, std::to_chars(text, text + sizeof text, x, format).ptr);
    if (fraction.size() > kDigits) {
      round(x, format, kDigits);
      fraction.erase(fraction.find_last_not_of('0') + 1);
    }
  }
  /// As many digits after the point.
  void round(T x, std::chars_format format, int digits) {
    char text[512];
    split(text, std::to_chars(text, text + sizeof text, x, format, digits).ptr);
  }

 private:
  void split(const char* begin, const char* end) {
    const char* e = std::find(begin, end, 'e');
    const char* point = std::find(begin, e, '.');
    whole.assign(begin, point);
    fraction.assign(point == e ? e : point + 1, e);
    exponent.assign(e == end ? end : e + 1, end);
  }
};

std::string not_finite(double x) { return std::isnan(x) ? "nan" : x < 0 ? "-inf" : "inf"; }

template <class T> std::string scalar(T x) {
  if constexpr (std::is_same_v<T, bool>) {
    return x ? "True" : "False";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(x);
  } else {
    if (!std::isfinite(x)) return not_finite(static_cast<double>(x));
    const T size = std::abs(x);
    const bool plain = size == 0 || (size >= T(1e-4) && size < T(1e16));
    char text[512];
    const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
    std::string out(text, std::to_chars(text, text + sizeof text, x, format).ptr);
    if (plain && out.find('.') == std::string::npos) out += ".0";
    return out;
  }
}

/// All values in words of one width.
template <class T> std::vector<std::string> words_of(const std::vector<T>& values) {
  std::vector<std::string> words;
  for (const T x : values) words.push_back(scalar(x));
  std::size_t width = std::is_same_v<T, bool> ? 5 : 0;
  for (const std::string& word : words) width = std::max(width, word.size());
  for (std::string& word : words) word.insert(0, width - word.size(), ' ');
  return words;
}

/// Points below each other. With exponents where numbers are large, small, or far apart.
template <class T>
requires std::is_floating_point_v<T> std::vector<std::string> words_of(
    const std::vector<T>& values) {
  constexpr T kLarge = std::is_same_v<T, float> ? T(1e6) : T(1e8);
  T least = std::numeric_limits<T>::infinity();
  T largest = 0;
  for (const T x : values) {
    if (!std::isfinite(x) || x == 0) continue;
    least = std::min(least, std::abs(x));
    largest = std::max(largest, std::abs(x));
  }
  const bool exponents =
      largest > 0 && (largest >= kLarge || least < T(1e-4) || largest / least > T(1000));
  const auto format = exponents ? std::chars_format::scientific : std::chars_format::fixed;
  std::vector<Number<T>> numbers;
  std::size_t left = 0;
  std::size_t right = 0;
  std::size_t digits = 0;
  for (const T x : values) {
    if (!std::isfinite(x)) continue;
    const Number<T>& n = numbers.emplace_back(x, format);
    left = std::max(left, n.whole.size());
    right = std::max(right, n.fraction.size());
    digits = std::max(digits, n.exponent.size());
  }
  const std::size_t behind = exponents ? right + 1 + digits : right;  // the point
  for (const T x : values) {
    if (!std::isfinite(x)) {
      const std::size_t size = not_finite(static_cast<double>(x)).size();
      left = std::max(left, size - std::min(size, behind + 1));
    }
  }
  std::vector<std::string> words;
  auto n = numbers.begin();
  for (const T x : values) {
    std::string word;
    if (!std::isfinite(x)) {
      word = not_finite(static_cast<double>(x));
      word.insert(0, left + 1 + behind - std::min(word.size(), left + 1 + behind), ' ');
    } else {
      if (exponents) n->round(x, format, static_cast<int>(right));
      word = std::string(left - n->whole.size(), ' ') + n->whole + '.' + n->fraction +
             std::string(right - n->fraction.size(), ' ');
      if (exponents) {
        word += 'e' + n->exponent.substr(0, 1) + std::string(digits - n->exponent.size(), '0') +
                n->exponent.substr(1);
      }
      ++n;
    }
    words.push_back(std::move(word));
  }
  return words;
}

/// Brackets, line ends and ellipses around the words of an array.
class Layout {
 public:
  explicit Layout(const Shape& shape) : shape_(shape), shortened_(size_of(shape) > kShortened) {}

  /// Calls f(i) for the entries of an axis that are shown; i is the extent for the ellipsis.
  template <class F> void each(std::size_t axis, const F& f) const {
    const std::size_t n = shape_[axis];
    const bool cut = shortened_ && n > 2 * kEdge;
    for (std::size_t i = 0; i < n; ++i) {
      if (cut && i == kEdge) {
        f(n);
        i = n - kEdge;
      }
      f(i);
    }
  }
  /// Positions of the elements that are shown, in their order.
  void positions(std::size_t axis, std::size_t base, std::vector<std::size_t>& out) const {
    if (axis == shape_.size()) {
      out.push_back(base);
      return;
    }
    each(axis, [&](std::size_t i) {
      if (i < shape_[axis]) positions(axis + 1, base * shape_[axis] + i, out);
    });
  }
  /// Writes the rest of the words from this axis on, which begins at column `axis`.
  void write(std::size_t axis, const std::string*& word, std::string& out) const {
    out += '[';
    const bool last = axis + 1 == shape_.size();
    const std::size_t left = shape_.size() - axis;
    const std::size_t room = kWidth - axis;
    std::size_t column = axis + 1;
    bool first = true;
    each(axis, [&](std::size_t i) {
      const bool ellipsis = i == shape_[axis];
      if (!first && !last) out.append(left - 1, '\n').append(axis + 1, ' ');
      if (last) {
        const std::size_t size = ellipsis ? 3 : word->size();
        const std::size_t gap = first ? 0 : 1;
        if (!first && column + gap + size > room && column > axis + 1) {
          out.erase(out.find_last_not_of(' ') + 1);
          out.append(1, '\n').append(axis + 1, ' ');
          column = axis + 1;
        } else {
          out.append(gap, ' ');
          column += gap;
        }
        column += size;
      }
      first = false;
      if (ellipsis) {
        out += "...";
      } else if (last) {
        out += *word++;
      } else {
        write(axis + 1, word, out);
      }
    });
    out += ']';
  }

 private:
  const Shape& shape_;
  bool shortened_;
};

}  // namespace

template <class T> std::string to_string(const Array<T>& array) {
  if (array.dimension() == 0) {
    return array.storage().empty() ? "(no value)" : scalar(array.data()[0]);
  }
  if (array.size() == 0) return "[]";
  const Layout layout(array.shape());
  std::vector<std::size_t> positions;
  layout.positions(0, 0, positions);
  std::vector<T> values;
  for (const std::size_t at : positions) values.push_back(array.data()[at]);
  const std::vector<std::string> words = words_of(values);
  std::string out;
  const std::string* word = words.data();
  layout.write(0, word, out);
  return out;
}

template <class T> std::ostream& operator<<(std::ostream& out, const Array<T>& array) {
  return out << to_string(array);
}

#define XTAPE_INSTANTIATE(T)                       \
  template std::string to_string(const Array<T>&); \
  template std::ostream& operator<<(std::ostream&, const Array<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
XTAPE_INSTANTIATE(bool)
XTAPE_INSTANTIATE(int)
XTAPE_INSTANTIATE(std::int64_t)
XTAPE_INSTANTIATE(std::uint64_t)
XTAPE_INSTANTIATE(std::uint8_t)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
