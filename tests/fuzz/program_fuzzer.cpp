// Bytes become a program: a few small inputs, then operations on whatever is there, with axes, shapes
// and indices that may be wrong. Whatever the program, xtape::Error is the only exception, gradients
// have the shapes of their inputs, a second backward agrees bit for bit, and one directional
// derivative agrees with differences.

#include <xtape/xtape.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using V = xtape::Var<double>;
using A = xtape::Array<double>;

constexpr std::size_t kMaxSize = 400;
constexpr std::size_t kMaxRank = 6;
constexpr int kMaxOps = 20;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "program_fuzzer: %s\n", what.c_str());
  std::abort();
}

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}
  [[nodiscard]] bool left() const { return at_ != end_; }
  int next() { return at_ == end_ ? 0 : *at_++; }
  int below(int count) { return next() % count; }
  /// -3 ... 4: axes, mostly of the ranks there are, sometimes of none.
  int axis() { return next() % 8 - 3; }
  bool flag() { return (next() & 1) != 0; }
  xtape::Axes axes() {
    xtape::Axes axes;
    for (int n = below(3); n > 0; --n) axes.push_back(axis());
    return axes;
  }
  xtape::Shape shape() {
    static constexpr std::size_t extents[] = {1, 2, 3, 4, 5, 2, 3, 0};
    xtape::Shape shape;
    for (int n = below(4); n > 0; --n) shape.push_back(extents[next() % 8]);
    return shape;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

A random(const xtape::Shape& shape, std::uint64_t seed) {
  xtape::RandomStream stream(seed, 5);
  A a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = 2 * stream.uniform() - 1;
  return a;
}

xtape::Array<bool> random_mask(const xtape::Shape& shape, std::uint64_t seed) {
  xtape::RandomStream stream(seed, 6);
  xtape::Array<bool> mask(shape);
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = stream.below(4) != 0;
  return mask;
}

xtape::Array<std::int64_t> ids(Bytes& in) {
  const xtape::Shape shape = in.shape();
  xtape::Array<std::int64_t> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = in.below(6) - 1;
  return a;
}

/// Keeps values where differences are accurate.
V tame(const V& x) { return xtape::tanh(x * 0.7); }

V apply_unary(Bytes& in, const V& x) {
  static const char* const names[] = {
      "relu",         "leaky_relu",  "relu6",       "elu",         "selu",        "celu",
      "gelu",         "silu",        "softplus",    "softsign",    "tanh",        "sigmoid",
      "hard_sigmoid", "hard_silu",   "hard_tanh",   "hard_shrink", "soft_shrink", "tanh_shrink",
      "mish",         "exponential", "log_sigmoid", "sparse_plus", "squareplus",  "sparse_sigmoid",
      "glu",          "softmax",     "log_softmax", "sparsemax"};
  const int op = in.below(40);
  switch (op) {
    case 28: return -x;
    case 29: return xtape::abs(x);
    case 30: return tame(xtape::square(x));
    case 31: return xtape::sqrt(xtape::square(x) + 0.5);
    case 32: return xtape::rsqrt(xtape::square(x) + 0.5);
    case 33: return tame(xtape::expm1(tame(x)));
    case 34: return xtape::log(xtape::square(x) + 0.5);
    case 35: return xtape::log1p(xtape::square(x));
    case 36: return xtape::sin(x);
    case 37: return xtape::cos(x);
    case 38: return xtape::erf(x);
    case 39: return xtape::clip(x, -0.4, 0.6);
    default: return tame(xtape::Activation<double>(names[op])(x));
  }
}

V apply_binary(Bytes& in, const V& a, const V& b) {
  switch (in.below(12)) {
    case 0: return 0.5 * (a + b);
    case 1: return 0.5 * (a - b);
    case 2: return tame(a * b);
    case 3: return tame(a / (xtape::square(b) + 0.5));
    case 4: return tame(xtape::pow(xtape::square(a) + 0.5, b));
    case 5: return xtape::maximum(a, b);
    case 6: return xtape::minimum(a, b);
    case 7: {
      const int transposes = in.next();
      return tame(xtape::matmul(
          a, b, {.transpose_a = (transposes & 1) != 0, .transpose_b = (transposes & 2) != 0}));
    }
    case 8: {
      static const char* const equations[] = {"ij,jk->ik", "ij,kj->ik",    "ij,ij->i",
                                              "ij,jk->",   "aij,ajk->aik", "abi,ci->bca",
                                              "i,j->ji",   "ii,ij->i",     "ab,cab->c"};
      return tame(xtape::einsum(equations[in.below(9)], a, b));
    }
    case 9: return tame(xtape::dot(a, b));
    case 10: return xtape::outer(a, b);
    default: return xtape::where(random_mask(a.shape(), 3), a, b);
  }
}

V apply_reduction(Bytes& in, const V& x) {
  const int op = in.below(9);
  const xtape::Axes axes = in.axes();
  const bool keep = in.flag();
  switch (op) {
    case 0: return tame(xtape::sum(x, axes, keep));
    case 1: return xtape::mean(x, axes, keep);
    case 2: return xtape::variance(x, axes, keep);
    case 3: return xtape::max(x, axes, keep);
    case 4: return xtape::min(x, axes, keep);
    case 5: return tame(xtape::logsumexp(x, axes, keep));
    case 6: return tame(xtape::norm(x, axes, keep));
    case 7: return xtape::softmax(x, axes, random_mask(x.shape(), 4));
    default: return tame(xtape::layer_normalization(x, {}, {}, axes));
  }
}

V apply_shape(Bytes& in, const V& x, const V& y) {
  switch (in.below(16)) {
    case 0: return xtape::reshape(x, in.shape());
    case 1: return xtape::reshape(x, {-1, in.below(4)});
    case 2: return xtape::transpose(x, in.axes());
    case 3: return xtape::expand_dims(x, in.axis());
    case 4: return xtape::squeeze(x, in.axes());
    case 5: return xtape::broadcast_to(x, in.shape());
    case 6: return xtape::concatenate<double>({x, y, x}, in.axis());
    case 7: return xtape::stack<double>({x, y}, in.axis());
    case 8: {
      const std::vector<V> parts = xtape::split(x, in.below(4), in.axis());
      return parts.back();
    }
    case 9: {
      std::vector<xtape::Slice> index;
      for (int n = in.below(3); n > 0; --n) {
        switch (in.below(4)) {
          case 0: index.push_back(xtape::Slice::at(in.axis())); break;
          case 1: index.push_back(xtape::Slice::ellipsis()); break;
          default: index.push_back(xtape::Slice::range(in.axis(), in.axis(), in.below(6) - 2));
        }
      }
      return xtape::slice(x, index);
    }
    case 10: {
      std::vector<std::pair<std::size_t, std::size_t>> widths;
      for (int n = in.below(4); n > 0; --n) widths.emplace_back(in.next() % 3, in.next() % 3);
      return xtape::pad(x, widths, 0.25);
    }
    case 11: return xtape::flip(x, in.axes());
    case 12: return tame(xtape::cumsum(x, in.axis(), in.flag()));
    case 13: return in.flag() ? xtape::tril(x, in.axis()) : xtape::triu(x, in.axis());
    case 14: {
      const int axis = in.axis();
      return xtape::take(x, ids(in), axis);
    }
    default: {
      const int axis = in.axis();
      return xtape::take_along_axis(x, ids(in), axis);
    }
  }
}

/// The program. What it does depends on the bytes and the shapes only, so it can run again nearby.
class Program {
 public:
  Program(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {
    const int flags = bytes_.next();
    twice_ = (flags & 1) != 0;
    second_order_ = (flags & 2) != 0;
    const int inputs = 1 + bytes_.below(3);
    for (int i = 0; i < inputs; ++i) {
      shapes_.push_back(bytes_.shape());
    }
  }
  [[nodiscard]] const std::vector<xtape::Shape>& shapes() const { return shapes_; }
  [[nodiscard]] bool twice() const { return twice_; }
  [[nodiscard]] bool second_order() const { return second_order_; }
  [[nodiscard]] bool finite() const { return finite_; }

  V run(const std::vector<V>& inputs) {
    Bytes in = bytes_;
    std::vector<V> values = inputs;
    for (int op = 0; op < kMaxOps && in.left(); ++op) {
      try {
        const V value = step(in, values);
        if (value.size() > kMaxSize || value.rank() > kMaxRank) continue;
        for (std::size_t i = 0; i < value.size(); ++i) {
          finite_ = finite_ && std::isfinite(value.data()[i]);
        }
        values.push_back(value);
      } catch (const xtape::Error& e) {
        if (std::string(e.what()).empty()) fail("an error without a message");
      }
    }
    V total = xtape::sum(values[0]);
    for (std::size_t i = 1; i < values.size(); ++i) {
      total = total + xtape::sum(values[i] * random(values[i].shape(), i));
    }
    return total;
  }

 private:
  static V step(Bytes& in, const std::vector<V>& values) {
    const auto pick = [&] {
      return values[values.size() - 1 - static_cast<std::size_t>(in.next()) % values.size()];
    };
    const V a = pick();
    switch (in.below(6)) {
      case 0: return apply_unary(in, a);
      case 1:
      case 2: return apply_binary(in, a, pick());
      case 3: return apply_reduction(in, a);
      case 4: return apply_shape(in, a, pick());
      default: {
        const V b = pick();
        const auto part = [start = in](const V& x, const V& y) {
          Bytes again = start;
          return apply_binary(again, apply_unary(again, x), y);
        };
        return xtape::checkpoint(part, a, b);
      }
    }
  }

  Bytes bytes_;
  bool twice_;
  bool second_order_;
  bool finite_ = true;
  std::vector<xtape::Shape> shapes_;
};

std::vector<A> points(const Program& program, double step) {
  std::vector<A> points;
  for (std::size_t i = 0; i < program.shapes().size(); ++i) {
    A x = random(program.shapes()[i], 100 + i);
    const A direction = random(program.shapes()[i], 200 + i);
    for (std::size_t j = 0; j < x.size(); ++j) x.data()[j] += step * direction.data()[j];
    points.push_back(std::move(x));
  }
  return points;
}

double value_at(Program& program, double step) {
  std::vector<V> inputs;
  for (A& x : points(program, step)) inputs.emplace_back(std::move(x));
  return program.run(inputs).item();
}

std::vector<A> gradients(const xtape::Gradients<double>& found, const std::vector<V>& leaves) {
  std::vector<A> gradients;
  for (const V& leaf : leaves) {
    if (!found.contains(leaf)) {
      gradients.push_back(xtape::detail::full(leaf.shape(), 0.0));
      continue;
    }
    const V g = found[leaf];
    if (g.shape() != leaf.shape()) {
      fail("a gradient of shape " + xtape::to_string(g.shape()) + " for an input of shape " +
           xtape::to_string(leaf.shape()));
    }
    gradients.push_back(g.value());
  }
  return gradients;
}

void same_bits(const std::vector<A>& a, const std::vector<A>& b, const char* what) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[i].size(); ++j) {
      const double u = a[i].data()[j];
      const double v = b[i].data()[j];
      if (u != v && !(std::isnan(u) && std::isnan(v))) fail(what);
    }
  }
}

