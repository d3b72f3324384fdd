// Positions, RMS normalization, tied tables and the blocks of a Transformer, with their parameters.

#include "support/naive_layers.hpp"

namespace xtape::test {
namespace {

Array<double> times(const Array<double>& a, const Array<double>& b) {
  return zipped(a, b, [](double u, double v) { return u * v; });
}

/// x / sqrt(mean(x * x) + 0.1) over the last axis.
Array<double> by_rms(const Array<double>& x) {
  const Array<double> squares =
      reduced(mapped(x, [](double a) { return a * a; }), {-1}, true, mean_of);
  return zipped(x, squares, [](double a, double b) { return a / std::sqrt(b + 0.1); });
}

Array<double> naive_norm(const Array<double>& x, const Values& v, const std::string& path) {
  if (v.count(path + "/scale") == 1) return times(by_rms(x), v.at(path + "/scale"));
  const Array<double> centred =
      zipped(x, reduced(x, {-1}, true, mean_of), [](double a, double b) { return a - b; });
  return plus(times(by_rms(centred), v.at(path + "/gamma")), v.at(path + "/beta"));
}

Array<double> naive_feed_forward(const Array<double>& x, const Values& v, const std::string& path) {
  const Array<double> hidden = mapped(
      naive_dense(x, v.at(path + "/intermediate/kernel"), &v.at(path + "/intermediate/bias"), 1),
      [](double u) { return std::tanh(u); });
  return naive_dense(hidden, v.at(path + "/output/kernel"), &v.at(path + "/output/bias"), 1);
}

/// x + f(norm(x)), or norm(x + f(x)).
template <class F>
Array<double> naive_part(bool first, const Array<double>& x, const Values& v,
                         const std::string& norm, F f) {
  return first ? plus(x, f(naive_norm(x, v, norm))) : naive_norm(plus(x, f(x)), v, norm);
}

Array<double> everything() { return Array<double>(1.0); }

/// (batch, positions, 4), beside shapes that are refused.
std::vector<Shapes> sequences() {
  return singles(
      "() 4 2x4 2x3x3 2x3x4 1x1x4 1x3x4 3x2x4 0x2x4 2x0x4 2x1x4 1x5x4 4x1x4 1x2x4 2x2x4 5x1x4 "
      "1x4x4");
}
std::optional<Rejection> refused_by_block(const Shapes& s) {
  if (s[0].size() != 3 || s[0][2] != 4) return refused("b: input does not fit");
  return std::nullopt;
}

template <class T> TransformerOptions<T> options(bool first, Normalization normalization) {
  return {.hidden_dim = 4,
          .num_heads = 2,
          .intermediate_dim = 3,
          .activation = "tanh",
          .normalize_first = first,
          .normalization = normalization,
          .epsilon = 0.1};
}

void small_rows(Table& rows) {
  rows.layer(
          "RMSNormalization", both(one(), matrices()),
          []<class T>(Params<T>& p) -> Function<T> {
            auto norm = std::make_shared<RMSNormalization<T>>(
                p.scope() / "norm", typename RMSNormalization<T>::Options{.epsilon = 0.1});
            return [norm](const Vars<T>& x) { return (*norm)(x[0]); };
          },
          [](const Arrays& x, const Values& v) { return times(by_rms(x[0]), v.at("norm/scale")); })
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("norm: axis out of range");
        if (s[0] == Shape{0}) return refused("nothing to normalize");
        return std::nullopt;
      });
  rows.layer(
          "SinePositionEncoding, added", both(one(), matrices()),
          []<class T>(Params<T>&) -> Function<T> {
            auto positions = std::make_shared<SinePositionEncoding<T>>(
                typename SinePositionEncoding<T>::Options{.max_wavelength = 50});
            return [positions](const Vars<T>& x) { return x[0] + (*positions)(x[0], 2); };
          },
          [](const Arrays& x, const Values&) {
            const double width = static_cast<double>(x[0].shape().back());
            return generate(x[0].shape(), [&](const Index& i) {
              const double p = static_cast<double>(i[i.size() - 2]) + 2;
              const double pair = static_cast<double>(i.back() / 2 * 2);
              const double angle = p / std::pow(50.0, pair / width);
              return at(x[0], i) + (i.back() % 2 == 0 ? std::sin(angle) : std::cos(angle));
            });
          })
      .refusing(below_rank(2, "SinePositionEncoding: too few axes"));
  rows.layer(
          "PositionEmbedding, added", both(one(), matrices()),
          []<class T>(Params<T>& p) -> Function<T> {
            auto positions = std::make_shared<PositionEmbedding<T>>(
                p.scope() / "p", typename PositionEmbedding<T>::Options{.sequence_length = 6});
            return [positions](const Vars<T>& x) { return x[0] * (*positions)(x[0], 1); };
          },
          [](const Arrays& x, const Values& v) {
            return generate(x[0].shape(), [&](const Index& i) {
              return at(x[0], i) * at(v.at("p/embeddings"), {i[i.size() - 2] + 1, i.back()});
            });
          })
      .refusing(below_rank(2, "p: too few axes"));
  rows.layer(
          "Embedding::attend", both(both(one(), matrices()), singles("1x3 5x3 0x3 2x1x1x3")),
          []<class T>(Params<T>& p) -> Function<T> {
            auto table = std::make_shared<Embedding<T>>(
                p.scope() / "e", typename Embedding<T>::Options{.input_dim = 5, .output_dim = 3});
            return [table](const Vars<T>& x) { return table->attend(x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            Index shape = extents_of(x[0].shape());
            shape.back() = 5;
            return generate(shape_of(shape), [&](Index i) {
              const std::size_t row = i.back();
              double sum = 0;
              for (std::size_t k = 0; k < 3; ++k) {
                i.back() = k;
                sum += at(x[0], i) * at(v.at("e/embeddings"), {row, k});
              }
              return sum;
            });
          })
      .refusing(shape_error_when([](const Shape& s) { return s.size() == 0 || s.back() != 3; },
                                 "e: width differs"));
  rows.layer(
          "FeedForward", both(one(), matrices()),
          []<class T>(Params<T>& p) -> Function<T> {
            auto block = std::make_shared<FeedForward<T>>(
                p.scope() / "ff",
                typename FeedForward<T>::Options{.intermediate_dim = 3, .activation = "tanh"});
            return [block](const Vars<T>& x) { return (*block)(x[0]); };
          },
          [](const Arrays& x, const Values& v) { return naive_feed_forward(x[0], v, "ff"); })
      .refusing(below_rank(1, "ff/intermediate: too few axes"));
}

void encoder_rows(Table& rows) {
  for (const bool first : {false, true}) {
    for (const bool masked : {false, true}) {
      const Normalization n = masked ? Normalization::rms : Normalization::layer;
      rows.layer(
              std::string("TransformerEncoder, ") + (first ? "pre" : "post") + "-norm" +
                  (masked ? ", causal and padding, RMS" : ""),
              sequences(),
              [first, masked, n]<class T>(Params<T>& p) -> Function<T> {
                auto block =
                    std::make_shared<TransformerEncoder<T>>(p.scope() / "b", options<T>(first, n));
                return [block, masked](const Vars<T>& x) {
                  typename TransformerEncoder<T>::CallOptions call;
                  call.use_causal_mask = masked;
                  if (masked && x[0].rank() == 3) {
                    call.padding_mask = padding(x[0].shape());
                  }
                  return (*block)(x[0], call);
                };
              },
              [first, masked](const Arrays& x, const Values& v) {
                const std::size_t b = x[0].shape()[0], t = x[0].shape()[1];
                const Array<double> mask =
                    masked ? times(numbers(padding(x[0].shape()), Shape{b, 1, 1, t}), causal(t, t))
                           : everything();
                const Array<double> seen = naive_part(
                    first, x[0], v, "b/self_attention_norm", [&](const Array<double>& q) {
                      return naive_attention(q, q, q, v, mask, 0, "b/self_attention");
                    });
                return naive_part(first, seen, v, "b/feed_forward_norm",
                                  [&](const Array<double>& h) {
                                    return naive_feed_forward(h, v, "b/feed_forward");
                                  });
              })
          .refusing(refused_by_block);
    }
  }
}

void decoder_rows(Table& rows) {
  const auto with_memory = derived(sequences(), [](const Shape& s) {
    if (s.size() != 3) return Shapes{s, s};
    return Shapes{s, Shape{s[0], 3, 4}};
  });
  for (const bool first : {false, true}) {
    const Normalization n = first ? Normalization::rms : Normalization::layer;
    rows.layer(
            std::string("TransformerDecoder, ") + (first ? "pre-norm, RMS" : "post-norm"),
            with_memory,
            [first, n]<class T>(Params<T>& p) -> Function<T> {
              auto block =
                  std::make_shared<TransformerDecoder<T>>(p.scope() / "b", options<T>(first, n));
              return [block](const Vars<T>& x) {
                typename TransformerDecoder<T>::CallOptions call;
                if (x[1].rank() == 3) call.encoder_padding_mask = padding(x[1].shape());
                return (*block)(x[0], x[1], call);
              };
            },
            [first](const Arrays& x, const Values& v) {
              const std::size_t b = x[0].shape()[0], t = x[0].shape()[1];
              const Array<double> keys =
                  numbers(padding(x[1].shape()), Shape{b, 1, 1, x[1].shape()[1]});
              Array<double> y =
                  naive_part(first, x[0], v, "b/self_attention_norm", [&](const Array<double>& q) {
                    return naive_attention(q, q, q, v, causal(t, t), 0, "b/self_attention");
                  });
              y = naive_part(first, y, v, "b/cross_attention_norm", [&](const Array<double>& q) {
                return naive_attention(q, x[1], x[1], v, keys, 0, "b/cross_attention");
              });
              return naive_part(first, y, v, "b/feed_forward_norm", [&](const Array<double>& h) {
                return naive_feed_forward(h, v, "b/feed_forward");
              });
            })
        .refusing(refused_by_block);
  }
}

}  // namespace

std::vector<Row> block_rows() {
  Table rows;
  small_rows(rows);
  encoder_rows(rows);
  decoder_rows(rows);
  return rows;
}

}  // namespace xtape::test
