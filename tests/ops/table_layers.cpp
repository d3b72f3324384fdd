// Layers, with their parameters. The twins use einsum and softmax by their definitions.

#include "support/naive_layers.hpp"

namespace xtape::test {
namespace {

void dense_rows(Table& rows) {
  // Inputs without a single feature leave a kernel without elements; they are refused nowhere.
  rows.layer(
          "Dense", one(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto dense = std::make_shared<Dense<T>>(p.scope() / "dense",
                                                    typename Dense<T>::Options{.units = 3});
            return [dense](const Vars<T>& x) { return (*dense)(x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            return naive_dense(x[0], v.at("dense/kernel"), &v.at("dense/bias"), 1);
          })
      .refusing(below_rank(1, "dense: too few axes"));
  rows.layer(
          "Dense, no bias, tanh", one(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto dense = std::make_shared<Dense<T>>(
                p.scope() / "dense",
                typename Dense<T>::Options{.units = 2, .activation = "tanh", .use_bias = false});
            return [dense](const Vars<T>& x) { return (*dense)(x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            return mapped(naive_dense(x[0], v.at("dense/kernel"), nullptr, 1),
                          [](double u) { return std::tanh(u); });
          })
      .refusing(below_rank(1, "dense: too few axes"));
  rows.layer(
          "Dense, two axes to two", both(one(), matrices()),
          []<class T>(Params<T>& p) -> Function<T> {
            auto dense = std::make_shared<Dense<T>>(
                p.scope() / "dense", typename Dense<T>::Options{.units = {2, 2}, .axes = 2});
            return [dense](const Vars<T>& x) { return (*dense)(x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            return naive_dense(x[0], v.at("dense/kernel"), &v.at("dense/bias"), 2);
          })
      .refusing(below_rank(2, "dense: too few axes"));
}

void small_rows(Table& rows) {
  rows.layer(
          "Softmax", both(one(), matrices()),
          []<class T>(Params<T>&) -> Function<T> {
            auto softmax = std::make_shared<Softmax<T>>(typename Softmax<T>::Options{.axes = {0}});
            return [softmax](const Vars<T>& x) { return (*softmax)(x[0]); };
          },
          [](const Arrays& x, const Values&) { return soft(x[0], {0}); })
      .refusing(below_rank(1, "softmax: axis out of range"));
  rows.layer(
          "LayerNormalization", both(one(), matrices()),
          []<class T>(Params<T>& p) -> Function<T> {
            auto norm = std::make_shared<LayerNormalization<T>>(
                p.scope() / "norm", typename LayerNormalization<T>::Options{.epsilon = 0.1});
            return [norm](const Vars<T>& x) { return (*norm)(x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            const Array<double> centred = zipped(x[0], reduced(x[0], {-1}, true, mean_of),
                                                 [](double a, double b) { return a - b; });
            const Array<double> variance =
                reduced(mapped(centred, [](double a) { return a * a; }), {-1}, true, mean_of);
            const Array<double> hat = zipped(
                centred, variance, [](double a, double b) { return a / std::sqrt(b + 0.1); });
            return plus(zipped(hat, v.at("norm/gamma"), [](double a, double b) { return a * b; }),
                        v.at("norm/beta"));
          })
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("norm: axis out of range");
        if (s[0] == Shape{0}) return refused("nothing to normalize");
        return std::nullopt;
      });
  // The operand gives the tape and the shape of the ids, and scales the vectors.
  rows.layer(
      "Embedding", one(),
      []<class T>(Params<T>& p) -> Function<T> {
        auto embedding = std::make_shared<Embedding<T>>(
            p.scope() / "embedding",
            typename Embedding<T>::Options{.input_dim = 4, .output_dim = 2});
        return [embedding](const Vars<T>& x) {
          Array<std::int64_t> ids(x[0].shape());
          for (std::size_t i = 0; i < ids.size(); ++i)
            ids.data()[i] = static_cast<std::int64_t>(i * 3 % 4);
          const Var<T> context = x[0].detach();
          return (*embedding)(Tokens<T>(ids, context.node_ref())) * expand_dims(x[0], -1);
        };
      },
      [](const Arrays& x, const Values& v) {
        Index shape = extents_of(x[0].shape());
        shape.push_back(2);
        std::size_t k = 0;
        return generate(shape_of(shape), [&](const Index& i) {
          const std::size_t position = k++ / 2;
          return at(v.at("embedding/embeddings"), {position * 3 % 4, i.back()}) *
                 x[0].data()[position];
        });
      });
  rows.layer(
      "Dropout", one(),
      []<class T>(Params<T>&) -> Function<T> {
        auto drop =
            std::make_shared<Dropout<T>>(typename Dropout<T>::Options{.rate = 0.4, .seed = 3});
        return [drop](const Vars<T>& x) { return (*drop)(x[0], true); };
      },
      [](const Arrays& x, const Values&) {
        std::size_t k = 0;
        return mapped(x[0], [&](double v) {
          const std::size_t i = k++;
          const auto words = philox({static_cast<std::uint32_t>(i / 4), 0, 0, 0}, {3, 0});
          return static_cast<double>(words[i % 4] >> 8U) < 0.4 * 16777216.0 ? 0.0 : v / (1 - 0.4);
        });
      });
}

template <class T> using MhaCall = typename MultiHeadAttention<T>::CallOptions;

template <class T>
std::shared_ptr<MultiHeadAttention<T>> attention(Params<T>& p,
                                                 typename MultiHeadAttention<T>::Options options) {
  return std::make_shared<MultiHeadAttention<T>>(p.scope() / "mha", std::move(options));
}

std::optional<Rejection> refused_by_attention(const Shapes& s) {
  if (s[0].size() < 3) return refused("mha: too few axes");
  if (s.size() > 1 && s[1].size() != s[0].size()) return refused("mha: ranks differ");
  if (s.size() > 1 && s[1][0] != s[0][0]) return refused("mha: value does not fit");
  return std::nullopt;
}

/// (batch, positions, features) of one operand, beside the general classes.
std::vector<Shapes> sequences() {
  return both(
      singles("() 1 0 3 2x3"),
      singles("2x0x3 2x3x4 2x1x3 1x1x1 1x3x2 3x2x2 0x2x2 1x4x1 2x2x1 1x2x3 4x1x2 1x5x2 2x2x2"));
}

void attention_rows(Table& rows) {
  rows.layer(
          "MultiHeadAttention", sequences(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha = attention<T>(p, {.num_heads = 2, .key_dim = 2});
            return [mha](const Vars<T>& x) { return (*mha)(x[0], x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            return naive_attention(x[0], x[0], x[0], v, Array<double>(1.0));
          })
      .refusing(refused_by_attention);
  rows.layer(
          "MultiHeadAttention, causal", sequences(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha = attention<T>(p, {.num_heads = 2, .key_dim = 1, .value_dim = 2});
            return [mha](const Vars<T>& x) {
              return (*mha)(x[0], x[0], MhaCall<T>{.use_causal_mask = true});
            };
          },
          [](const Arrays& x, const Values& v) {
            const std::size_t n = x[0].shape()[1];
            return naive_attention(x[0], x[0], x[0], v, causal(n, n));
          })
      .refusing(refused_by_attention);
  // Keys that are padding, whole batches among them: those rows attend to nothing.
  rows.layer(
          "MultiHeadAttention, value_mask", sequences(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha = attention<T>(p, {.num_heads = 1, .key_dim = 2});
            return [mha](const Vars<T>& x) {
              MhaCall<T> call;
              if (x[0].rank() == 3) call.value_mask = padding(x[0].shape());
              return (*mha)(x[0], x[0], call);
            };
          },
          [](const Arrays& x, const Values& v) {
            const std::size_t b = x[0].shape()[0], n = x[0].shape()[1];
            return naive_attention(x[0], x[0], x[0], v,
                                   numbers(padding(x[0].shape()), Shape{b, 1, 1, n}));
          })
      .refusing(refused_by_attention);
  // All masks at once, and dropout of the probabilities.
  const auto triangle_and_ends = [](std::size_t n) {
    return generate(Shape{n, n}, [n](const Index& i) {
      return i[1] <= i[0] + 1 && (i[0] != 1 || i[1] + 1 != n) ? 1.0 : 0.0;
    });
  };
  rows.layer(
          "MultiHeadAttention, attention_mask, query_mask, key_mask, dropout", sequences(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha = attention<T>(p, {.num_heads = 2, .key_dim = 2, .dropout = 0.3, .seed = 4});
            return [mha](const Vars<T>& x) {
              MhaCall<T> call;
              call.training = true;
              if (x[0].rank() == 3) {
                const std::size_t n = x[0].shape()[1];
                Array<bool> pairs(Shape(std::size_t{2}, n));
                for (std::size_t i = 0; i < n; ++i) {
                  for (std::size_t j = 0; j < n; ++j) {
                    pairs.data()[i * n + j] = j <= i + 1 && (i != 1 || j + 1 != n);
                  }
                }
                call.attention_mask = pairs;
                call.query_mask = padding(x[0].shape());
                call.key_mask = padding(x[0].shape());
              }
              return (*mha)(x[0], x[0], call);
            };
          },
          [triangle_and_ends](const Arrays& x, const Values& v) {
            const std::size_t b = x[0].shape()[0], n = x[0].shape()[1];
            const auto times = [](double u, double w) { return u * w; };
            const Array<double> pad = numbers(padding(x[0].shape()), Shape{b, n});
            Array<double> queries = pad;
            queries.reshape(Shape{b, 1, n, 1});
            Array<double> keys = pad;
            keys.reshape(Shape{b, 1, 1, n});
            const Array<double> mask =
                zipped(zipped(queries, keys, times), triangle_and_ends(n), times);
            return naive_attention(x[0], x[0], x[0], v, mask, 0.3);
          })
      .refusing(refused_by_attention);
  const auto cross = [](const Shape& s) {
    if (s.size() != 3) return Shapes{s, s, s};
    return Shapes{s, Shape{s[0], 3, 2}, Shape{s[0], 3, 1}};
  };
  rows.layer(
          "MultiHeadAttention, cross, with key", derived(sequences(), cross),
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha =
                attention<T>(p, {.num_heads = 1, .key_dim = 2, .value_dim = 1, .output_shape = 2});
            return [mha](const Vars<T>& x) { return (*mha)(x[0], x[1], MhaCall<T>{.key = x[2]}); };
          },
          [](const Arrays& x, const Values& v) {
            return naive_attention(x[0], x[2], x[1], v, Array<double>(1.0));
          })
      .refusing(refused_by_attention)
      .never_the_same_operand();
  rows.layer(
          "MultiHeadAttention, scores", sequences(),
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha = attention<T>(p, {.num_heads = 2, .key_dim = 2});
            return [mha](const Vars<T>& x) { return mha->with_scores(x[0], x[0]).scores; };
          },
          [](const Arrays& x, const Values& v) {
            const auto project = [&](const char* name) {
              return plus(
                  einstein("btd,dhk->bthk", x[0], v.at(std::string("mha/") + name + "/kernel")),
                  v.at(std::string("mha/") + name + "/bias"));
            };
            return soft(mapped(einstein("bthk,bshk->bhts", project("query"), project("key")),
                               [](double s) { return s / std::sqrt(2.0); }),
                        {-1});
          })
      .refusing(refused_by_attention);
  // Attention over axes 2 and 3 of five, axis 1 being free.
  const std::vector<Shapes> planes = singles(
      "2x3x4 1x1x1x1x1 1x1x2x2x1 1x2x2x1x1 1x2x1x2x2 2x1x2x2x1 1x1x3x2x1 1x1x2x3x2 2x2x2x2x1 "
      "1x3x1x1x2 0x1x2x2x1 1x2x0x2x1 1x1x1x4x1 2x1x1x2x1");
  rows.layer(
          "MultiHeadAttention over axes 2 and 3", planes,
          []<class T>(Params<T>& p) -> Function<T> {
            auto mha = attention<T>(p, {.num_heads = 2, .key_dim = 1, .attention_axes = {2, 3}});
            return [mha](const Vars<T>& x) { return (*mha)(x[0], x[0]); };
          },
          [](const Arrays& x, const Values& v) {
            const auto project = [&](const char* name) {
              return plus(
                  einstein("bfxyd,dhk->bfxyhk", x[0], v.at(std::string("mha/") + name + "/kernel")),
                  v.at(std::string("mha/") + name + "/bias"));
            };
            const Array<double> weights = soft(
                einstein("bfxyhk,bfzwhk->bfhxyzw", project("query"), project("key")), {-1, -2});
            const Array<double> heads =
                einstein("bfhxyzw,bfzwhk->bfxyhk", weights, project("value"));
            return naive_dense(heads, v.at("mha/attention_output/kernel"),
                               &v.at("mha/attention_output/bias"), 2);
          })
      .refusing(
          shape_error_when([](const Shape& s) { return s.size() != 5; }, "mha: attention_axes"));
}

}  // namespace

std::vector<Row> layer_rows() {
  Table rows;
  dense_rows(rows);
  small_rows(rows);
  attention_rows(rows);
  return rows;
}

}  // namespace xtape::test
