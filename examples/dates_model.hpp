#pragma once
// The model of dates.cpp: an encoder and a decoder in the manner of Vaswani et al. (2017), with
// normalization before each part. Plain structs of layers; a call reads top-down.

#include "dates_data.hpp"

#include <cmath>

namespace dates {

namespace xp = xtape;
using xp::Var;

struct Sizes {
  int width = 64, heads = 4, hidden = 128, layers = 1;
};

/// x + f(normalized x), twice.
template <class T>
struct FeedForward {
  xp::LayerNormalization<T> norm;
  xp::Dense<T> up, down;
  FeedForward(const xp::Scope<T>& s, const Sizes& z)
      : norm(s / "norm"),
        up(s / "up", {.units = z.hidden, .activation = "relu"}),
        down(s / "down", {.units = z.width}) {}
  Var<T> operator()(const Var<T>& x) const { return x + down(up(norm(x))); }
};

template <class T>
typename xp::MultiHeadAttention<T>::Options attention_of(const Sizes& z) {
  return {.num_heads = z.heads, .key_dim = z.width / z.heads};
}

template <class T>
struct EncoderLayer {
  xp::LayerNormalization<T> norm;
  xp::MultiHeadAttention<T> attention;
  FeedForward<T> feed_forward;
  EncoderLayer(const xp::Scope<T>& s, const Sizes& z)
      : norm(s / "norm"),
        attention(s / "attention", attention_of<T>(z)),
        feed_forward(s / "ff", z) {}
  Var<T> operator()(const Var<T>& x, const xp::Array<bool>& mask) const {
    const Var<T> n = norm(x);
    return feed_forward(x + attention(n, n, {.value_mask = mask}));
  }
};

template <class T>
struct DecoderLayer {
  xp::LayerNormalization<T> norm, cross_norm;
  xp::MultiHeadAttention<T> attention, cross;
  FeedForward<T> feed_forward;
  DecoderLayer(const xp::Scope<T>& s, const Sizes& z)
      : norm(s / "norm"),
        cross_norm(s / "cross_norm"),
        attention(s / "attention", attention_of<T>(z)),
        cross(s / "cross", attention_of<T>(z)),
        feed_forward(s / "ff", z) {}
  /// The output, and the scores of the cross-attention (batch, heads, target, source).
  typename xp::MultiHeadAttention<T>::WithScores operator()(const Var<T>& x, const Var<T>& memory,
                                                            const xp::Array<bool>& mask) const {
    const Var<T> n = norm(x);
    const Var<T> y = x + attention(n, n, {.use_causal_mask = true});
    const auto seen = cross.with_scores(cross_norm(y), memory, {.value_mask = mask});
    return {feed_forward(y + seen.output), seen.scores};
  }
};

template <class T>
struct Model {
  Sizes sizes;
  xp::Embedding<T> source_embedding, target_embedding;
  std::vector<EncoderLayer<T>> encoder;
  std::vector<DecoderLayer<T>> decoder;
  xp::LayerNormalization<T> memory_norm, final_norm;
  xp::Dense<T> head;

  Model(const xp::Scope<T>& s, const Sizes& z)
      : sizes(z),
        source_embedding(s / "source", table(z)),
        target_embedding(s / "target", table(z)),
        memory_norm(s / "memory_norm"),
        final_norm(s / "final_norm"),
        head(s / "head", {.units = Characters::kCount}) {
    for (int i = 0; i < z.layers; ++i) {
      encoder.emplace_back(s / "encoder" / std::to_string(i), z);
      decoder.emplace_back(s / "decoder" / std::to_string(i), z);
    }
  }

  Var<T> encode(const xp::Tokens<T>& ids, const xp::Array<bool>& mask) const {
    Var<T> x = embed(source_embedding, ids);
    for (const auto& layer : encoder) x = layer(x, mask);
    return memory_norm(x);
  }
  /// Logits (batch, target, characters) and the last cross-attention's scores.
  typename xp::MultiHeadAttention<T>::WithScores decode(const xp::Tokens<T>& ids,
                                                        const Var<T>& memory,
                                                        const xp::Array<bool>& mask) const {
    typename xp::MultiHeadAttention<T>::WithScores x{embed(target_embedding, ids), {}};
    for (const auto& layer : decoder) x = layer(x.output, memory, mask);
    return {head(final_norm(x.output)), x.scores};
  }

 private:
  static typename xp::Embedding<T>::Options table(const Sizes& z) {
    return {.input_dim = Characters::kCount,
            .output_dim = z.width,
            .embeddings_initializer = xp::initializers::random_normal(0, 1)};
  }
  /// Vectors of the characters plus sines and cosines of their positions.
  Var<T> embed(const xp::Embedding<T>& table, const xp::Tokens<T>& ids) const {
    const std::size_t length = ids.shape()[1];
    const auto width = static_cast<std::size_t>(sizes.width);
    xp::Array<T> positions(xp::Shape{length, width});
    for (std::size_t p = 0; p < length; ++p) {
      for (std::size_t j = 0; j < width; ++j) {
        const double angle = static_cast<double>(p) *
                             std::pow(10000.0, -2.0 * static_cast<double>(j / 2) / sizes.width);
        positions(p, j) = static_cast<T>(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
    return table(ids) + positions;
  }
};

/// What the model writes by itself, one character after another, and where it looked.
struct Translation {
  std::string text;
  xp::Array<double> attention;  // (characters written, source characters), heads averaged
};

template <class T>
std::vector<Translation> translate(const Model<T>& model, const std::vector<Example>& examples,
                                   std::size_t longest = 12) {
  std::vector<Translation> out;
  constexpr std::size_t kBatch = 250;
  for (std::size_t begin = 0; begin < examples.size(); begin += kBatch) {
    const std::size_t end = std::min(begin + kBatch, examples.size());
    const Batch batch = make_batch(examples, begin, end);
    const std::size_t n = end - begin;
    const Var<T> memory = model.encode(batch.source, batch.source_mask);
    xp::Array<std::int64_t> written(xp::Shape{n, 1}, Characters::kStart);
    Var<T> scores;
    for (std::size_t step = 0; step < longest; ++step) {
      const auto result = model.decode(written, memory, batch.source_mask);
      scores = result.scores;
      const xp::Array<std::int64_t> best = xp::argmax(result.output);
      xp::Array<std::int64_t> longer(xp::Shape{n, step + 2});
      for (std::size_t r = 0; r < n; ++r) {
        for (std::size_t i = 0; i <= step; ++i) longer(r, i) = written(r, i);
        longer(r, step + 1) = best(r, step);
      }
      written = longer;
    }
    const xp::Array<T> averaged = xp::mean(scores, {1}).value();
    for (std::size_t r = 0; r < n; ++r) {
      Translation t;
      for (std::size_t i = 1; i <= longest && written(r, i) != Characters::kEnd; ++i) {
        t.text += Characters::character(written(r, i));
      }
      t.attention = xp::Array<double>(xp::Shape{t.text.size(), examples[begin + r].source.size()});
      for (std::size_t i = 0; i < t.text.size(); ++i) {
        for (std::size_t j = 0; j < t.attention.shape()[1]; ++j) {
          t.attention(i, j) = static_cast<double>(averaged(r, i, j));
        }
      }
      out.push_back(std::move(t));
    }
  }
  return out;
}

}  // namespace dates
