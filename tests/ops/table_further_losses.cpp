// The losses beyond the cross-entropies of labels and the squared error. Domains keep differences
// away from kinks, which most of these have where prediction and target meet.

#include "support/twins.hpp"

#include <cmath>

namespace xtape::test {
namespace {

const std::vector<Shapes>& pairs() {
  static const auto all = derived(one(), [](const Shape& s) { return Shapes{s, s}; });
  return all;
}

/// Without last axes of 1: a probability of 1 is beyond the limits, and the cosine of two numbers has
/// no gradient but rounding.
const std::vector<Shapes>& long_pairs() {
  static const auto all = derived(
      singles("() 0 3 2x3 2x0x3 2x3x4 2x1x3 5 1x4 3x2x2 2x2x1x2 11 4x3 3x3"), [](const Shape& s) {
        return Shapes{s, s};
      });
  return all;
}

double mean_of_all(const Array<double>& a) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i];
  return a.size() == 0 ? 0 : sum / static_cast<double>(a.size());
}

Rejects refuses(const std::string& op, bool averages) {
  return [op, averages](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused(op + ": no last axis");
    if (averages && s[0].back() == 0) return refused(op + ": nothing to average");
    return std::nullopt;
  };
}

/// A loss that is the mean, over all, of a function of prediction and target.
template <class F, class E>
Row& mean_row(Table& rows, const std::string& name, const std::string& note, F f, E element) {
  const Twin twin = TWIN(
      Array<double>(mean_of_all(reduced(zipped(x[0], x[1], element), {-1}, false,
                                        [](const std::vector<double>& v) { return mean_of(v); }))));
  return rows.op(name + note, pairs(), f, twin).refusing(refuses(name, true));
}

const std::vector<Domain> above{{0.2, 1.5}, {-1.5, 0.0}};
const std::vector<Domain> shares{{0.1, 0.9}};

double cross(double p, double t) { return -t * std::log(p) - (1 - t) * std::log(1 - p); }

void regression_rows(Table& rows) {
  mean_row(rows, "mean_absolute_error", "", OP(mean_absolute_error(x[0], x[1])),
           [](double p, double t) { return std::abs(p - t); })
      .on(above)
      .never_the_same_operand();
  mean_row(rows, "mean_absolute_percentage_error", "",
           OP(mean_absolute_percentage_error(x[0], x[1])),
           [](double p, double t) { return 100 * std::abs((t - p) / t); })
      .on({{-1.5, 0.0}, {0.5, 1.5}})
      .never_the_same_operand();
  mean_row(rows, "mean_squared_logarithmic_error", "",
           OP(mean_squared_logarithmic_error(x[0], x[1])),
           [](double p, double t) { return std::pow(std::log(1 + p) - std::log(1 + t), 2); })
      .on({{0.1, 1.5}});
  mean_row(rows, "huber", ", near", OP(huber(x[0], x[1])), [](double p, double t) {
    return (p - t) * (p - t) / 2;
  }).on({{0.2, 0.6}, {-0.3, 0.0}});
  mean_row(rows, "huber", ", far", OP(huber(x[0], x[1], 0.1)),
           [](double p, double t) { return 0.1 * std::abs(p - t) - 0.005; })
      .on(above)
      .never_the_same_operand();
  mean_row(rows, "log_cosh", "", OP(log_cosh(x[0], x[1])),
           [](double p, double t) { return std::log(std::cosh(p - t)); });
  mean_row(rows, "hinge", "", OP(hinge(x[0], x[1])), [](double p, double t) { return 1 - t * p; })
      .on({{-0.6, 0.6}, {-1.5, 1.5}})
      .never_the_same_operand();
  mean_row(rows, "squared_hinge", "", OP(squared_hinge(x[0], x[1])),
           [](double p, double t) { return (1 - t * p) * (1 - t * p); })
      .on({{-0.6, 0.6}, {-1.5, 1.5}})
      .never_the_same_operand();
  mean_row(rows, "poisson", "", OP(poisson(x[0], x[1])), [](double p, double t) {
    return p - t * std::log(p + 1e-7);
  }).on({{0.2, 1.5}});
  // By weights of the batch, and without those a mask leaves out.
  const auto weights = [](const Shape& s) {
    return generate(Shape{s[0]}, [](const Index& i) { return 0.5 + static_cast<double>(i[0]); });
  };
  const auto mask = [](const Shape& s) {
    Array<bool> m(Shape(s.begin(), s.end() - 1));
    for (std::size_t i = 0; i < m.size(); ++i) m.data()[i] = i % 3 != 1;
    return m;
  };
  std::vector<Shapes> cases =
      singles("2x3 2x0x3 2x3x4 2x1x3 1x4 3x2x2 4x3 2x2x1x2 1x1 3x1 5x2 3x3x1");
  cases = derived(cases, [](const Shape& s) { return Shapes{s, s}; });
  rows.op("mean_absolute_error, mask and weights", cases,
          OP(mean_absolute_error(x[0], x[1],
                                 {.mask = mask(x[0].shape()),
                                  .sample_weight = weights(x[0].shape()),
                                  .reduction = Reduction::mean_with_sample_weight})),
          plain([=](const Arrays& x) {
            const Array<double> each =
                reduced(zipped(x[0], x[1], [](double p, double t) { return std::abs(p - t); }),
                        {-1}, false, [](const auto& v) { return mean_of(v); });
            const Array<double> w = weights(x[0].shape());
            const Array<bool> m = mask(x[0].shape());
            double above_line = 0, below = 0;
            std::size_t k = 0;
            each_index(each.shape(), [&](const Index& i) {
              const double factor = m.data()[k++] ? w(i[0]) : 0;
              above_line += factor * at(each, i);
              below += factor;
            });
            return Array<double>(below == 0 ? 0.0 : above_line / below);
          }))
      .on(above)
      .never_the_same_operand();
}

