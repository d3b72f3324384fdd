// Softmax, layer normalization and dropout.

#include "support/twins.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::test {
namespace {

/// A mask of the shape of x, or of its last axes, with whole rows masked.
Array<bool> mask_for(const Shape& shape, bool fewer_axes) {
  const Shape s = fewer_axes && shape.size() > 1 ? Shape(shape.begin() + 1, shape.end()) : shape;
  Array<bool> m(s);
  const std::size_t n = s.size() == 0 ? 1 : s.back();
  for (std::size_t i = 0; i < m.size(); ++i) {
    const bool whole_row = n > 0 && i / n % 3 == 1;
    m.data()[i] = !whole_row && i % 4 != 2;
  }
  return m;
}

void softmax_rows(Table& rows) {
  const std::vector<Shapes> cases = both(one(), matrices());
  struct Variant {
    const char* name;
    Axes axes;
    std::size_t rank;
  };
  for (const Variant& v :
       {Variant{"softmax", {-1}, 1}, Variant{"softmax, axis 0", {0}, 1},
        Variant{"softmax, axes -2 and -1", {-1, -2}, 2}, Variant{"softmax, axis -2", {-2}, 2},
        Variant{"softmax, axes 0 and -1", {0, -1}, 2}}) {
    const auto repeated = [v](const Shapes& s) -> std::optional<Rejection> {
      if (s[0].size() == 1 && v.axes == Axes{0, -1}) return refused("softmax: axis repeated");
      if (s[0].size() < v.rank) return refused("softmax: axis out of range");
      return std::nullopt;
    };
    rows.op(v.name, cases, OP(softmax(x[0], v.axes)), TWIN(soft(x[0], v.axes))).refusing(repeated);
    rows.op(std::string("log_") + v.name, cases, OP(log_softmax(x[0], v.axes)),
            plain([v](const Arrays& x) {
              return mapped(soft(x[0], v.axes), [](double p) { return std::log(p); });
            }))
        .refusing(repeated);
    for (const bool fewer : {false, true}) {
      const std::string how = fewer ? ", mask of fewer axes" : ", mask";
      rows.op(v.name + how, cases, OP(softmax(x[0], v.axes, mask_for(x[0].shape(), fewer))),
              TWIN(soft(x[0], v.axes, numbers(mask_for(x[0].shape(), fewer)))))
          .refusing(repeated);
      // Masked elements are -infinity: they are selected away before differences are taken.
      rows.op(
              "log_" + (v.name + how), cases,
              [v, fewer](const auto& x) {
                using T = typename std::decay_t<decltype(x[0])>::value_type;
                const Array<bool> m = mask_for(x[0].shape(), fewer);
                return where(m, log_softmax(x[0], v.axes, m), Var<T>(T(0)));
              },
              plain([v, fewer](const Arrays& x) {
                const Array<double> m = numbers(mask_for(x[0].shape(), fewer));
                return mapped(zipped(soft(x[0], v.axes, m), m,
                                     [](double p, double k) { return k != 0 ? p : 1; }),
                              [](double p) { return p > 0 ? std::log(p) : 0; });
              }))
          .refusing(repeated);
    }
  }
}

Array<double> naive_layer_norm(const Array<double>& x, const Array<double>& gamma,
                               const Array<double>& beta, const Axes& axes, double epsilon) {
  const Array<double> mean = reduced(x, axes, true, mean_of);
  const Array<double> centred = zipped(x, mean, [](double u, double v) { return u - v; });
  const Array<double> variance =
      reduced(mapped(centred, [](double v) { return v * v; }), axes, true, mean_of);
  const Array<double> hat =
      zipped(centred, variance, [=](double u, double v) { return u / std::sqrt(v + epsilon); });
  return zipped(zipped(hat, gamma, [](double u, double v) { return u * v; }), beta,
                [](double u, double v) { return u + v; });
}

void normalization_rows(Table& rows) {
  const auto last = [](const Shape& s) { return s.size() == 0 ? Shape{} : Shape{s.back()}; };
  const auto no_last = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("layer_normalization: axis out of range");
    // Nothing to normalize where there are rows but no elements in them.
    if (s[0].back() == 0 && s[0].size() == 1)
      return refused("layer_normalization: nothing to normalize");
    return std::nullopt;
  };
  // Two elements that nearly agree would make differences of the second order useless: epsilon 0.1.
  const Array<double> one_value(1.0);
  const Array<double> zero_value(0.0);
  rows.op(
          "layer_normalization", both(one(), matrices()),
          []<class T>(const Vars<T>& x) {
            return layer_normalization(x[0], std::optional<Var<T>>(), std::optional<Var<T>>(), {-1},
                                       0.1);
          },
          TWIN(naive_layer_norm(x[0], one_value, zero_value, {-1}, 0.1)))
      .refusing(no_last);
  rows.op(
          "layer_normalization, gamma and beta",
          derived(both(one(), matrices()),
                  [last](const Shape& s) {
                    return Shapes{s, last(s), last(s)};
                  }),
          []<class T>(const Vars<T>& x) {
            return layer_normalization(x[0], std::optional(x[1]), std::optional(x[2]), {-1}, 0.1);
          },
          TWIN(naive_layer_norm(x[0], x[1], x[2], {-1}, 0.1)))
      .refusing(no_last);
  rows.op(
          "layer_normalization, gamma",
          derived(both(one(), matrices()),
                  [last](const Shape& s) {
                    return Shapes{s, last(s)};
                  }),
          []<class T>(const Vars<T>& x) {
            return layer_normalization(x[0], std::optional(x[1]), std::optional<Var<T>>(), {-1},
                                       0.1);
          },
          TWIN(naive_layer_norm(x[0], x[1], zero_value, {-1}, 0.1)))
      .refusing(no_last);
  rows.op(
          "layer_normalization, beta",
          derived(both(one(), matrices()),
                  [last](const Shape& s) {
                    return Shapes{s, last(s)};
                  }),
          []<class T>(const Vars<T>& x) {
            return layer_normalization(x[0], std::optional<Var<T>>(), std::optional(x[1]), {-1},
                                       0.1);
          },
          TWIN(naive_layer_norm(x[0], one_value, x[1], {-1}, 0.1)))
      .refusing(no_last);
  const std::vector<Shapes> cubes = singles("2x3x2 3x2x1 1x2x3 2x2x2");
  rows.op(
          "layer_normalization, axes -1 and 0",
          derived(both(both(one(), matrices()), cubes),
                  [](const Shape& s) {
                    const Shape w = s.size() < 2 ? Shape{} : Shape{s[0], s.back()};
                    return Shapes{s, w, w};
                  }),
          []<class T>(const Vars<T>& x) {
            return layer_normalization(x[0], std::optional(x[1]), std::optional(x[2]), {-1, 0},
                                       0.1);
          },
          plain([](const Arrays& x) {
            // gamma and beta in the places of their axes.
            const auto spread = [&](Array<double> w) {
              Index shape(x[0].dimension(), 1);
              shape.front() = w.shape()[0];
              shape.back() = w.shape()[1];
              w.reshape(shape_of(shape));
              return w;
            };
            return naive_layer_norm(x[0], spread(x[1]), spread(x[2]), {-1, 0}, 0.1);
          }))
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("layer_normalization: axis out of range");
        if (s[0].size() == 1) return refused("layer_normalization: axis repeated");
        return std::nullopt;
      });
}