void compare_with_differences(Program& program, const std::vector<A>& gradients) {
  double analytic = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const A direction = random(program.shapes()[i], 200 + i);
    for (std::size_t j = 0; j < direction.size(); ++j) {
      analytic += gradients[i].data()[j] * direction.data()[j];
    }
  }
  const auto difference = [&](double h) {
    return (value_at(program, h) - value_at(program, -h)) / (2 * h);
  };
  const double near = difference(1e-5);
  const double far = difference(4e-5);
  // A kink within reach, or a value out of range: no numeric opinion.
  if (!program.finite() || std::abs(near - far) > 2e-6 * (1 + std::abs(near))) return;
  if (std::abs(analytic - near) <= 2e-5 * (1 + std::abs(near))) return;
  fail("the directional derivative is " + std::to_string(analytic) + ", differences say " +
       std::to_string(near));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Program program(data, size);
  std::vector<A> first;
  {
    xtape::Tape<double> tape;
    std::vector<V> leaves;
    for (A& x : points(program, 0)) leaves.push_back(tape.watch(V(std::move(x))));
    const V result = program.run(leaves);
    const auto found = tape.backward(result, {.retain = program.twice()});
    first = gradients(found, leaves);
    if (program.twice()) {
      same_bits(first, gradients(tape.backward(result), leaves), "a second backward differs");
    }
    if (tape.size() != 0) fail("backward left nodes on the tape");
  }
  if (program.second_order()) {
    xtape::Tape<double> tape;
    std::vector<V> leaves;
    for (A& x : points(program, 0)) leaves.push_back(tape.watch(V(std::move(x))));
    const auto found = tape.backward(program.run(leaves), {.create_graph = true});
    V total = xtape::sum(leaves[0]);
    for (const V& leaf : leaves) {
      if (found.contains(leaf)) total = total + xtape::sum(xtape::square(found[leaf]));
    }
    static_cast<void>(gradients(tape.backward(total), leaves));
  }
  compare_with_differences(program, first);
  return 0;
}
