#pragma once
// An encoder-decoder with the defaults of torch.nn.Transformer (Vaswani et al. 2017): normalization after
// each part, relu, and one more normalization at the end of either stack.

#include "meter.hpp"

#include <cmath>

namespace bench {

using xp::Var;

struct Sizes {
  int layers, width, heads, hidden, vocabulary;
};

struct FeedForward {
  xp::Dense<float> up, down;
  FeedForward(const xp::Scope<float>& s, const Sizes& z)
      : up(s / "up", {.units = z.hidden, .activation = "relu"}),
        down(s / "down", {.units = z.width}) {}
  Var<float> operator()(const Var<float>& x) const { return down(up(x)); }
};

using Attention = xp::MultiHeadAttention<float>;
using Norm = xp::LayerNormalization<float>;
constexpr double kEpsilon = 1e-5;

inline Attention::Options attention_of(const Sizes& z) {
  return {.num_heads = z.heads, .key_dim = z.width / z.heads};
}

struct EncoderLayer {
  Attention attention;
  FeedForward feed_forward;
  Norm norm1, norm2;
  EncoderLayer(const xp::Scope<float>& s, const Sizes& z)
      : attention(s / "attention", attention_of(z)),
        feed_forward(s / "ff", z),
        norm1(s / "norm1", {.epsilon = kEpsilon}),
        norm2(s / "norm2", {.epsilon = kEpsilon}) {}
  Var<float> operator()(const Var<float>& x) const {
    const Var<float> y = norm1(x + attention(x, x));
    return norm2(y + feed_forward(y));
  }
};

struct DecoderLayer {
  Attention attention, cross;
  FeedForward feed_forward;
  Norm norm1, norm2, norm3;
  DecoderLayer(const xp::Scope<float>& s, const Sizes& z)
      : attention(s / "attention", attention_of(z)),
        cross(s / "cross", attention_of(z)),
        feed_forward(s / "ff", z),
        norm1(s / "norm1", {.epsilon = kEpsilon}),
        norm2(s / "norm2", {.epsilon = kEpsilon}),
        norm3(s / "norm3", {.epsilon = kEpsilon}) {}
  Var<float> operator()(const Var<float>& x, const Var<float>& memory) const {
    const Var<float> y = norm1(x + attention(x, x, {.use_causal_mask = true}));
    const Var<float> z = norm2(y + cross(y, memory));
    return norm3(z + feed_forward(z));
  }
};

struct Transformer {
  float scale;
  xp::Embedding<float> source, target;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  Norm encoder_norm, decoder_norm;
  xp::Dense<float> head;

  Transformer(const xp::Scope<float>& s, const Sizes& z)
      : scale(std::sqrt(static_cast<float>(z.width))),
        source(s / "source", table(z)),
        target(s / "target", table(z)),
        encoder_norm(s / "encoder_norm", {.epsilon = kEpsilon}),
        decoder_norm(s / "decoder_norm", {.epsilon = kEpsilon}),
        head(s / "head", {.units = z.vocabulary}) {
    for (int i = 0; i < z.layers; ++i) {
      encoder.emplace_back(s / "encoder" / std::to_string(i), z);
      decoder.emplace_back(s / "decoder" / std::to_string(i), z);
    }
  }

  /// Returns logits (batch, target, vocabulary). The positions are arrays of sinusoids().
  Var<float> operator()(const xp::Tokens<float>& from, const xp::Tokens<float>& to,
                        const Var<float>& from_positions, const Var<float>& to_positions) const {
    Var<float> memory = source(from) * scale + from_positions;
    for (const EncoderLayer& layer : encoder) memory = layer(memory);
    memory = encoder_norm(memory);
    Var<float> y = target(to) * scale + to_positions;
    for (const DecoderLayer& layer : decoder) y = layer(y, memory);
    return head(decoder_norm(y));
  }

 private:
  static xp::Embedding<float>::Options table(const Sizes& z) {
    return {
        .input_dim = z.vocabulary,
        .output_dim = z.width,
        .embeddings_initializer = xp::initializers::RandomNormal{.stddev = 1 / std::sqrt(z.width)}};
  }
};

inline xp::Array<float> sinusoids(std::size_t length, std::size_t width) {
  xp::Array<float> positions(xp::Shape{length, width});
  for (std::size_t p = 0; p < length; ++p) {
    for (std::size_t j = 0; j < width; ++j) {
      const double angle =
          static_cast<double>(p) *
          std::pow(10000.0, -static_cast<double>(j / 2 * 2) / static_cast<double>(width));
      positions(p, j) = static_cast<float>(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  }
  return positions;
}

}  // namespace bench
