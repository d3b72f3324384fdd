// The options of the models as JSON text, each entry under the name of its option.

#include "params/config.hpp"

#include <xtape/models/language_model.hpp>
#include <xtape/models/seq2seq.hpp>

#include <array>

namespace xtape {

using detail::ConfigReader;
using detail::OrderedJson;

namespace {

template <class E, std::size_t N> using Names = std::array<std::pair<E, const char*>, N>;

constexpr Names<Positions, 4> kPositions{{{Positions::sine, "sine"},
                                          {Positions::learned, "learned"},
                                          {Positions::rotary, "rotary"},
                                          {Positions::none, "none"}}};
constexpr Names<Tying, 3> kTyings{
    {{Tying::none, "none"}, {Tying::output, "output"}, {Tying::all, "all"}}};
constexpr Names<Normalization, 2> kNormalizations{
    {{Normalization::layer, "layer"}, {Normalization::rms, "rms"}}};

template <class E, std::size_t N> const char* name_of(E value, const Names<E, N>& names) {
  for (const auto& [e, name] : names) {
    if (e == value) return name;
  }
  return "";
}

/// Writes options as entries of one object.
class Writer {
 public:
  explicit Writer(std::string op) : op_(std::move(op)) {}
  void operator()(const char* key, Positions& v) { json_[key] = name_of(v, kPositions); }
  void operator()(const char* key, Tying& v) { json_[key] = name_of(v, kTyings); }
  void operator()(const char* key, Normalization& v) { json_[key] = name_of(v, kNormalizations); }
  void operator()(const char* key, Initializer& v) {
    json_[key] = detail::config_of(op_, key, "initializers", v.description());
  }
  template <class V> void operator()(const char* key, V& v) { json_[key] = v; }
  template <class V> void operator()(const char* key, std::optional<V>& v) {
    if (v) {
      (*this)(key, *v);
    } else {
      json_[key] = nullptr;
    }
  }
  [[nodiscard]] std::string text() const { return json_.dump(2); }

 private:
  std::string op_;
  OrderedJson json_ = OrderedJson::object();
};

/// Reads options. A missing or null entry keeps its default.
class Reader {
 public:
  explicit Reader(ConfigReader& reader) : reader_(reader) {}
  void operator()(const char* key, Positions& v) { name(key, v, kPositions); }
  void operator()(const char* key, Tying& v) { name(key, v, kTyings); }
  void operator()(const char* key, Normalization& v) { name(key, v, kNormalizations); }
  void operator()(const char* key, Initializer& v) { v = initializer_from(reader_, key, v); }
  void operator()(const char* key, bool& v) { v = reader_.boolean(key, v); }
  void operator()(const char* key, double& v) { v = reader_.number(key, v); }
  void operator()(const char* key, std::string& v) { v = reader_.text(key, v); }
  void operator()(const char* key, int& v) { v = static_cast<int>(reader_.integer(key, v)); }
  void operator()(const char* key, std::int64_t& v) { v = reader_.integer(key, v); }
  template <class V> void operator()(const char* key, std::optional<V>& v) {
    if (reader_.at(key).is_null()) return;
    V value = v.value_or(initial(static_cast<V*>(nullptr)));
    (*this)(key, value);
    v = std::move(value);
  }

 private:
  static Initializer initial(Initializer* /*type*/) { return "zeros"; }
  template <class V> static V initial(V* /*type*/) { return V{}; }
  template <class E, std::size_t N> void name(const char* key, E& v, const Names<E, N>& names) {
    const std::string text = reader_.text(key, name_of(v, names));
    std::string known;
    for (const auto& [e, n] : names) {
      if (text == n) {
        v = e;
        return;
      }
      known += std::string(known.empty() ? "" : ", ") + n;
    }
    reader_.refuse(key, reader_.at(key), ("one of " + known).c_str());
  }
  ConfigReader& reader_;
};

template <class Visitor, class Options> void visit_common(Visitor& visit, Options& o) {
  visit("hidden_dim", o.hidden_dim);
  visit("num_heads", o.num_heads);
  visit("intermediate_dim", o.intermediate_dim);
  visit("normalize_first", o.normalize_first);
  visit("normalization", o.normalization);
  visit("epsilon", o.epsilon);
  visit("positions", o.positions);
  visit("max_length", o.max_length);
  visit("max_wavelength", o.max_wavelength);
  visit("activation", o.activation);
  visit("dropout", o.dropout);
  visit("embedding_dropout", o.embedding_dropout);
  visit("attention_dropout", o.attention_dropout);
  visit("activation_dropout", o.activation_dropout);
  visit("scale_embeddings", o.scale_embeddings);
  visit("tying", o.tying);
  visit("use_bias", o.use_bias);
  visit("output_bias", o.output_bias);
  visit("embedding_initializer", o.embedding_initializer);
  visit("position_initializer", o.position_initializer);
  visit("kernel_initializer", o.kernel_initializer);
  visit("output_initializer", o.output_initializer);
  visit("bias_initializer", o.bias_initializer);
  visit("num_key_value_heads", o.num_key_value_heads);
  visit("pad_id", o.pad_id);
  visit("start_id", o.start_id);
  visit("end_id", o.end_id);
}

template <class Visitor> void visit_options(Visitor& visit, Seq2SeqOptions& o) {
  visit("source_vocabulary", o.source_vocabulary);
  visit("target_vocabulary", o.target_vocabulary);
  visit("encoder_layers", o.encoder_layers);
  visit("decoder_layers", o.decoder_layers);
  visit("final_norms", o.final_norms);
  visit_common(visit, o);
}

template <class Visitor> void visit_options(Visitor& visit, LanguageModelOptions& o) {
  visit("vocabulary", o.vocabulary);
  visit("layers", o.layers);
  visit("final_norm", o.final_norm);
  visit_common(visit, o);
}

template <class Options> std::string written(const std::string& path, Options o) {
  Writer writer(path + ": get_config");
  visit_options(writer, o);
  return writer.text();
}

template <class Options> Options read(const std::string& op, const std::string& config) {
  const detail::Json json = detail::parse_config(op, config);
  ConfigReader reader(op, "", json);
  Options o;
  Reader into(reader);
  visit_options(into, o);
  reader.finish();
  return o;
}

}  // namespace

template <class T> std::string Seq2Seq<T>::get_config() const { return written(path_, options_); }
template <class T> Seq2SeqOptions Seq2Seq<T>::from_config(const std::string& config) {
  return read<Options>("Seq2Seq::from_config", config);
}
template <class T> std::string LanguageModel<T>::get_config() const {
  return written(path_, options_);
}
template <class T> LanguageModelOptions LanguageModel<T>::from_config(const std::string& config) {
  return read<Options>("LanguageModel::from_config", config);
}

#define XTAPE_INSTANTIATE(T)                                           \
  template std::string Seq2Seq<T>::get_config() const;                 \
  template Seq2SeqOptions Seq2Seq<T>::from_config(const std::string&); \
  template std::string LanguageModel<T>::get_config() const;           \
  template LanguageModelOptions LanguageModel<T>::from_config(const std::string&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
