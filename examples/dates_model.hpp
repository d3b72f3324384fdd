#pragma once
// The model of dates.cpp: an encoder and a decoder in the manner of Vaswani et al. (2017), with
// normalization before each part. A plain struct of layers; a call reads top-down.

#include "dates_data.hpp"

#include <utility>

namespace dates {

namespace xp = xtape;
using xp::Var;

struct Sizes {
  int width = 64, heads = 4, hidden = 128, layers = 1;
};

template <class T>
struct Model {
  xp::Embedding<T> source_embedding, target_embedding;
  xp::SinePositionEncoding<T> positions;
  std::vector<xp::TransformerEncoder<T>> encoder;
  std::vector<xp::TransformerDecoder<T>> decoder;
  xp::LayerNormalization<T> memory_norm, final_norm;
  xp::Dense<T> head;

  Model(const xp::Scope<T>& s, const Sizes& z)
      : source_embedding(s / "source", table(z)),
        target_embedding(s / "target", table(z)),
        memory_norm(s / "memory_norm"),
        final_norm(s / "final_norm"),
        head(s / "head", {.units = Characters::kCount}) {
    const xp::TransformerOptions<T> options{.hidden_dim = z.width,
                                            .num_heads = z.heads,
                                            .intermediate_dim = z.hidden,
                                            .normalize_first = true};
    for (int i = 0; i < z.layers; ++i) {
      encoder.emplace_back(s / "encoder" / std::to_string(i), options);
      decoder.emplace_back(s / "decoder" / std::to_string(i), options);
    }
  }

  Var<T> encode(const xp::Tokens<T>& ids, const xp::Array<bool>& mask) const {
    const Var<T> vectors = source_embedding(ids);
    Var<T> x = vectors + positions(vectors);
    for (const auto& layer : encoder) x = layer(x, {.padding_mask = mask});
    return memory_norm(x);
  }
  /// Logits (batch, target, characters).
  Var<T> decode(const xp::Tokens<T>& ids, const Var<T>& memory, const xp::Array<bool>& mask) const {
    const Var<T> vectors = target_embedding(ids);
    Var<T> x = vectors + positions(vectors);
    for (const auto& layer : decoder) x = layer(x, memory, {.encoder_padding_mask = mask});
    return head(final_norm(x));
  }
  /// Logits of the next characters (batch, 1, characters), given the last ones written, and the last
  /// cross-attention's scores (batch, heads, 1, source). The caches hold what was written before.
  std::pair<Var<T>, Var<T>> next(const xp::Tokens<T>& ids, const Var<T>& memory,
                                 const xp::Array<bool>& mask,
                                 std::vector<xp::DecoderCache<T>>& caches) const {
    const Var<T> vectors = target_embedding(ids);
    Var<T> x = vectors + positions(vectors, caches[0].length());
    Var<T> scores;
    for (std::size_t i = 0; i < decoder.size(); ++i) {
      const auto seen =
          decoder[i].with_scores(x, memory, {.encoder_padding_mask = mask, .cache = &caches[i]});
      x = seen.output;
      scores = seen.cross_scores;
    }
    return {head(final_norm(x)), scores};
  }

 private:
  static typename xp::Embedding<T>::Options table(const Sizes& z) {
    return {.input_dim = Characters::kCount,
            .output_dim = z.width,
            .embeddings_initializer = xp::initializers::random_normal(0, 1)};
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
    std::vector<xp::DecoderCache<T>> caches(model.decoder.size(), xp::DecoderCache<T>(longest));
    xp::Array<std::int64_t> last(xp::Shape{n, 1}, Characters::kStart);
    xp::Array<std::int64_t> written(xp::Shape{n, longest});
    xp::Array<double> looked(xp::Shape{n, longest, memory.shape()[1]});  // mean over the heads
    for (std::size_t step = 0; step < longest; ++step) {
      const auto [logits, scores] = model.next(last, memory, batch.source_mask, caches);
      last = xp::argmax(logits);
      const xp::Array<T> averaged = xp::mean(scores, {1}).value();
      for (std::size_t r = 0; r < n; ++r) {
        written(r, step) = last(r, 0);
        for (std::size_t j = 0; j < looked.shape()[2]; ++j) {
          looked(r, step, j) = static_cast<double>(averaged(r, 0, j));
        }
      }
    }
    for (std::size_t r = 0; r < n; ++r) {
      Translation t;
      for (std::size_t i = 0; i < longest && written(r, i) != Characters::kEnd; ++i) {
        t.text += Characters::character(written(r, i));
      }
      t.attention = xp::Array<double>(xp::Shape{t.text.size(), examples[begin + r].source.size()});
      for (std::size_t i = 0; i < t.text.size(); ++i) {
        for (std::size_t j = 0; j < t.attention.shape()[1]; ++j) {
          t.attention(i, j) = looked(r, i, j);
        }
      }
      out.push_back(std::move(t));
    }
  }
  return out;
}

}  // namespace dates
