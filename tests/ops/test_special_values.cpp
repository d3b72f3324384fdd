// NaN, infinities, ties, flat spots and extreme logits: what the headers promise.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>
#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;
const double kInf = std::numeric_limits<double>::infinity();
const double kNaN = std::numeric_limits<double>::quiet_NaN();

Array<double> vec(std::initializer_list<double> values) {
  return array<double>(Shape{values.size()}, values);
}
Array<double> rows(std::size_t n, std::initializer_list<double> values) {
  return array<double>(Shape{n, values.size() / n}, values);
}
[[gnu::noinline]] Array<bool> mask(std::initializer_list<bool> values) {
  return array<bool>(Shape{values.size()}, values);
}

struct Both {
  Array<double> y, g;
};
/// Value of f and the gradient of the sum of its elements.
template <class F> Both both(const Array<double>& x, F f) {
  Tape<double> tape;
  const V v = tape.watch(V(x));
  const V y = f(v);
  const Gradients<double> g = tape.backward(y, {.seed = V(detail::full<double>(y.shape(), 1.0))});
  return {y.value(), g[v].value()};
}

bool equals(const Array<double>& a, const Array<double>& b, double within = 1e-15) {
  INFO("difference " << difference(a, b));
  CHECK(difference(a, b) <= within);
  return difference(a, b) <= within;
}
bool finite(const Array<double>& a) {
  return std::all_of(a.data(), a.data() + a.size(), [](double v) { return std::isfinite(v); });
}

}  // namespace

TEST_CASE("maximum and minimum: NaN wins, ties share") {
  const V a(vec({1, kNaN, 2, -kInf, 0}));
  const V b(vec({kNaN, 1, 3, kInf, -0.0}));
  CHECK(equals(maximum(a, b).value(), vec({kNaN, kNaN, 3, kInf, 0})));
  CHECK(equals(minimum(a, b).value(), vec({kNaN, kNaN, 2, -kInf, 0})));
  const V tied(vec({1, 2, 5}));
  CHECK(equals(both(vec({1, 3, 4}), [&](const V& x) { return maximum(x, tied); }).g,
               vec({0.5, 1, 0})));
  CHECK(equals(both(vec({1, 3, 4}), [&](const V& x) { return minimum(tied, x); }).g,
               vec({0.5, 0, 1})));
}

TEST_CASE("max and min: NaN wins, ties share") {
  const Array<double> x = rows(2, {1, 3, 3, 2, kNaN, 1});
  CHECK(equals(max(V(x), {1}).value(), vec({3, kNaN})));
  CHECK(equals(min(V(x), {1}).value(), vec({1, kNaN})));
  CHECK(equals(both(vec({1, 3, 3}), [](const V& v) { return max(v); }).g, vec({0, 0.5, 0.5})));
  CHECK(equals(both(vec({2, 2, 2, 3}), [](const V& v) { return min(v); }).g,
               vec({1. / 3, 1. / 3, 1. / 3, 0})));
  CHECK(equals(max(V(vec({-kInf, -kInf}))).value(), Array<double>(-kInf)));
}

TEST_CASE("where: the side not chosen passes nothing, whatever it holds") {
  const Array<bool> c = mask({true, false, true});
  const Array<double> x = vec({1, 0, 4});
  const Both r = both(x, [&](const V& v) { return where(c, log(where(c, v, V(1.0))), V(0.0)); });
  CHECK(equals(r.g, vec({1, 0, 0.25})));
  CHECK(equals(both(vec({1, kNaN, kInf}), [&](const V& v) { return where(c, V(2.0), v); }).y,
               vec({2, kNaN, 2})));
  CHECK(equals(both(vec({kNaN, 1, kInf}), [&](const V& v) { return where(c, V(2.0), v); }).g,
               vec({0, 1, 0})));
}

