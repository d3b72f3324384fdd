// Cross-entropy from logits, and the losses.

#include "support/twins.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::test {
namespace {

Shape but_last(const Shape& s) { return s.size() == 0 ? Shape{} : Shape(s.begin(), s.end() - 1); }

Array<std::int64_t> labels_for(const Shape& logits) {
  Array<std::int64_t> labels(but_last(logits));
  const auto n = static_cast<std::int64_t>(logits.size() == 0 ? 1 : logits.back());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels.data()[i] = n == 0 ? 0 : static_cast<std::int64_t>(2 * i + 1) % n;
  }
  return labels;
}
/// -log(softmax(logits)[label]), or of given probabilities; 0 for rows of `ignored`.
Array<double> naive_cross_entropy(const Array<double>& p, const Array<std::int64_t>& labels,
                                  std::optional<std::int64_t> ignored, double smoothing = 0) {
  const std::size_t classes = p.shape().back();
  std::size_t k = 0;
  return generate(labels.shape(), [&](Index i) {
    const std::int64_t label = labels.data()[k++];
    if (ignored && label == *ignored) return 0.0;
    i.push_back(static_cast<std::size_t>(label));
    double loss = -(1 - smoothing) * std::log(at(p, i));
    for (i.back() = 0; i.back() < classes; ++i.back()) {
      loss -= smoothing / static_cast<double>(classes) * std::log(at(p, i));
    }
    return loss;
  });
}
double kept(const Array<std::int64_t>& labels, std::int64_t ignored) {
  return static_cast<double>(labels.size()) -
         static_cast<double>(std::count(labels.data(), labels.data() + labels.size(), ignored));
}
Array<double> scalar_sum(const Array<double>& losses, double count) {
  double sum = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) sum += losses.data()[i];
  return Array<double>(sum / (count == 0 ? 1 : count));
}
Array<bool> sample_mask(const Shape& samples) {
  Array<bool> m(samples);
  for (std::size_t i = 0; i < m.size(); ++i) m.data()[i] = i % 3 != 1;
  return m;
}
double count_of(const Array<bool>& m) {
  return static_cast<double>(std::count(m.data(), m.data() + m.size(), true));
}

