// A decoder-only language model on characters: a shared table for embedding and output, learned
// positions, blocks with causal attention. It memorizes one sentence and writes it step by step with a
// cache. Then small models of the other layers.
#include <xtape/xtape.hpp>

#include <cstdio>
#include <string>

namespace xp = xtape;

namespace {

const std::string kText = "the quick brown fox jumps over the lazy dog. ";

template <class T> struct LanguageModel {
  xp::Embedding<T> table;
  xp::PositionEmbedding<T> positions;
  std::vector<xp::TransformerEncoder<T>> blocks;
  xp::RMSNormalization<T> norm;

  explicit LanguageModel(const xp::Scope<T>& s)
      : table(s / "table", {.input_dim = 128, .output_dim = 32}),
        positions(s / "positions", {.sequence_length = 64}),
        norm(s / "norm") {
    for (int i = 0; i < 2; ++i) {
      blocks.emplace_back(s / "blocks" / i,
                          xp::TransformerOptions<T>{.hidden_dim = 32,
                                                    .num_heads = 4,
                                                    .intermediate_dim = 64,
                                                    .activation = "gelu",
                                                    .normalize_first = true,
                                                    .normalization = xp::Normalization::rms});
    }
  }
  // Logits (batch, length, 128). With caches, one per block, ids continue the cached text.
  xp::Var<T> operator()(const xp::Tokens<T>& ids,
                        std::vector<xp::KeyValueCache<T>>* caches = nullptr) const {
    const xp::Var<T> vectors = table(ids);
    xp::Var<T> x = vectors + positions(vectors, caches == nullptr ? 0 : (*caches)[0].length());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      x = blocks[i](
          x, {.use_causal_mask = true, .cache = caches == nullptr ? nullptr : &(*caches)[i]});
    }
    return table.attend(norm(x));
  }
};

// Ids of `count` characters, beginning at `begin`.
xp::Array<std::int64_t> characters(std::size_t begin, std::size_t count) {
  xp::Array<std::int64_t> ids(xp::Shape{1, count});
  for (std::size_t i = 0; i < count; ++i) ids(0, i) = kText[(begin + i) % kText.size()];
  return ids;
}

std::string write(const LanguageModel<float>& model) {
  std::vector<xp::KeyValueCache<float>> caches(model.blocks.size(), xp::KeyValueCache<float>(64));
  std::string text(1, kText[0]);
  while (text.size() < kText.size()) {
    const xp::Array<std::int64_t> last(xp::Shape{1, 1}, text.back());
    text += static_cast<char>(xp::argmax(model(last, &caches))(0, 0));
  }
  return text;
}

// An encoder and a decoder, each one block, with positions as sines; x (batch, length, 8).
xp::Var<float> translated(const xp::Scope<float>& s, const xp::Var<float>& source,
                          const xp::Var<float>& target) {
  const xp::TransformerOptions<float> options{
      .hidden_dim = 8, .num_heads = 2, .intermediate_dim = 16, .dropout = 0.1};
  const xp::SinePositionEncoding<float> positions;
  const xp::TransformerEncoder<float> encoder(s / "encoder", options);
  const xp::TransformerDecoder<float> decoder(s / "decoder", options);
  const xp::Var<float> memory = encoder(source + positions(source));
  const xp::Var<float> whole = decoder(target + positions(target), memory);
  // The decoder again, position by position.
  xp::DecoderCache<float> cache(target.shape()[1]);
  xp::Var<float> last;
  for (std::ptrdiff_t t = 0; t < static_cast<std::ptrdiff_t>(target.shape()[1]); ++t) {
    const xp::Var<float> now = xp::slice(target, {xp::Slice::all(), xp::Slice::range(t, t + 1)});
    last = decoder(now + positions(now, cache.length()), memory, {.cache = &cache});
  }
  const xp::Var<float> end = xp::slice(whole, {xp::Slice::all(), xp::Slice::range(-1, {})});
  return xp::max(xp::abs(end - last));
}

}  // namespace

int main() {
  xp::Params<float> params({.seed = 1});
  const LanguageModel<float> model(params.scope());
  const auto ids = characters(0, 44);
  std::printf("%s\n", xp::summary(params, [&](xp::Tape<float>& tape) {
                        static_cast<void>(model(tape.input(ids)));
                      }).c_str());
  xp::Adam<float> adam({.learning_rate = 5e-3});
  for (int step = 0; step < 100; ++step) {
    xp::Tape<float> tape({.training = true});
    const auto loss = xp::sparse_categorical_crossentropy(model(tape.input(ids)), characters(1, 44),
                                                          {.from_logits = true});
    adam.step(params, tape.backward(loss));
    if (step % 20 == 0)
      std::printf("step %3d  loss %.3f\n", step, static_cast<double>(loss.item()));
  }
  const std::string written = write(model);
  std::printf("it writes: %s\n\n", written.c_str());

  xp::Params<float> others({.seed = 1});
  xp::Sequential<float> classifier(others.scope() / "classifier");
  classifier.add<xp::Dense>({.units = 64, .activation = "relu"}).add<xp::Dropout>({.rate = 0.1});
  classifier.add<xp::FeedForward>({.intermediate_dim = 128}).add<xp::Dense>({.units = 10}, "head");
  const xp::Array<float> x(xp::Shape{4, 20}, 0.5F);
  std::printf("%s\n", xp::summary(others,
                                  [&](xp::Tape<float>& tape) {
                                    static_cast<void>(classifier(tape.input(x)));
                                  },
                                  {.name = "classifier", .scope = "classifier"})
                          .c_str());

  const xp::Array<float> source(xp::Shape{2, 5, 8}, 0.25F);
  const xp::Array<float> target(xp::Shape{2, 3, 8}, 0.5F);
  const float apart = translated(others.scope(), source, target).item();
  std::printf("decoding step by step differs by %.1e from all at once\n",
              static_cast<double>(apart));
  return written == kText && apart < 1e-5F ? 0 : 1;
}