TEST_CASE("comparisons with NaN are false; equality of infinities holds") {
  const V a(vec({kNaN, kInf, 1}));
  const V b(vec({1, kInf, kNaN}));
  const auto truths = [](const Array<bool>& c) {
    return std::count(c.data(), c.data() + c.size(), true);
  };
  CHECK(truths(less(a, b)) == 0);
  CHECK(truths(less_equal(a, b)) == 1);
  CHECK(truths(greater_equal(a, b)) == 1);
  CHECK(truths(equal(a, b)) == 1);
  CHECK(argmax(V(vec({1, kNaN, 3}))).data()[0] == 1);
  CHECK(argmin(V(vec({1, 3, -2, -2}))).data()[0] == 2);
}

TEST_CASE("flat spots and kinks have the documented gradients") {
  const auto slope = [](double at, auto f) { return both(Array<double>(at), f).g.data()[0]; };
  CHECK(slope(0, [](const V& x) { return abs(x); }) == 0);
  CHECK(slope(0, [](const V& x) { return relu(x); }) == 0);
  CHECK(slope(0, [](const V& x) { return leaky_relu(x); }) == 0.2);
  CHECK(slope(6, [](const V& x) { return relu6(x); }) == 1);
  CHECK(slope(0, [](const V& x) { return elu(x, 0.5); }) == 0.5);
  CHECK(slope(-1, [](const V& x) { return clip(x, -1, 1); }) == 1);
  CHECK(slope(1, [](const V& x) { return clip(x, -1, 1); }) == 1);
  CHECK(slope(1.5, [](const V& x) { return clip(x, -1, 1); }) == 0);
  CHECK(slope(0.5, [](const V& x) { return hard_shrink(x); }) == 0);
  CHECK(slope(0, [](const V& x) { return sqrt(x); }) == kInf);
  CHECK(slope(0, [](const V& x) { return pow(x, 2.0); }) == 0);
  CHECK(slope(0, [](const V& x) { return pow(x, 1.0); }) == 1);
  CHECK(slope(0, [](const V& x) { return pow(x, 0.0); }) == 0);
  // In both operands: base 0 with exponents 0, 1 and 2.
  CHECK(equals(both(vec({0, 0, 0}),
                    [](const V& x) {
                      return pow(x, V(vec({0, 1, 2})));
                    })
                   .g,
               vec({0, 1, 0})));
  CHECK(equals(both(vec({0, 1, 2}), [](const V& x) { return pow(V(0.0), x); }).g, vec({0, 0, 0})));
  CHECK(equals(both(vec({0, 3}),
                    [](const V& x) {
                      return pow(V(vec({2, 0})), x);
                    })
                   .g,
               vec({std::log(2.0), 0})));
  // x log(x) by selection, 0 at 0.
  const auto entropy = [](const V& x) {
    const Array<bool> zero = equal(x, V(0.0));
    return where(zero, V(0.0), x * log(where(zero, V(1.0), x)));
  };
  CHECK(equals(both(vec({0, 1}), entropy).y, vec({0, 0})));
  CHECK(equals(both(vec({0, 1}), entropy).g, vec({0, 1})));
}

TEST_CASE("norm has gradient 0 at 0, and logsumexp takes infinities") {
  const Both n = both(rows(2, {0, 0, 3, 4}), [](const V& x) { return norm(x, {1}); });
  CHECK(equals(n.y, vec({0, 5})));
  CHECK(equals(n.g, rows(2, {0, 0, 0.6, 0.8})));
  const Both l = both(rows(4, {-kInf, -kInf, -kInf, 2, 1e4, 1e4, 1e30, -1e30}),
                      [](const V& x) { return logsumexp(x, {1}); });
  CHECK(equals(l.y, vec({-kInf, 2, 1e4 + std::log(2.0), 1e30})));
  // Weights are exp(x - y), and y is near 1e4: as exact as a number of that size is.
  CHECK(equals(l.g, rows(4, {0, 0, 0, 1, 0.5, 0.5, 1, 0}),
               1e4 * std::numeric_limits<double>::epsilon()));
  CHECK(logsumexp(V(vec({kInf, 1}))).item() == kInf);
  CHECK(std::isnan(logsumexp(V(vec({kNaN, 1}))).item()));
}

constexpr const char* kActivations[] = {
    "relu",           "leaky_relu",   "elu",       "selu",        "celu",
    "gelu",           "silu",         "softplus",  "softsign",    "tanh",
    "sigmoid",        "hard_sigmoid", "hard_silu", "hard_tanh",   "hard_shrink",
    "soft_shrink",    "tanh_shrink",  "mish",      "log_sigmoid", "sparse_plus",
    "sparse_sigmoid", "squareplus",   "relu6"};