void vector_rows(Table& rows) {
  rows.op("categorical_hinge", pairs(), OP(categorical_hinge(x[0], x[1])),
          plain([](const Arrays& x) {
            const Array<double> right = reduced(
                zipped(x[0], x[1], [](double p, double t) { return t * p; }), {-1}, false, total);
            const Array<double> wrong =
                reduced(zipped(x[0], x[1], [](double p, double t) { return (1 - t) * p; }), {-1},
                        false, [](const auto& v) { return *std::max_element(v.begin(), v.end()); });
            return Array<double>(
                mean_of_all(zipped(wrong, right, [](double w, double r) { return w - r + 1; })));
          }))
      .on({{-0.15, 0.15, {}, true}, {0.1, 0.4, {}, true}})
      .never_the_same_operand()
      .refusing(refuses("categorical_hinge", true));
  rows.op("kl_divergence", pairs(), OP(kl_divergence(x[0], x[1])), plain([](const Arrays& x) {
            return Array<double>(mean_of_all(
                reduced(zipped(x[0], x[1], [](double p, double t) { return t * std::log(t / p); }),
                        {-1}, false, total)));
          }))
      .on(shares)
      .refusing(refuses("kl_divergence", false));
  rows.op("cosine_similarity, sum", long_pairs(),
          OP(cosine_similarity(x[0], x[1], {.reduction = Reduction::sum})),
          plain([](const Arrays& x) {
            const auto length = [](const Array<double>& a) {
              return reduced(mapped(a, [](double v) { return v * v; }), {-1}, false,
                             [](const auto& v) { return std::sqrt(total(v)); });
            };
            const Array<double> inner = reduced(
                zipped(x[0], x[1], [](double p, double t) { return p * t; }), {-1}, false, total);
            const Array<double> lengths =
                zipped(length(x[0]), length(x[1]), [](double a, double b) { return a * b; });
            double sum = 0;
            for (std::size_t i = 0; i < inner.size(); ++i) {
              if (lengths.data()[i] > 0) sum -= inner.data()[i] / lengths.data()[i];
            }
            return Array<double>(sum);
          }))
      .on({{0.2, 1.5}, {-1.5, -0.1}})
      .refusing(refuses("cosine_similarity", false));
  for (const bool all : {true, false}) {
    const Axes axes = all ? Axes{} : Axes{-1};
    const auto sums = [all](const Array<double>& a) {
      return reduced(a, all ? every_axis(a) : Axes{-1}, false, total);
    };
    const std::string note = all ? "" : ", last axis";
    rows.op("dice" + note, pairs(), OP(dice(x[0], x[1], axes)), plain([sums](const Arrays& x) {
              const Array<double> same =
                  sums(zipped(x[0], x[1], [](double p, double t) { return p * t; }));
              const Array<double> both_sums =
                  sums(zipped(x[0], x[1], [](double p, double t) { return p + t; }));
              return Array<double>(mean_of_all(zipped(
                  same, both_sums, [](double s, double b) { return 1 - 2 * s / (b + 1e-7); })));
            }))
        .on(shares)
        .refusing(refuses("dice", false));
    rows.op("tversky" + note, pairs(), OP(tversky(x[0], x[1], 0.3, 0.9, axes)),
            plain([sums](const Arrays& x) {
              const Array<double> same =
                  sums(zipped(x[0], x[1], [](double p, double t) { return p * t; }));
              const Array<double> other = sums(zipped(x[0], x[1], [](double p, double t) {
                return 0.3 * (1 - p) * t + 0.9 * p * (1 - t);
              }));
              return Array<double>(mean_of_all(
                  zipped(same, other, [](double s, double o) { return 1 - s / (s + o + 1e-7); })));
            }))
        .on(shares)
        .refusing(refuses("tversky", false));
  }
}

