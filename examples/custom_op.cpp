// Operations of your own: a value and, beside it, its gradient. The gradient is written in operations on
// Var, so it can be differentiated again.
#include <xtape/xtape.hpp>

#include <cmath>
#include <cstdio>
#include <numeric>

namespace xp = xtape;

// log(cosh(x)): a loss between the square and the absolute value. Its derivative is tanh(x).
template <class T>
xp::Var<T> log_cosh(const xp::Var<T>& x) {
  xp::Result<T> y(x.shape());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const T a = std::abs(x.data()[i]);
    y.data()[i] = a + std::log1p(std::exp(-2 * a)) - std::log(T(2));
  }
  return xp::record<T>("log_cosh", std::move(y),
                       xp::wrt(x, [x](const xp::Var<T>& g) { return g * xp::tanh(x); }));
}

// Mean and variance over the last axis, in one operation with two outputs. The gradient is a loop over
// arrays; for derivatives of it there is the same forward in operations on Var.
template <class T>
std::vector<xp::Var<T>> moments(const xp::Var<T>& x) {
  const std::size_t n = x.shape().back();
  xp::Result<T> mean(xp::Shape(x.shape().begin(), x.shape().end() - 1)), variance(mean.shape());
  for (std::size_t r = 0; r < mean.size(); ++r) {
    const T* row = x.data() + r * n;
    const T m = mean.data()[r] = std::accumulate(row, row + n, T(0)) / T(n);
    variance.data()[r] = std::inner_product(row, row + n, row, T(0)) / T(n) - m * m;
  }
  const auto gradient = [n](xp::FusedBackward<T>& b, const std::vector<xp::Result<T>>& y) {
    xp::Result<T> dx(b.input(0).shape());
    const auto g = [&](std::size_t i, std::size_t r) {  // no gradient arrived: zero
      return b.grad_output(i) != nullptr ? b.grad_output(i)->data()[r] : T(0);
    };
    for (std::size_t i = 0; i < dx.size(); ++i) {
      const T centred = b.input(0).data()[i] - y[0].data()[i / n];
      dx.data()[i] = (g(0, i / n) + 2 * centred * g(1, i / n)) / T(n);
    }
    b.add(0, std::move(dx));
  };
  const auto composed = [](const xp::Var<T>& v) {
    return std::vector{xp::mean(v, {-1}), xp::variance(v, {-1})};
  };
  return xp::record_fused("moments", {mean, variance}, gradient, composed, x);
}

int main() {
  const xp::Array<double> x{-30.0, -1.0, -0.1, 0.2, 3.0};
  const xp::GradcheckReport report =
      xp::check_gradients([](const xp::Var<double>& v) { return log_cosh(v); }, x);
  std::printf("gradients: %s\n", report ? "right, first and second order" : report.message.c_str());

  xp::Tape<double> tape;
  const xp::Var<double> v = tape.watch(x);
  const auto gradients = tape.backward(xp::sum(log_cosh(v)));
  const xp::Array<double> g = gradients[v].value();
  for (std::size_t i = 0; i < x.size(); ++i) std::printf("x %6.2f  gradient %7.4f\n", x(i), g(i));
  return report ? 0 : 1;
}