TEST_CASE("activations do not overflow and pass NaN") {
  const Array<double> far = vec({-1e4, -50, 50, 1e4});
  CHECK(equals(softplus(V(far)).value(), vec({0, std::exp(-50.0), 50, 1e4})));
  CHECK(equals(sigmoid(V(far)).value(), vec({0, std::exp(-50.0), 1, 1})));
  CHECK(equals(log_sigmoid(V(far)).value(), vec({-1e4, -50, -std::exp(-50.0), 0})));
  for (const char* name : kActivations) {
    INFO(name);
    const Both r = both(far, [name](const V& x) { return Activation<double>(name)(x); });
    CHECK(finite(r.y));
    CHECK(finite(r.g));
    CHECK(std::isnan(Activation<double>(name)(V(kNaN)).item()));
  }
  CHECK(finite(both(far, [](const V& x) { return gelu(x, true); }).g));
}

TEST_CASE("a gradient is the same to the bit whether or not it is recorded") {
  // More elements than are computed together, and than one thread takes.
  const Array<double> x = test::random_array<double>({3, 7001}, 1);
  const Array<double> g = test::random_array<double>({3, 7001}, 2);
  for (const char* name : kActivations) {
    INFO(name);
    const auto gradient = [&](bool recorded) {
      Tape<double> tape;
      const V leaf = tape.watch(x);
      const V y = Activation<double>(name)(leaf);
      return Array<double>(tape.backward(sum(y * V(g)), {.create_graph = recorded})[leaf].value());
    };
    CHECK((gradient(false) == gradient(true)));
  }
}

TEST_CASE("softmax: masked elements may hold anything; empty rows are zeros") {
  const std::optional<Array<bool>> m = mask({true, false, true});
  const Array<double> x = rows(3, {1, kNaN, 1, 2, kInf, 2, 0, -kInf, 0});
  const Both s = both(x, [&](const V& v) { return softmax(v, {-1}, m) * V(vec({1, 5, 3})); });
  CHECK(equals(s.y, rows(3, {0.5, 0, 1.5, 0.5, 0, 1.5, 0.5, 0, 1.5})));
  CHECK(equals(s.g, rows(3, {-0.5, 0, 0.5, -0.5, 0, 0.5, -0.5, 0, 0.5})));
  const Both l = both(x, [&](const V& v) {
    return where(*m, log_softmax(v, {-1}, m), V(0.0)) * V(vec({1, 5, 3}));
  });
  CHECK(equals(l.g, rows(3, {-1, 0, 1, -1, 0, 1, -1, 0, 1})));
  CHECK(log_softmax(V(x), {-1}, m).value().data()[1] == -kInf);

  const std::optional<Array<bool>> nothing = mask({false, false});
  for (const Array<double>& row : {vec({1, 2}), vec({kNaN, kInf})}) {
    const Both none = both(row, [&](const V& v) { return softmax(v, {-1}, nothing); });
    CHECK(equals(none.y, vec({0, 0})));
    CHECK(equals(none.g, vec({0, 0})));
    const Both log_none = both(row, [&](const V& v) { return log_softmax(v, {-1}, nothing); });
    CHECK(equals(log_none.y, vec({0, 0})));
    CHECK(equals(log_none.g, vec({0, 0})));
  }
  const Both all = both(vec({-kInf, -kInf}), [](const V& v) { return softmax(v); });
  CHECK(equals(all.y, vec({0, 0})));
  CHECK(equals(all.g, vec({0, 0})));
  const Both log_all = both(vec({-kInf, -kInf}), [](const V& v) { return log_softmax(v); });
  CHECK(equals(log_all.y, vec({0, 0})));
  CHECK(equals(log_all.g, vec({0, 0})));
}

