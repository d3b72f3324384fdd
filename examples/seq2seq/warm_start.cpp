#include "warm_start.hpp"

#include "../console.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace seq2seq {

namespace {

const char* name_of(Tokens kind) {
  if (kind == Tokens::pieces) return "sentencepiece";
  return kind == Tokens::characters ? "chars" : "space";
}

std::string text_of(const xp::Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + ")";
}

/// Whether an array has a row or a column for each token, or position, from the first on.
bool grows(const std::string& path) {
  return path.find("embedding") != std::string::npos || path.starts_with("output/") ||
         path.find("_positions/") != std::string::npos;
}

/// Copies the common part of arrays of one or two axes.
void copy_common(const xp::Array<float>& from, xp::Array<float>& to) {
  const xp::Shape &a = from.shape(), &b = to.shape();
  const std::size_t rows = a.size() == 2 ? std::min(a[0], b[0]) : 1;
  const std::size_t columns = std::min(a.back(), b.back());
  for (std::size_t r = 0; r < rows; ++r) {
    std::copy_n(from.data() + r * a.back(), columns, to.data() + r * b.back());
  }
}

/// Whether the shapes of an array that grows differ in the tokens or positions alone.
bool alike(const std::string& path, const xp::Shape& a, const xp::Shape& b) {
  if (a.size() != b.size() || a.empty() || a.size() > 2) return false;
  const std::size_t tokens = path == "output/kernel" ? 1 : 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (i != tokens && a[i] != b[i]) return false;
  }
  return true;
}

}  // namespace

TrainSettings inherited(const TrainSettings& s, const Bundle& from) {
  TrainSettings all = s;
  const auto take = [&](const char* option, auto& setting, const auto& value) {
    if (s.given.count(option) != 0) return;
    setting = value;
    std::ostringstream text;  // for the page of the model, and a resumed run
    text << std::boolalpha << std::setprecision(15) << value;
    const bool flag = text.str() == "true" || text.str() == "false";
    all.configuration[option] = !flag ? text.str() : text.str() == "true" ? "set" : "unset";
  };
  const xp::Seq2SeqOptions& o = from.model->options();
  take("--source-tokens", all.source_tokens, name_of(from.language.source_kind));
  take("--target-tokens", all.target_tokens, name_of(from.language.target_kind));
  take("--lowercase", all.lowercase, from.language.lowercase);
  take("--source-ends", all.source_ends, from.language.source_ends);
  take("--layers", all.layers, o.encoder_layers);
  if (s.given.count("--layers") == 0)
    take("--decoder-layers", all.decoder_layers, o.decoder_layers);
  take("--width", all.width, o.hidden_dim);
  take("--heads", all.heads, o.num_heads);
  take("--hidden", all.hidden, o.intermediate_dim);
  take("--dropout", all.dropout, o.dropout);
  const auto take_rate = [&](const char* option, auto& setting, const auto& rate) {
    if (rate) take(option, setting, *rate);
  };
  take_rate("--embedding-dropout", all.embedding_dropout, o.embedding_dropout);
  take_rate("--attention-dropout", all.attention_dropout, o.attention_dropout);
  take_rate("--activation-dropout", all.activation_dropout, o.activation_dropout);
  take("--norm", all.norm, o.normalize_first ? "pre" : "post");
  take("--positions", all.positions,
       o.positions == xp::Positions::sine      ? "sine"
       : o.positions == xp::Positions::learned ? "learned"
       : o.positions == xp::Positions::rotary  ? "rotary"
                                               : "none");
  take("--activation", all.activation, o.activation);
  take("--tying", all.tying,
       o.tying == xp::Tying::all      ? "all"
       : o.tying == xp::Tying::output ? "output"
                                      : "none");
  take("--max-length", all.max_length, o.max_length);
  take("--no-scaling", all.no_scaling, !o.scale_embeddings);
  take("--no-bias", all.no_bias, !o.use_bias);
  return all;
}

xp::Vocabulary extended(const xp::Vocabulary& old, const xp::Vocabulary& added) {
  std::vector<std::string> tokens = old.tokens();
  for (const std::string& token : added.tokens()) {
    if (!old.contains(token)) tokens.push_back(token);
  }
  return xp::Vocabulary(std::move(tokens), old.specials());
}

void take_weights(const Bundle& from, const std::string& folder, xp::Params<float>& params) {
  const auto old = from.params.values();
  std::map<std::string, xp::Array<float>> taken;
  std::string remarks;
  for (const auto& parameter : params.all()) {
    const std::string& path = parameter.path();
    const auto at = old.find(path);
    if (at == old.end()) {
      remarks += "  new: " + path + "\n";
      continue;
    }
    const xp::Shape &is = at->second.shape(), &expected = parameter.value().shape();
    if (is == expected) {
      taken.emplace(path, at->second);
    } else if (grows(path) && alike(path, is, expected)) {
      xp::Array<float> value = parameter.value();
      copy_common(at->second, value);
      taken.emplace(path, std::move(value));
      remarks += "  in part: " + path + " is " + text_of(is) + " there, and " + text_of(expected) +
                 " here\n";
    } else {
      remarks += "  not taken: " + path + " is " + text_of(is) + " there, expected " +
                 text_of(expected) + "\n";
    }
  }
  for (const auto& [path, value] : old) {
    if (!params.contains(path)) remarks += "  not taken: " + path + " has no place here\n";
  }
  if (taken.empty()) {
    throw xp::ValueError("--init " + folder +
                         ": nothing fits: the model shares no weights with the one to train, "
                         "expected the same width; leave out the options about the model");
  }
  params.load(taken, {.strict = false});
  console::print("from " + folder + ": " + std::to_string(taken.size()) + " of " +
                 console::counted(params.all().size(), "array") + "\n" + remarks);
}

void freeze(const std::vector<std::string>& paths, xp::Params<float>& params) {
  for (const std::string& path : paths) {
    try {
      params.set_trainable(path, false);
    } catch (const xp::ParameterError& e) {
      throw xp::ValueError(console::advised(e, "'seq2seq inspect' lists the layers of a model") +
                           " (--freeze " + path + ")");
    }
  }
  if (!paths.empty() && params.count(true) == 0) {
    throw xp::ValueError("--freeze: nothing is left to train, expected some layers; freeze fewer");
  }
}

}  // namespace seq2seq