void probability_rows(Table& rows) {
  for (const bool logits : {true, false}) {
    const std::string note = logits ? " of logits" : "";
    const std::vector<Domain> domain{logits ? Domain{} : Domain{0.1, 0.9}, {0.1, 0.9}};
    const auto probability = [logits](double x) { return logits ? logistic(x) : x; };
    mean_row(rows, "binary_crossentropy", note,
             OP(binary_crossentropy(x[0], x[1], {.from_logits = logits})),
             [probability](double x, double t) { return cross(probability(x), t); })
        .on(domain);
    mean_row(rows, "binary_focal_crossentropy", note + ", balanced and smoothed",
             OP(binary_focal_crossentropy(x[0], x[1], {.gamma = 1.5, .balance = true},
                                          {.from_logits = logits, .label_smoothing = 0.1})),
             [probability](double x, double target) {
               const double p = probability(x), t = target * 0.9 + 0.05;
               const double doubt = 1 - (t * p + (1 - t) * (1 - p));
               return (t * 0.25 + (1 - t) * 0.75) * std::pow(doubt, 1.5) * cross(p, t);
             })
        .on(domain)
        .never_the_same_operand();  // logits are no targets
    const auto shares_of = [logits](const Array<double>& x) {
      if (logits) return soft(x, {-1});
      const Array<double> sum = reduced(x, {-1}, true, total);
      return zipped(x, sum, [](double u, double v) { return u / v; });
    };
    const std::vector<Shapes>& cases = long_pairs();
    rows.op("categorical_focal_crossentropy" + note, cases,
            OP(categorical_focal_crossentropy(x[0], x[1], {}, {.from_logits = logits})),
            plain([shares_of](const Arrays& x) {
              const Array<double> p = shares_of(x[0]);
              return Array<double>(mean_of_all(reduced(zipped(p, x[1],
                                                              [](double u, double t) {
                                                                return -0.25 * (1 - u) * (1 - u) *
                                                                       t * std::log(u);
                                                              }),
                                                       {-1}, false, total)));
            }))
        .on(domain)
        .refusing(refuses("categorical_focal_crossentropy", false));
    std::vector<Shapes> single;
    for (const Shapes& s : cases) single.push_back({s[0]});
    const auto labels_for = [](const Shape& s) {
      Array<std::int64_t> labels(Shape(s.begin(), s.end() - (s.size() > 0 ? 1 : 0)));
      for (std::size_t i = 0; i < labels.size(); ++i) {
        labels.data()[i] = s.back() == 0 ? 0 : static_cast<std::int64_t>((2 * i + 1) % s.back());
      }
      return labels;
    };
    rows.op("sparse_categorical_crossentropy" + note + ", smoothed", single,
            OP(sparse_categorical_crossentropy(
                x[0], labels_for(x[0].shape()),
                {.from_logits = logits, .ignore_class = 0, .label_smoothing = 0.2})),
            plain([=](const Arrays& x) {
              const Array<double> p = shares_of(x[0]);
              const Array<std::int64_t> labels = labels_for(x[0].shape());
              const auto classes = x[0].shape().back();
              double sum = 0, count = 0;
              std::size_t k = 0;
              each_index(labels.shape(), [&](Index i) {
                const auto label = static_cast<std::size_t>(labels.data()[k++]);
                if (label == 0) return;
                ++count;
                i.push_back(0);
                for (std::size_t c = 0; c < classes; ++c) {
                  i.back() = c;
                  const double target = (c == label ? 0.8 : 0) + 0.2 / static_cast<double>(classes);
                  sum -= target * std::log(at(p, i));
                }
              });
              return Array<double>(count == 0 ? 0.0 : sum / count);
            }))
        .on({domain[0]})
        .refusing([](const Shapes& s) -> std::optional<Rejection> {
          if (s[0].size() == 0) {
            return refused("sparse_categorical_crossentropy: shapes differ");
          }
          if (s[0].back() == 0) return Rejection{Rejection::Kind::value, "label out of range"};
          return std::nullopt;
        });
  }
}