TEST_CASE("the second derivative of masked softmax is finite too") {
  const std::optional<Array<bool>> m = mask({true, false, true});
  for (const bool log : {false, true}) {
    Tape<double> tape;
    const V x = tape.watch(V(rows(2, {1, 1e30, 2, -kInf, kInf, -kInf})));
    const V p = log ? where(*m, log_softmax(x, {-1}, m), V(0.0)) : softmax(x, {-1}, m);
    const Gradients<double> first =
        tape.backward(sum(p * V(vec({1, 2, 4}))), {.create_graph = true});
    const Gradients<double> second = tape.backward(sum(square(first[x])));
    INFO(log);
    CHECK(finite(second[x].value()));
  }
}

TEST_CASE("softmax and cross-entropy of extreme logits") {
  CHECK(equals(softmax(V(vec({1e4, -1e4, 1e4}))).value(), vec({0.5, 0, 0.5})));
  CHECK(equals(softmax(V(vec({1e30, -1e30}))).value(), vec({1, 0})));
  CHECK(equals(softmax(V(vec({7, 7, 7, 7}))).value(), vec({0.25, 0.25, 0.25, 0.25})));
  CHECK(equals(softmax(V(vec({-kInf, 3}))).value(), vec({0, 1})));
  CHECK(std::isnan(softmax(V(vec({kNaN, 3}))).value().data()[1]));
  CHECK(equals(log_softmax(V(vec({1e4, -1e4}))).value(), vec({0, -2e4})));
  CHECK(equals(log_softmax(V(vec({1e30, -1e30}))).value(), vec({0, -2e30})));

  const Array<std::int64_t> labels = array<std::int64_t>(Shape{4}, {0, 1, 1, 0});
  const Both e = both(rows(4, {1e4, -1e4, 1e4, -1e4, 1e30, -1e30, 5, -kInf}),
                      [&](const V& x) { return sparse_softmax_cross_entropy(x, labels); });
  CHECK(equals(e.y, vec({0, 2e4, 2e30, 0})));
  CHECK(equals(e.g, rows(4, {0, 0, 1, -1, 1, -1, 0, 0})));
  // A label that cannot be: the loss is infinite, its gradient is not.
  const Both impossible = both(rows(1, {-kInf, 1}), [](const V& x) {
    return sparse_softmax_cross_entropy(x, array<std::int64_t>(Shape{1}, {0}));
  });
  CHECK(impossible.y.data()[0] == kInf);
  CHECK(equals(impossible.g, rows(1, {-1, 1})));
  // A class of probability 0 makes a smoothed loss infinite. Its gradient is finite.
  for (const double s : {0.5, 1.0}) {
    const Both never = both(rows(2, {-kInf, 1, -kInf, 1}), [&](const V& x) {
      return sparse_softmax_cross_entropy(x, array<std::int64_t>(Shape{2}, {0, 1}), -1, s);
    });
    CHECK(equals(never.y, vec({kInf, kInf})));
    CHECK(equals(never.g, rows(2, {s / 2 - 1, 1 - s / 2, -s / 2, s / 2})));
  }
  // Rows left out may hold anything.
  for (const double smoothing : {0.0, 1.0}) {
    const Both ignored = both(rows(2, {kNaN, kInf, 0, 0}), [&](const V& x) {
      return sparse_softmax_cross_entropy(x, array<std::int64_t>(Shape{2}, {9, 0}), 9, smoothing);
    });
    CHECK(equals(ignored.y, vec({0, std::log(2.0)})));
    CHECK(equals(ignored.g, smoothing == 0 ? rows(2, {0, 0, -0.5, 0.5}) : rows(2, {0, 0, 0, 0})));
  }
}

