#include "params/config.hpp"

#include <vector>

namespace xtape::detail {

constexpr int kDepth = 16;  // a config has 4 levels

static std::string shown(const Json& value, std::size_t longest = 60) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > longest) text = text.substr(0, longest - 3) + "...";
  return text;
}

Json parse_config(const std::string& op, const std::string& text) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth > kDepth) fail<ValueError>(op, "nested too deeply: expected a config's few levels");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      fail<ValueError>(op, "repeated key: ", shown(parsed), " is there twice, expected it once");
    }
    return true;
  };
  Json json;
  try {
    json = Json::parse(text, check);
  } catch (const Json::exception& e) {
    // The parser quotes what it read, which may be long.
    fail<ValueError>(op, "no JSON: ", shown(Json(std::string(e.what())), 250),
                     ", expected a text from get_config");
  }
  if (!json.is_object()) {
    fail<ValueError>(op, "no config: text is ", shown(json),
                     ", expected an object {\"num_heads\": 2, ...}");
  }
  return json;
}

ConfigReader::ConfigReader(std::string op, std::string where, const Json& object)
    : op_(std::move(op)), where_(std::move(where)), object_(object) {
  if (!object.is_object()) {
    fail<ValueError>(op_, "wrong type: ", where_.substr(0, where_.size() - 1), " is ",
                     shown(object), ", expected an object");
  }
}

void ConfigReader::refuse(const char* key, const Json& value, const char* expected) const {
  fail<ValueError>(op_, "wrong value: ", name(key), " is ", shown(value), ", expected ", expected);
}

const Json& ConfigReader::at(const char* key) {
  static const Json null;
  asked_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() ? null : *found;
}

bool ConfigReader::boolean(const char* key, bool otherwise) {
  const Json& value = at(key);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) refuse(key, value, "true or false");
  return value.get<bool>();
}

double ConfigReader::number(const char* key, double otherwise) {
  const Json& value = at(key);
  if (value.is_null()) return otherwise;
  if (!value.is_number()) refuse(key, value, "a number");
  return value.get<double>();
}

std::int64_t ConfigReader::integer(const char* key, std::optional<std::int64_t> otherwise,
                                   std::int64_t low, std::int64_t high) {
  const Json& value = at(key);
  if (value.is_null() && otherwise) return *otherwise;
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<std::uint64_t>() > static_cast<std::uint64_t>(high)) &&
                    value.get<std::int64_t>() >= low && value.get<std::int64_t>() <= high;
  if (!fits) {
    const std::string expected =
        "an integer from " + std::to_string(low) + " to " + std::to_string(high);
    refuse(key, value, low == 1 ? "a positive integer" : expected.c_str());
  }
  return value.get<std::int64_t>();
}

std::string ConfigReader::text(const char* key, const std::string& otherwise) {
  const Json& value = at(key);
  if (value.is_null()) return otherwise;
  if (!value.is_string()) refuse(key, value, "a string");
  return value.get<std::string>();
}

Axes ConfigReader::integers(const char* key) {
  const Json& value = at(key);
  if (value.is_null()) return {};
  Axes all;
  for (const Json& entry : value.is_array() ? value : Json::array({value})) {
    const bool fits = entry.is_number_integer() &&
                      std::abs(entry.get<double>()) <= std::numeric_limits<int>::max();
    if (!fits) refuse(key, value, "an integer or a list of integers");
    all.push_back(entry.get<int>());
  }
  return all;
}

void ConfigReader::must_be_null(const char* key, const char* why) {
  const Json& value = at(key);
  if (!value.is_null()) refuse(key, value, why);
}

void ConfigReader::finish() const {
  for (const auto& [key, value] : object_.items()) {
    if (asked_.count(key) == 1) continue;
    std::string known;
    for (const std::string& k : asked_) known += ' ' + k;
    fail<ValueError>(op_, "unknown key: ", where_, shown(key), " is ", shown(value),
                     ", expected no other keys than:", known);
  }
}

OrderedJson config_of(const std::string& op, const char* what, const char* family,
                      const Description& description) {
  if (description.class_name.empty()) {
    fail<ValueError>(op, what, " cannot be written: ", what,
                     " is a function or an array of your own, expected one of the catalogue; set "
                     "it again after from_config");
  }
  OrderedJson config = OrderedJson::object();
  for (const auto& [name, value] : description.parameters) {
    OrderedJson& entry = config[name];
    const auto* axes = std::get_if<Axes>(&value);
    if (axes != nullptr && axes->size() == 1) {
      entry = axes->front();  // Keras writes its default so
    } else {
      std::visit([&](const auto& v) { entry = v; }, value);
    }
  }
  return {{"module", std::string("keras.") + family},
          {"class_name", description.class_name},
          {"config", std::move(config)},
          {"registered_name", nullptr}};
}

