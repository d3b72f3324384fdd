// The options of MultiHeadAttention as JSON text, under Keras's names.

#include "params/config.hpp"

#include <xtape/layers/attention/multi_head_attention.hpp>

namespace xtape {

using detail::ConfigReader;
using detail::OrderedJson;

namespace {

template <class V> OrderedJson or_null(const std::vector<V>& values) {
  return values.empty() ? OrderedJson() : OrderedJson(values);
}

/// Accepts float32 or float64, as a string (tf-keras) or as Keras 3's policy. The value has no effect: the
/// program has chosen T.
void check_dtype(ConfigReader& reader) {
  const detail::Json* dtype = &reader.at("dtype");
  if (dtype->is_null()) return;
  if (dtype->is_object() && dtype->contains("config") && (*dtype)["config"].is_object() &&
      (*dtype)["config"].contains("name")) {
    dtype = &(*dtype)["config"]["name"];
  }
  if (*dtype != "float32" && *dtype != "float64") {
    reader.refuse("dtype", *dtype, "float32 or float64");
  }
}

RotaryOptions rotary_from(const std::string& op, const detail::Json& json) {
  ConfigReader r(op, "rotary.", json);
  RotaryOptions o;
  o.max_wavelength = r.number("max_wavelength", o.max_wavelength);
  o.start = r.integer("start", 0);
  o.interleaved = r.boolean("interleaved", false);
  r.finish();
  return o;
}

}  // namespace

template <class T> std::string MultiHeadAttention<T>::get_config() const {
  const std::string op = path_ + ": get_config";
  const Options& o = options_;
  const auto initializer = [&](const char* name, const Initializer& i) {
    return config_of(op, name, "initializers", i.description());
  };
  // A penalty of zero has a description but nothing to apply.
  const auto optional = [&](const char* name, const char* family, const auto& x) {
    const bool none = !x && x.description().class_name.empty();
    return none ? OrderedJson() : config_of(op, name, family, x.description());
  };
  const std::size_t slash = path_.rfind('/');
  const std::string name = slash == std::string::npos ? path_ : path_.substr(slash + 1);
  OrderedJson json = {
      {"name", name.empty() ? "multi_head_attention" : name},
      {"trainable", o.trainable},
      {"dtype",
       {{"module", "keras"},
        {"class_name", "DTypePolicy"},
        {"config", {{"name", std::is_same_v<T, float> ? "float32" : "float64"}}},
        {"registered_name", nullptr}}},
      {"num_heads", o.num_heads},
      {"key_dim", o.key_dim},
      {"value_dim", o.value_dim},
      {"dropout", o.dropout},
      {"use_bias", o.use_bias},
      {"use_gate", o.use_gate},
      {"output_shape", or_null(o.output_shape.values())},
      {"attention_axes", or_null(o.attention_axes)},
      {"sliding_window", nullptr},
      {"kernel_initializer", initializer("kernel_initializer", o.kernel_initializer)},
      {"bias_initializer", initializer("bias_initializer", o.bias_initializer)},
      {"kernel_regularizer", optional("kernel_regularizer", "regularizers", o.kernel_regularizer)},
      {"bias_regularizer", optional("bias_regularizer", "regularizers", o.bias_regularizer)},
      {"activity_regularizer",
       optional("activity_regularizer", "regularizers", o.activity_regularizer)},
      {"kernel_constraint", optional("kernel_constraint", "constraints", o.kernel_constraint)},
      {"bias_constraint", optional("bias_constraint", "constraints", o.bias_constraint)},
      {"seed", nullptr}};
  if (o.sliding_window) json["sliding_window"] = *o.sliding_window;
  if (o.seed) json["seed"] = *o.seed;
  // Options that Keras lacks are written only if they differ from their defaults.
  if (*o.num_key_value_heads != o.num_heads) json["num_key_value_heads"] = *o.num_key_value_heads;
  if (o.rotary) {
    json["rotary"] = {{"max_wavelength", o.rotary->max_wavelength},
                      {"start", o.rotary->start},
                      {"interleaved", o.rotary->interleaved}};
  }
  return json.dump();
}

template <class T>
typename MultiHeadAttention<T>::Options MultiHeadAttention<T>::from_config(
    const std::string& config) {
  const std::string op = "MultiHeadAttention::from_config";
  const detail::Json json = detail::parse_config(op, config);
  ConfigReader r(op, "", json);
  Options o;
  static_cast<void>(r.text("name", ""));  // the scope names the layer
  check_dtype(r);
  o.trainable = r.boolean("trainable", true);
  o.num_heads = static_cast<int>(r.integer("num_heads"));
  o.key_dim = static_cast<int>(r.integer("key_dim"));
  const auto optional = [&](const char* key) -> std::optional<int> {
    if (r.at(key).is_null()) return std::nullopt;
    return static_cast<int>(r.integer(key, {}, 1));
  };
  o.value_dim = optional("value_dim").value_or(0);
  o.dropout = r.number("dropout", o.dropout);
  o.use_bias = r.boolean("use_bias", true);
  o.use_gate = r.boolean("use_gate", false);
  const Axes extents = r.integers("output_shape");
  o.output_shape = Extents(std::vector<std::ptrdiff_t>(extents.begin(), extents.end()));
  o.attention_axes = r.integers("attention_axes");
  o.sliding_window = optional("sliding_window");
  o.kernel_initializer = initializer_from(r, "kernel_initializer", o.kernel_initializer);
  o.bias_initializer = initializer_from(r, "bias_initializer", o.bias_initializer);
  o.kernel_regularizer = detail::regularizer_from<T>(r, "kernel_regularizer");
  o.bias_regularizer = detail::regularizer_from<T>(r, "bias_regularizer");
  o.activity_regularizer = detail::regularizer_from<T>(r, "activity_regularizer");
  o.kernel_constraint = detail::constraint_from<T>(r, "kernel_constraint");
  o.bias_constraint = detail::constraint_from<T>(r, "bias_constraint");
  if (const detail::Json& seed = r.at("seed"); !seed.is_null()) {
    if (!seed.is_number_unsigned()) r.refuse("seed", seed, "null or an integer, 0 or more");
    o.seed = seed.get<std::uint64_t>();
  }
  o.num_key_value_heads = optional("num_key_value_heads");
  if (const detail::Json& rotary = r.at("rotary"); !rotary.is_null()) {
    o.rotary = rotary_from(op, rotary);
  }
  // tf-keras adds the shapes it was built for and a way to mask. Both have no effect: the first call
  // builds, and masking is exact.
  for (const char* key : {"query_shape", "key_shape", "value_shape"}) {
    const detail::Json& shape = r.at(key);
    if (!shape.is_null() && !shape.is_array()) r.refuse(key, shape, "null or a list");
  }
  static_cast<void>(r.boolean("softmax_robust_masking", false));
  r.finish();
  return o;
}

template std::string MultiHeadAttention<float>::get_config() const;
template std::string MultiHeadAttention<double>::get_config() const;
template MultiHeadAttention<float>::Options MultiHeadAttention<float>::from_config(
    const std::string&);
template MultiHeadAttention<double>::Options MultiHeadAttention<double>::from_config(
    const std::string&);

}  // namespace xtape