TEST_CASE("losses leave masked samples out, whatever they hold") {
  const std::optional<Array<bool>> m = mask({true, false});
  const Both e = both(rows(2, {1, 3, kNaN, kInf}), [&](const V& x) {
    return mean_squared_error(x, V(0.0) * V(detail::full<double>(Shape{2, 2}, 0.0)), {.mask = m});
  });
  CHECK(equals(e.y, Array<double>(5.0)));
  CHECK(e.g.data()[0] == 1.0);
  CHECK(e.g.data()[1] == 3.0);
  const Both c = both(rows(2, {0, 0, 1e30, -1e30}), [&](const V& x) {
    return sparse_categorical_crossentropy(x, array<std::int64_t>(Shape{2}, {0, 1}),
                                           {.from_logits = true, .mask = m});
  });
  CHECK(equals(c.y, Array<double>(std::log(2.0))));
  CHECK(equals(c.g, rows(2, {-0.5, 0.5, 0, 0})));
  // Nothing counts: 0, not 0 / 0.
  const std::optional<Array<bool>> none = mask({false, false});
  CHECK(mean_squared_error(V(rows(2, {1, 2})), V(rows(2, {3, 4})), {.mask = none}).item() == 0);
  // Probabilities of exactly 0 and 1 are limited.
  CHECK(finite(both(rows(1, {0, 1}), [](const V& x) {
                 return sparse_categorical_crossentropy(x, array<std::int64_t>(Shape{1}, {0}));
               }).y));
}

TEST_CASE("layer normalization of equal elements is beta") {
  const Both n = both(rows(1, {3, 3, 3}), [](const V& x) {
    return layer_normalization(x, std::optional<V>(), std::optional(V(vec({1, 2, 3}))));
  });
  CHECK(equals(n.y, rows(1, {1, 2, 3})));
  CHECK(finite(n.g));
  // A single element, and large offsets: computed in double.
  CHECK(equals(layer_normalization(V(rows(2, {5, -7}))).value(), rows(2, {0, 0})));
  const Var<float> shifted(Array<float>(array<float>(Shape{1, 2}, {10000.F, 10001.F})));
  CHECK(std::abs(layer_normalization(shifted, {}, {}, {-1}, 0.0).value().data()[1] - 1.F) < 1e-6F);
}

TEST_CASE("rows that cross entropy ignores have gradient 0 of any order, also if they are NaN") {
  const auto labels = array<std::int64_t>({2}, {1, -1});
  for (const bool create_graph : {false, true}) {
    Tape<double> tape;
    const V x = tape.watch(V(rows(2, {1, 2, kNaN, kInf})));
    const V y =
        sparse_categorical_crossentropy(x, labels, {.from_logits = true, .ignore_class = -1});
    const Array<double> g = tape.backward(y, {.create_graph = create_graph})[x].value();
    CHECK(finite(g));
    CHECK(g(1, 0) == 0);
    CHECK(g(1, 1) == 0);
  }
}

TEST_CASE("gelu's second derivative is 0 far out") {
  for (const double far : {2e154, -2e154, 1e300}) {
    Tape<double> tape;
    const V x = tape.watch(V(far));
    const V first = tape.backward(gelu(x), {.create_graph = true})[x];
    CHECK(tape.backward(first)[x].item() == 0);
  }
}

TEST_CASE("a tape that checks numbers takes a mean whose sum overflows") {
  Tape<double> tape({.check_finite = true});
  const V x = tape.watch(V(rows(2, {1e308, 1e308, 1e308, 1e308})));
  CHECK(mean(x).item() == 1e308);
  CHECK(mean_absolute_error(x, V(rows(2, {0, 0, 0, 0}))).item() == 1e308);
}

TEST_CASE("sparsemax gives nothing to -infinity, as softmax does") {
  const V x(rows(2, {0.5, -kInf, 0.25, 1e308, -1e308, -kInf}));
  const Array<double> y = sparsemax(x).value();
  CHECK(y == rows(2, {0.625, 0, 0.375, 1, 0, 0}));
}

TEST_CASE("what dropout drops is 0, also NaN and also with a noise_shape") {
  const Array<double> x = Array<double>(Shape{4, 64}, kNaN);
  for (const std::optional<Shape>& noise :
       {std::optional<Shape>(), std::optional(Shape{4, 64}), std::optional(Shape{1, 64})}) {
    Tape<double> tape;
    const V v = tape.watch(V(x));
    const V y = dropout(v, 0.5, {.seed = 1, .index = 0}, noise);
    const Array<double> g = tape.backward(sum(y * y))[v].value();
    std::size_t dropped = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      dropped += y.data()[i] == 0 && g.data()[i] == 0 ? 1 : 0;
      CHECK((y.data()[i] == 0 || std::isnan(y.data()[i])));
    }
    CHECK(dropped > 64);
    CHECK(dropped < 192);
  }
}