/// x / sqrt(mean(x * x) + 0.1) * scale
Array<double> naive_rms_norm(const Array<double>& x, const Array<double>& scale, const Axes& axes) {
  const Array<double> squares =
      reduced(mapped(x, [](double v) { return v * v; }), axes, true,
              [](const auto& v) { return total(v) / static_cast<double>(v.size()); });
  const Array<double> hat =
      zipped(x, squares, [](double u, double v) { return u / std::sqrt(v + 0.1); });
  return zipped(hat, scale, [](double u, double v) { return u * v; });
}

void rms_rows(Table& rows) {
  const auto no_last = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("rms_normalization: axis out of range");
    if (s[0] == Shape{0}) return refused("rms_normalization: nothing to normalize");
    return std::nullopt;
  };
  const auto scaled = derived(both(one(), matrices()), [](const Shape& s) {
    return Shapes{s, s.size() == 0 ? Shape{} : Shape{s.back()}};
  });
  rows.op(
          "rms_normalization", both(one(), matrices()),
          []<class T>(const Vars<T>& x) {
            return rms_normalization(x[0], std::optional<Var<T>>(), {-1}, 0.1);
          },
          TWIN(naive_rms_norm(x[0], Array<double>(1.0), {-1})))
      .refusing(no_last);
  rows.op(
          "rms_normalization, scale", scaled,
          []<class T>(const Vars<T>& x) {
            return rms_normalization(x[0], std::optional(x[1]), {-1}, 0.1);
          },
          TWIN(naive_rms_norm(x[0], x[1], {-1})))
      .refusing(no_last);
  rows.op(
          "rms_normalization, axis 0",
          derived(both(one(), matrices()),
                  [](const Shape& s) {
                    const std::size_t n = s.size() == 0 ? 1 : s[0];
                    return Shapes{s, Shape{n}};
                  }),
          []<class T>(const Vars<T>& x) {
            return rms_normalization(x[0], std::optional(x[1]), {0}, 0.1);
          },
          plain([](const Arrays& x) {
            Array<double> scale = x[1];
            Index shape(x[0].dimension(), 1);
            shape.front() = x[1].size();
            scale.reshape(shape_of(shape));
            return naive_rms_norm(x[0], scale, {0});
          }))
      .refusing(no_last);
}

