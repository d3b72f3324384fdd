#pragma once
// Reads the XML of pictures: every tag closed, every attribute quoted and there once, no stray sign.

#include <cctype>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace xtape::test {

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  // its own, entities resolved
  std::size_t depth = 0;
};

/// All elements of a document in the order of their beginnings; throws for what is not well-formed.
class Xml {
 public:
  explicit Xml(std::string text) : text_(std::move(text)) {
    if (take("<?xml ")) until("?>");
    spaces();
    read_element(0);
    spaces();
    if (at_ != text_.size()) fail("something behind the root");
  }

  [[nodiscard]] const std::vector<Element>& all() const { return elements_; }
  /// Those of a name and, unless empty, a class.
  [[nodiscard]] std::vector<Element> find(const std::string& name,
                                          const std::string& of_class = "") const {
    std::vector<Element> out;
    for (const Element& e : elements_) {
      const auto it = e.attributes.find("class");
      const bool fits = of_class.empty() || (it != e.attributes.end() && it->second == of_class);
      if (e.name == name && fits) out.push_back(e);
    }
    return out;
  }
  [[nodiscard]] std::vector<std::string> texts(const std::string& name,
                                               const std::string& of_class = "") const {
    std::vector<std::string> out;
    for (const Element& e : find(name, of_class)) out.push_back(e.text);
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error("not well-formed at byte " + std::to_string(at_) + ": " + what);
  }
  bool take(const std::string& expected) {
    if (text_.compare(at_, expected.size(), expected) != 0) return false;
    at_ += expected.size();
    return true;
  }
  void need(const std::string& expected) {
    if (!take(expected)) fail("expected " + expected);
  }
  std::string until(const std::string& end) {
    const std::size_t found = text_.find(end, at_);
    if (found == std::string::npos) fail("no " + end);
    std::string out = text_.substr(at_, found - at_);
    at_ = found + end.size();
    return out;
  }
  void spaces() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  std::string name() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '-' || text_[at_] == '_')) {
      ++at_;
    }
    if (at_ == begin) fail("expected a name");
    return text_.substr(begin, at_ - begin);
  }
  // Character data: no control characters, no <, and & only as the beginning of an entity.
  std::string resolved(const std::string& raw) const {
    static const std::map<std::string, std::string> known{
        {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}};
    std::string out;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      const char c = raw[i];
      if (c == '<' || (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t')) {
        fail("a sign that must be escaped");
      }
      if (c != '&') {
        out += c;
        continue;
      }
      const std::size_t end = raw.find(';', i);
      const auto entity =
          end == std::string::npos ? known.end() : known.find(raw.substr(i + 1, end - i - 1));
      if (entity == known.end()) fail("unknown entity");
      out += entity->second;
      i = end;
    }
    return out;
  }
  void read_element(std::size_t depth) {
    need("<");
    const std::size_t self = elements_.size();
    elements_.push_back({name(), {}, "", depth});
    while (true) {
      spaces();
      if (take("/>")) return;
      if (take(">")) break;
      const std::string key = name();
      need("=\"");
      if (!elements_[self].attributes.emplace(key, resolved(until("\""))).second) {
        fail("attribute twice: " + key);
      }
    }
    while (true) {
      const std::size_t next = text_.find('<', at_);
      if (next == std::string::npos) fail("element not closed: " + elements_[self].name);
      elements_[self].text += resolved(text_.substr(at_, next - at_));
      at_ = next;
      if (take("</")) {
        need(elements_[self].name + ">");
        return;
      }
      read_element(depth + 1);
    }
  }

  std::string text_;
  std::size_t at_ = 0;
  std::vector<Element> elements_;
};

/// The numbers of an attribute like points or d; throws for anything that is no finite number.
inline std::vector<double> numbers_of(std::string text) {
  for (char& c : text) {
    if (std::string("Mhv, ").find(c) != std::string::npos) c = ' ';
  }
  std::vector<double> out;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(' ', at)) != std::string::npos) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    std::size_t used = 0;
    out.push_back(std::stod(text.substr(at, end - at), &used));
    if (used != end - at || !std::isfinite(out.back()))
      throw std::runtime_error("no number: " + text);
    at = end;
  }
  return out;
}

/// Every coordinate is a finite number; how many there are.
inline std::size_t count_coordinates(const Xml& xml) {
  std::size_t count = 0;
  for (const Element& e : xml.all()) {
    if (e.name == "linearGradient" || e.name == "stop") continue;
    for (const char* key :
         {"x", "y", "cx", "cy", "r", "width", "height", "points", "d", "viewBox"}) {
      const auto it = e.attributes.find(key);
      if (it == e.attributes.end() || it->second == "100%") continue;
      count += numbers_of(it->second).size();
    }
  }
  return count;
}

}  // namespace xtape::test
