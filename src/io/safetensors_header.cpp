#include "io/safetensors_header.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <iterator>

namespace xtape::io {
namespace {

using Json = nlohmann::json;

constexpr const char* kForm =
    R"({"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...})";

/// Walks over the text, and writes to `seen` how far.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at_ == b.at_; }
  friend bool operator!=(const Cursor& a, const Cursor& b) { return !(a == b); }

 private:
  const char* at_;
  const char** seen_;
};

/// Accepts the format's grammar and nothing else, so the nesting is bounded.
class Reader : public nlohmann::json_sax<Json> {
 public:
  Reader(const char* begin, std::uint64_t base, const Source& source, Header& out)
      : seen(begin), begin_(begin), base_(base), source_(source), out_(out) {}

  const char* seen;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return unexpected("a number with a fraction or beyond 64 bits");
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t number) override {
    if (in_ != In::array) return unexpected("a number");
    if (field_ == Field::shape) {
      if (entry_->second.shape.size() == kMaxFileRank) {
        fail("rank too large: tensor ", printable(entry_->first), " has more than ", kMaxFileRank,
             " axes, expected at most as many; reshape it before it is saved");
      }
      entry_->second.shape.push_back(number);
      return true;
    }
    if (offsets_ == 2) return unexpected("a third data offset");
    (offsets_ == 0 ? entry_->second.begin : entry_->second.end) = number;
    ++offsets_;
    return true;
  }

  bool string(string_t& text) override {
    if (in_ == In::metadata) {
      text_->second = std::move(text);
      return true;
    }
    if (in_ != In::entry || field_ != Field::dtype) return unexpected("a string");
    const auto dtype = dtype_named(text);
    if (!dtype) {
      fail("unsupported dtype: tensor ", printable(entry_->first), " is ", printable(text),
           ", expected BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64 or U64; convert "
           "it with the program that wrote the file");
    }
    entry_->second.dtype = *dtype;
    return true;
  }

  bool start_object(std::size_t) override {
    switch (in_) {
      case In::nothing: in_ = In::top; return true;
      case In::top: in_ = is_metadata_ ? In::metadata : In::entry; return true;
      default: return unexpected("a nested object");
    }
  }

  bool key(string_t& name) override {
    switch (in_) {
      case In::top: top_key(name); return true;
      case In::entry: entry_key(name); return true;
      default: break;
    }
    const auto [at, fresh] = out_.metadata.emplace(std::move(name), "");
    if (!fresh) duplicate(at->first);
    text_ = at;
    return true;
  }

  bool end_object() override {
    if (in_ == In::top) {
      in_ = In::nothing;
      return true;
    }
    if (in_ == In::entry && seen_fields_ != 7) {
      fail("incomplete entry: tensor ", printable(entry_->first), " lacks",
           (seen_fields_ & 1U) == 0 ? " dtype" : "", (seen_fields_ & 2U) == 0 ? " shape" : "",
           (seen_fields_ & 4U) == 0 ? " data_offsets" : "", ", expected ", kForm,
           "; write the file again");
    }
    in_ = In::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (in_ != In::entry || (field_ != Field::shape && field_ != Field::offsets)) {
      return unexpected("an array");
    }
    in_ = In::array;
    offsets_ = 0;
    return true;
  }

  bool end_array() override {
    if (field_ == Field::offsets && offsets_ != 2) return unexpected("fewer than two data offsets");
    in_ = In::entry;
    field_ = Field::none;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const std::string what = error.what();
    const auto colon = what.find("] ");
    source_.fail(
        base_ + (position == 0 ? 0 : position - 1), "header is not JSON: ",
        escaped(std::string_view(what).substr(colon == std::string::npos ? 0 : colon + 2), 200),
        ", expected ", kForm, "; the file is damaged, or no safetensors file");
  }

 private:
  enum class In { nothing, top, entry, array, metadata };
  enum class Field { none, dtype, shape, offsets };

  void top_key(std::string& name) {
    if (name == "__metadata__") {
      if (is_metadata_seen_) duplicate(name);
      is_metadata_ = is_metadata_seen_ = true;
      return;
    }
    is_metadata_ = false;
    if (const auto problem = name_problem(name)) {
      fail("name out of form: tensor ", printable(name), " is ", *problem, ", expected at most ",
           kMaxNameLength, " bytes of UTF-8 without NUL; rename it before it is saved");
    }
    if (out_.entries.size() == kMaxTensors) {
      fail("too many tensors: more than ", kMaxTensors,
           ", expected at most as many; write several files");
    }
    const auto [at, fresh] = out_.entries.emplace(std::move(name), HeaderEntry{});
    if (!fresh) duplicate(at->first);
    entry_ = at;
    field_ = Field::none;
    seen_fields_ = 0;
  }

  void entry_key(const std::string& name) {
    field_ = name == "dtype"          ? Field::dtype
             : name == "shape"        ? Field::shape
             : name == "data_offsets" ? Field::offsets
                                      : Field::none;
    if (field_ == Field::none) {
      fail("unknown key: tensor ", printable(entry_->first), " has ", printable(name),
           ", expected dtype, shape and data_offsets only; write the file again");
    }
    const unsigned bit = 1U << (static_cast<unsigned>(field_) - 1U);
    if ((seen_fields_ & bit) != 0) duplicate(name);
    seen_fields_ |= bit;
  }

  [[noreturn]] void duplicate(const std::string& name) {
    fail("key twice: ", printable(name),
         " was there before, expected every key once; the file may "
         "show other readers other tensors, do not trust it");
  }

  bool unexpected(const char* what) {
    const std::string where =
        in_ == In::nothing || in_ == In::top ? (is_metadata_ ? "__metadata__" : "the header")
        : in_ == In::metadata                ? "__metadata__"
                                             : "the entry of tensor " + printable(entry_->first);
    fail(
        "header out of form: ", where, " has ", what, ", expected ", kForm,
        R"( and "__metadata__": {"key": "text", ...}; the file is damaged, or no safetensors file)");
  }

  template <class... Parts> [[noreturn]] void fail(const Parts&... parts) {
    source_.fail(base_ + static_cast<std::uint64_t>(seen - begin_), parts...);
  }

  const char* begin_;
  std::uint64_t base_;
  const Source& source_;
  Header& out_;
  In in_ = In::nothing;
  Field field_ = Field::none;
  bool is_metadata_ = false;
  bool is_metadata_seen_ = false;
  unsigned seen_fields_ = 0;
  int offsets_ = 0;
  std::map<std::string, HeaderEntry>::iterator entry_;
  Metadata::iterator text_;
};

}  // namespace

