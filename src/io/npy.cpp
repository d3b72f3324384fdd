#include "io/npy.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace xtape::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kLongestHeader = 10000;  // NumPy's own limit
constexpr const char* kDictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

struct Descr {
  std::string_view text;
  DType dtype;
};
constexpr std::array<Descr, 8> kDescrs = {{{"<f4", DType::f32},
                                           {"<f8", DType::f64},
                                           {"<f2", DType::f16},
                                           {"<i4", DType::i32},
                                           {"<i8", DType::i64},
                                           {"<u2", DType::u16},
                                           {"|u1", DType::u8},
                                           {"|b1", DType::boolean}}};

/// Reads the header's dictionary, a Python literal, and refuses everything else.
class Literal {
 public:
  Literal(std::string_view text, std::uint64_t base, const std::string& where, const Source& source)
      : text_(text), base_(base), where_(where), source_(source) {}

  void read(View& view) {
    unsigned seen = 0;
    take('{');
    while (!try_take('}')) {
      const std::string_view key = quoted();
      const unsigned bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
      if (bit == 0) fail("unknown key ", printable(key));
      if ((seen & bit) != 0) fail("key ", printable(key), " twice");
      seen |= bit;
      take(':');
      switch (bit) {
        case 1: view.dtype = dtype(); break;
        case 2: view.fortran_order = truth(); break;
        default: view.shape = tuple();
      }
      if (!try_take(',')) {
        take('}');
        break;
      }
    }
    blanks();
    if (at_ != text_.size()) fail("text behind the dictionary");
    if (seen != 7) fail("a key is missing");
  }

 private:
  template <class... Parts> [[noreturn]] void fail(const Parts&... parts) {
    source_.fail(base_ + at_, "npy header out of form: ", where_, " has ", parts..., ", expected ",
                 kDictionary, "; write it with numpy.save or numpy.savez");
  }
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool try_take(char c) {
    blanks();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void take(char c) {
    if (!try_take(c)) fail("no ", c, " where it should be");
  }
  std::string_view quoted() {
    const char quote = try_take('"') ? '"' : '\'';
    if (quote == '\'') take('\'');
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("an open string");
    const std::string_view inside = text_.substr(at_, end - at_);
    if (inside.find('\\') != std::string_view::npos) fail("an escape in a string");
    at_ = end + 1;
    return inside;
  }
  DType dtype() {
    blanks();
    if (at_ < text_.size() && text_[at_] == '[') fail("a structured dtype");
    const std::string_view descr = quoted();
    const auto found = std::find_if(kDescrs.begin(), kDescrs.end(),
                                    [&](const Descr& d) { return d.text == descr; });
    if (found != kDescrs.end()) return found->dtype;
    const bool object = descr.find('O') != std::string_view::npos;
    const bool swapped = !descr.empty() && descr.front() == '>';
    source_.fail(base_ + at_, object ? "array of Python objects: " : "unsupported dtype: ", where_,
                 " is ", printable(descr), ", expected <f4 <f8 <f2 <i4 <i8 <u2 |u1 or |b1; ",
                 object    ? "such files can run code and are refused; save plain numbers"
                 : swapped ? "it is big-endian, save array.astype(array.dtype.newbyteorder('<'))"
                           : "convert it with array.astype() before it is saved");
  }
  bool truth() {
    blanks();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("no True or False for fortran_order");
  }
  Shape tuple() {
    Shape shape;
    take('(');
    bool comma = true;
    while (!try_take(')')) {
      if (!comma) fail("no comma between extents");
      if (shape.size() == kMaxFileRank) fail("more than ", kMaxFileRank, " axes");
      shape.push_back(number());
      comma = try_take(',');
    }
    if (shape.size() == 1 && !comma) fail("a number in brackets, not a tuple");
    return shape;
  }
  std::size_t number() {
    const std::size_t begin = at_;
    std::size_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, std::size_t{10}, &value) ||
          __builtin_add_overflow(value, static_cast<std::size_t>(text_[at_] - '0'), &value)) {
        fail("an extent beyond 64 bits");
      }
    }
    if (at_ == begin) fail("an extent that is no whole number");
    if (text_[begin] == '0' && at_ - begin > 1) fail("an extent with leading zeros");
    return value;
  }

  std::string_view text_;
  std::uint64_t base_;
  const std::string& where_;
  const Source& source_;
  std::size_t at_ = 0;
};

}  // namespace

View parse_npy(Bytes bytes, std::uint64_t base, const std::string& where, const Source& source) {
  const std::string_view text = text_of(bytes);
  if (text.substr(0, kMagic.size()) != kMagic || text.size() < kMagic.size() + 4) {
    source.fail(base, "no npy array: ", where,
                " does not begin with \\x93NUMPY and a version, expected so; an .npz holds .npy "
                "members only");
  }
  const int major = static_cast<unsigned char>(text[6]);
  const int minor = static_cast<unsigned char>(text[7]);
  if (major < 1 || major > 3 || minor != 0) {
    source.fail(base + 6, "unknown npy version: ", where, " has ", major, ".", minor,
                ", expected 1.0, 2.0 or 3.0; write it with numpy.savez");
  }
  const std::size_t prefix = major == 1 ? 10 : 12;
  std::size_t length = 0;
  if (text.size() >= prefix) std::memcpy(&length, bytes.data() + 8, prefix - 8);
  if (text.size() < prefix || length > text.size() - prefix || length > kLongestHeader) {
    source.fail(base + 8, "npy header too long: ", where, " gives its length as ", length,
                ", expected at most ", kLongestHeader, " and to fit ", text.size(),
                " bytes; the file is damaged");
  }
  const std::string_view header = text.substr(prefix, length);
  if (!valid_utf8(header) || header.empty() || header.back() != '\n') {
    source.fail(base + prefix, "npy header out of form: ", where,
                " is not UTF-8 or does not end its line, expected ", kDictionary,
                " and a newline; write it with numpy.save or numpy.savez");
  }
  View view;
  Literal(header, base + prefix, where, source).read(view);
  view.bytes = bytes.subspan(prefix + length);
  check_size(view, where, base + prefix, base + prefix + length, source);
  return view;
}

std::string npy_header(const View& view, const std::string& where) {
  const auto descr = std::find_if(kDescrs.begin(), kDescrs.end(),
                                  [&](const Descr& d) { return d.dtype == view.dtype; });
  if (descr == kDescrs.end()) {
    detail::fail<ValueError>(where, "dtype .npz cannot hold: dtype is ", to_string(view.dtype),
                             ", expected F16, F32, F64, I32, I64, U16, U8 or BOOL; save as "
                             ".safetensors");
  }
  std::string text =
      "{'descr': '" + std::string(descr->text) + "', 'fortran_order': False, 'shape': (";
  for (std::size_t d = 0; d < view.shape.size(); ++d) {
    if (d != 0) text += ' ';
    text += std::to_string(view.shape[d]);
    if (d == 0 || d + 1 < view.shape.size()) text += ',';
  }
  text += "), }";
  // The padding aligns the array in a file of its own; rank 32 stays far below 64 KiB.
  const std::size_t unpadded = kMagic.size() + 4 + text.size() + 1;
  text.append((64 - unpadded % 64) % 64, ' ');
  text += '\n';
  std::string out(kMagic);
  out += '\x01';
  out += '\0';
  out += static_cast<char>(text.size() & 255U);
  out += static_cast<char>(text.size() >> 8U);
  return out + text;
}

}  // namespace xtape::io
