#pragma once
// Configs: the options of a layer as JSON, in the form of Keras's get_config and from_config.

#include "base/message.hpp"

#include <xtape/params/constraints.hpp>
#include <xtape/params/initializers.hpp>
#include <xtape/params/regularizers.hpp>

#include <nlohmann/json.hpp>

#include <limits>
#include <set>

namespace xtape::detail {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

/// Parses a text that is an object. ValueError, beginning with `op`, for anything else, for a repeated
/// key, and for deeper nesting than any config has.
Json parse_config(const std::string& op, const std::string& text);

/// Reads the entries of an object one by one, and refuses entries that were not read. Errors are
/// ValueErrors naming the entry, its value, and the expected one. A missing entry is null, and null is
/// the default.
class ConfigReader {
 public:
  /// `where` is what comes before the entries' names in errors: "", or "kernel_initializer.config.".
  ConfigReader(std::string op, std::string where, const Json& object);

  [[nodiscard]] const Json& at(const char* key);
  bool boolean(const char* key, bool otherwise);
  double number(const char* key, double otherwise);
  /// ValueError also when the entry is missing or null, unless there is a default.
  std::int64_t integer(const char* key, std::optional<std::int64_t> otherwise = {},
                       std::int64_t low = std::numeric_limits<int>::min(),
                       std::int64_t high = std::numeric_limits<int>::max());
  std::string text(const char* key, const std::string& otherwise);
  /// One integer or a list of them; empty by default.
  Axes integers(const char* key);
  /// Throws ValueError unless an entry that has no meaning here is null.
  void must_be_null(const char* key, const char* why);
  /// Throws ValueError naming the first entry that was not read, and those that were.
  void finish() const;

  [[nodiscard]] const std::string& op() const { return op_; }
  [[nodiscard]] std::string name(const char* key) const { return where_ + key; }
  [[noreturn]] void refuse(const char* key, const Json& value, const char* expected) const;

 private:
  std::string op_, where_;
  const Json& object_;
  std::set<std::string> asked_;
};

/// Writes an object of the catalogue in Keras's form {"module", "class_name", "config", ...}. `family` is
/// "initializers", "regularizers" or "constraints". ValueError naming `what` without a description.
OrderedJson config_of(const std::string& op, const char* what, const char* family,
                      const Description& description);

/// Reads the entry `key` as an object of the catalogue: a name, or Keras's form. Null is none.
Initializer initializer_from(ConfigReader& reader, const char* key, const Initializer& otherwise);
template <class T> Regularizer<T> regularizer_from(ConfigReader& reader, const char* key);
template <class T> Constraint<T> constraint_from(ConfigReader& reader, const char* key);

}  // namespace xtape::detail