// Every path, its probability, and what it spells: only for few frames.
double spelled(const Array<double>& p, std::size_t b, const std::vector<std::size_t>& word) {
  const std::size_t time = p.shape()[1], classes = p.shape()[2];
  double sum = 0;
  each_index(shape_of(Index(time, classes)), [&](const Index& path) {
    double probability = 1;
    std::vector<std::size_t> said;
    for (std::size_t t = 0; t < time; ++t) {
      probability *= p(b, t, path[t]);
      if (path[t] != 0 && (t == 0 || path[t] != path[t - 1])) said.push_back(path[t]);
    }
    if (said == word) sum += probability;
  });
  return sum;
}

void ctc_rows(Table& rows) {
  const std::vector<Shapes> cases =
      singles("1x2x3 2x2x3 1x3x3 2x3x4 1x4x3 3x2x4 2x4x3 0x2x3 1x5x3 2x5x3 3x3x3 1x2x5 2x3 ()");
  const auto labels_for = [](const Shape& s) {
    // The first sample has two labels, the others one.
    Array<std::int64_t> labels(Shape{s.size() == 0 ? 1 : s[0], 2}, 0);
    for (std::size_t b = 0; b < labels.shape()[0]; ++b) {
      labels(b, 0) = 1 + static_cast<std::int64_t>(b % 2);
      if (b == 0) labels(b, 1) = 2;
    }
    return labels;
  };
  rows.op("ctc", cases, OP(ctc(x[0], labels_for(x[0].shape()))), plain([=](const Arrays& x) {
            const Array<double> p = soft(x[0], {-1});
            const Array<std::int64_t> labels = labels_for(p.shape());
            double sum = 0;
            for (std::size_t b = 0; b < p.shape()[0]; ++b) {
              std::vector<std::size_t> word{static_cast<std::size_t>(labels(b, 0))};
              if (b == 0) word.push_back(2);
              sum -= std::log(spelled(p, b, word));
            }
            const auto batch = static_cast<double>(p.shape()[0]);
            return Array<double>(batch == 0 ? 0.0 : sum / batch);
          }))
      .refusing(
          shape_error_when([](const Shape& s) { return s.size() != 3; }, "ctc: shapes differ"));
}

}  // namespace

std::vector<Row> further_loss_rows() {
  Table rows;
  regression_rows(rows);
  vector_rows(rows);
  probability_rows(rows);
  ctc_rows(rows);
  return rows;
}

}  // namespace xtape::test