Header parse_header(std::string_view text, std::uint64_t base, const Source& source) {
  // The JSON parser would accept a byte order mark or blanks in front, anything after a NUL byte, and
  // blanks other than spaces behind.
  const std::size_t last = text.find_last_not_of(' ');
  if (text.empty() || text.front() != '{') {
    source.fail(base, "header out of form: it does not begin with {, expected ", kForm,
                "; the file is damaged, or no safetensors file");
  }
  if (text[last] != '}') {
    source.fail(base + last, "header out of form: it does not end with }, expected ", kForm,
                " and spaces behind; the file is damaged, or no safetensors file");
  }
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    source.fail(base + nul, "header is not JSON: it has a NUL byte, expected ", kForm,
                "; the file is damaged, or no safetensors file");
  }
  Header header;
  Reader reader(text.data(), base, source, header);
  const Cursor begin(text.data(), &reader.seen);
  const Cursor end(text.data() + text.size(), &reader.seen);
  if (!Json::sax_parse(begin, end, &reader)) {
    source.fail(base, "header is not JSON, expected ", kForm, "; the file is damaged");
  }
  return header;
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    const char* shorthand = c == '"'    ? "\\\""
                            : c == '\\' ? "\\\\"
                            : c == '\b' ? "\\b"
                            : c == '\f' ? "\\f"
                            : c == '\n' ? "\\n"
                            : c == '\r' ? "\\r"
                            : c == '\t' ? "\\t"
                                        : nullptr;
    if (shorthand != nullptr) {
      out += shorthand;
    } else if (u < 0x20) {
      out += "\\u" + hex(u, 4);
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace xtape::io