void cross_entropy_rows(Table& rows) {
  const auto refuses = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("sparse_softmax_cross_entropy: no class axis");
    if (s[0].back() == 0)
      return Rejection{Rejection::Kind::value, "sparse_softmax_cross_entropy: label out of range"};
    return std::nullopt;
  };
  rows.op("sparse_softmax_cross_entropy", one(),
          OP(sparse_softmax_cross_entropy(x[0], labels_for(x[0].shape()))),
          TWIN(naive_cross_entropy(soft(x[0], {-1}), labels_for(x[0].shape()), {})))
      .refusing(refuses);
  rows.op("sparse_softmax_cross_entropy, ignore_class", both(one(), matrices()),
          OP(sparse_softmax_cross_entropy(x[0], labels_for(x[0].shape()), 1)),
          TWIN(naive_cross_entropy(soft(x[0], {-1}), labels_for(x[0].shape()), 1)))
      .refusing(refuses);
  rows.op("sparse_softmax_cross_entropy, label_smoothing", both(one(), matrices()),
          OP(sparse_softmax_cross_entropy(x[0], labels_for(x[0].shape()), 1, 0.3)),
          TWIN(naive_cross_entropy(soft(x[0], {-1}), labels_for(x[0].shape()), 1, 0.3)))
      .refusing(refuses);
  const auto refuses_loss = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("sparse_categorical_crossentropy: shapes differ");
    if (s[0].back() == 0) return Rejection{Rejection::Kind::value, "out of range"};
    return std::nullopt;
  };
  for (const bool logits : {true, false}) {
    const std::string name =
        std::string("sparse_categorical_crossentropy") + (logits ? " of logits" : "");
    const auto probabilities = [logits](const Array<double>& x) {
      if (logits) return soft(x, {-1});
      const Array<double> sum = reduced(x, {-1}, true, total);
      return mapped(zipped(x, sum, [](double u, double v) { return u / v; }),
                    [](double p) { return std::min(std::max(p, 1e-7), 1 - 1e-7); });
    };
    // Not of a single class: its probability is 1 whatever x holds, which is a kink of the limits.
    const std::vector<Shapes> cases = both(
        singles("() 0 3 2x3 2x0x3 2x3x4 2x1x3 5 1x4 3x2x2 11 4x3"), singles("3x3 3x2 2x4 2x2x3"));
    const std::vector<Domain> domain = {logits ? Domain{} : Domain{0.2, 1.0}};
    rows.op(name, cases,
            OP(sparse_categorical_crossentropy(x[0], labels_for(x[0].shape()),
                                               {.from_logits = logits})),
            plain([probabilities](const Arrays& x) {
              const auto labels = labels_for(x[0].shape());
              return scalar_sum(naive_cross_entropy(probabilities(x[0]), labels, {}),
                                static_cast<double>(labels.size()));
            }))
        .on(domain)
        .refusing(refuses_loss);
    rows.op(name + ", ignore_class", cases,
            OP(sparse_categorical_crossentropy(x[0], labels_for(x[0].shape()),
                                               {.from_logits = logits, .ignore_class = 1})),
            plain([probabilities](const Arrays& x) {
              const auto labels = labels_for(x[0].shape());
              return scalar_sum(naive_cross_entropy(probabilities(x[0]), labels, 1),
                                kept(labels, 1));
            }))
        .on(domain)
        .refusing(refuses_loss);
    rows.op(name + ", mask, no reduction", cases,
            OP(sparse_categorical_crossentropy(x[0], labels_for(x[0].shape()),
                                               {.from_logits = logits,
                                                .mask = sample_mask(but_last(x[0].shape())),
                                                .reduction = Reduction::none})),
            plain([probabilities](const Arrays& x) {
              const Array<double> m = numbers(sample_mask(but_last(x[0].shape())));
              return zipped(naive_cross_entropy(probabilities(x[0]), labels_for(x[0].shape()), {}),
                            m, [](double u, double v) { return u * v; });
            }))
        .on(domain)
        .refusing(refuses_loss);
    rows.op(std::string("categorical_crossentropy") + (logits ? " of logits" : "") + ", sum",
            derived(cases,
                    [](const Shape& s) {
                      return Shapes{s, s};
                    }),
            OP(categorical_crossentropy(x[0], x[1],
                                        {.from_logits = logits, .reduction = Reduction::sum})),
            plain([probabilities](const Arrays& x) {
              const Array<double> p = probabilities(x[0]);
              return scalar_sum(
                  zipped(p, x[1], [](double u, double v) { return v == 0 ? 0 : -v * std::log(u); }),
                  1);
            }))
        .on({domain[0], {0.1, 1.0}})
        .refusing(shape_error_when([](const Shape& s) { return s.size() == 0; },
                                   "categorical_crossentropy: no last axis"));
  }
}

void mean_squared_rows(Table& rows) {
  const auto pairs = derived(one(), [](const Shape& s) { return Shapes{s, s}; });
  const auto losses = [](const Arrays& x) {
    const Array<double> d =
        zipped(x[0], x[1], [](double u, double v) { return (u - v) * (u - v); });
    return reduced(d, {-1}, false, [](const std::vector<double>& v) {
      return total(v) / static_cast<double>(v.size());
    });
  };
  const auto refuses = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("mean_squared_error: no last axis");
    if (s[0].back() == 0) return refused("mean_squared_error: ");
    return std::nullopt;
  };
  rows.op("mean_squared_error", pairs, OP(mean_squared_error(x[0], x[1])),
          plain([losses](const Arrays& x) {
            const Array<double> l = losses(x);
            return scalar_sum(l, static_cast<double>(l.size()));
          }))
      .refusing(refuses);
  rows.op("mean_squared_error, mask", pairs,
          OP(mean_squared_error(x[0], x[1], {.mask = sample_mask(but_last(x[0].shape()))})),
          plain([losses](const Arrays& x) {
            const Array<double> l = losses(x);
            const Array<bool> m = sample_mask(l.shape());
            return scalar_sum(zipped(l, numbers(m), [](double u, double v) { return u * v; }),
                              count_of(m));
          }))
      .refusing(refuses);
  rows.op("mean_squared_error, no reduction", pairs,
          OP(mean_squared_error(x[0], x[1], {.reduction = Reduction::none})), plain(losses))
      .refusing(refuses);
}

}  // namespace

std::vector<Row> loss_rows() {
  Table rows;
  cross_entropy_rows(rows);
  mean_squared_rows(rows);
  return rows;
}

}  // namespace xtape::test