namespace {

/// Reads entry `key` with `make(class_name, reader of its config)`, or by name.
template <class Object, class Make>
Object catalogue_entry(ConfigReader& reader, const char* key, const char* family,
                       const Object& otherwise, const Make& make) {
  const Json& value = reader.at(key);
  if (value.is_null()) return otherwise;
  try {
    if (value.is_string()) return Object(value.get<std::string>());
    if (!value.is_object()) {
      reader.refuse(key, value, "a name, or an object with class_name and config");
    }
  } catch (const ValueError& e) {
    fail<ValueError>(reader.op(), reader.name(key), ": ", e.what());
  }
  ConfigReader outer(reader.op(), reader.name(key) + ".", value);
  const std::string module = std::string("keras.") + family;
  if (outer.text("module", module) != module) {
    outer.refuse("module", outer.at("module"), (module + "; set your own after reading").c_str());
  }
  static_cast<void>(outer.text("registered_name", ""));
  static_cast<void>(outer.at("shared_object_id"));  // of tf-keras
  const Json& name = outer.at("class_name");
  if (!name.is_string()) outer.refuse("class_name", name, "the name of a class");
  const Json empty = Json::object();
  const Json& config = outer.at("config");
  outer.finish();
  ConfigReader inner(reader.op(), reader.name(key) + ".config.", config.is_null() ? empty : config);
  try {
    Object made = make(name.get<std::string>(), inner);
    inner.finish();
    return made;
  } catch (const ValueError& e) {
    const std::string text = e.what();
    if (text.starts_with(reader.op())) throw;
    fail<ValueError>(reader.op(), reader.name(key), ": ", text);
  }
}

Axes axis_of(ConfigReader& reader) {
  const Axes axes = reader.integers("axis");
  return axes.empty() ? Axes{0} : axes;
}

}  // namespace

Initializer initializer_from(ConfigReader& reader, const char* key, const Initializer& otherwise) {
  using namespace initializers;
  return catalogue_entry<Initializer>(
      reader, key, "initializers", otherwise, [](const std::string& name, ConfigReader& r) {
        r.must_be_null("seed", "null: each parameter draws from the seed of its Params");
        r.must_be_null("input_axes", "null: the layer knows which axes it contracts");
        r.must_be_null("output_axes", "null: the layer knows which axes it makes");
        const bool convolution = r.boolean("convolution_fans", false);
        const auto make = [&]() -> Initializer {
          if (name == "Constant") return Constant{r.number("value", 0)};
          if (name == "Identity") return Identity{r.number("gain", 1)};
          if (name == "Orthogonal") return Orthogonal{r.number("gain", 1)};
          if (name == "RandomUniform") {
            return RandomUniform{r.number("minval", -0.05), r.number("maxval", 0.05)};
          }
          if (name == "RandomNormal") {
            return RandomNormal{r.number("mean", 0), r.number("stddev", 0.05)};
          }
          if (name == "TruncatedNormal") {
            return TruncatedNormal{r.number("mean", 0), r.number("stddev", 0.05)};
          }
          if (name == "VarianceScaling") {
            return VarianceScaling{r.number("scale", 1), r.text("mode", "fan_in"),
                                   r.text("distribution", "truncated_normal")};
          }
          return name;
        };
        return convolution ? WithConvolutionFans{make()} : make();
      });
}

template <class T> Regularizer<T> regularizer_from(ConfigReader& reader, const char* key) {
  using namespace regularizers;
  return catalogue_entry<Regularizer<T>>(
      reader, key, "regularizers", {},
      [](const std::string& name, ConfigReader& r) -> Regularizer<T> {
        if (name == "L1") return L1{r.number("l1", 0.01)};
        if (name == "L2") return L2{r.number("l2", 0.01)};
        if (name == "L1L2") return L1L2{r.number("l1", 0), r.number("l2", 0)};
        if (name == "OrthogonalRegularizer") {
          const std::string mode = r.text("mode", "rows");
          if (mode != "rows" && mode != "columns") r.refuse("mode", mode, "rows or columns");
          return OrthogonalRegularizer{r.number("factor", 0.01), mode == "rows"
                                                                     ? OrthogonalMode::rows
                                                                     : OrthogonalMode::columns};
        }
        return name;
      });
}

template <class T> Constraint<T> constraint_from(ConfigReader& reader, const char* key) {
  using namespace constraints;
  return catalogue_entry<Constraint<T>>(
      reader, key, "constraints", {},
      [](const std::string& name, ConfigReader& r) -> Constraint<T> {
        if (name == "MaxNorm") {
          return MaxNorm{.max_value = r.number("max_value", 2), .axes = axis_of(r)};
        }
        if (name == "UnitNorm") return UnitNorm{.axes = axis_of(r)};
        if (name == "MinMaxNorm") {
          return MinMaxNorm{.min_value = r.number("min_value", 0),
                            .max_value = r.number("max_value", 1),
                            .rate = r.number("rate", 1),
                            .axes = axis_of(r)};
        }
        return name;
      });
}

template Regularizer<float> regularizer_from(ConfigReader&, const char*);
template Regularizer<double> regularizer_from(ConfigReader&, const char*);
template Constraint<float> constraint_from(ConfigReader&, const char*);
template Constraint<double> constraint_from(ConfigReader&, const char*);

}  // namespace xtape::detail