/// The decisions of dropout by its definition: 24 bits of word i % 4 of block i / 4.
std::vector<double> decisions(std::size_t n, double rate, RandomKey key) {
  std::vector<double> keep(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto words =
        philox({static_cast<std::uint32_t>(i / 4), 0, static_cast<std::uint32_t>(key.index),
                static_cast<std::uint32_t>(key.index >> 32U)},
               {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32U)});
    const double u = static_cast<double>(words[i % 4] >> 8U) / 16777216.0;
    keep[i] = u < rate || rate == 1 ? 0 : 1 / (1 - rate);
  }
  return keep;
}

void dropout_rows(Table& rows) {
  const RandomKey key{42, 7};
  for (const double rate : {0.0, 0.3, 0.5, 1.0}) {
    rows.op("dropout " + std::to_string(rate), one(), OP(dropout(x[0], rate, key)),
            plain([rate, key](const Arrays& x) {
              const std::vector<double> keep = decisions(x[0].size(), rate, key);
              std::size_t k = 0;
              return mapped(x[0], [&](double v) { return v * keep[k++]; });
            }));
  }
  const auto noise = [](Shape s) {
    if (s.size() > 0) s[0] = std::min<std::size_t>(s[0], 1);
    return s;
  };
  rows.op("dropout, noise_shape", both(one(), matrices()),
          OP(dropout(x[0], 0.4, key, noise(x[0].shape()))), plain([key, noise](const Arrays& x) {
            Array<double> n(noise(x[0].shape()));
            const std::vector<double> keep = decisions(n.size(), 0.4, key);
            std::copy(keep.begin(), keep.end(), n.data());
            return zipped(x[0], n, [](double u, double v) { return u * v; });
          }));
}

}  // namespace

std::vector<Row> neural_rows() {
  Table rows;
  softmax_rows(rows);
  normalization_rows(rows);
  rms_rows(rows);
  dropout_rows(rows);
  return rows;
}

}  // namespace xtape::test
