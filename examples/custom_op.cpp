// Operations of your own: a value and, beside it, its gradient. The gradient is written in operations on
// Var, so it can be differentiated again.
#include <xtape/xtape.hpp>

#include <cmath>
#include <cstdio>
#include <utility>
#if __has_include(<xtensor/core/xmath.hpp>)  // since xtensor 0.26
#include <xtensor/core/xmath.hpp>
#else
#include <xtensor/xmath.hpp>
#endif

namespace xp = xtape;

// log(cosh(x)): a loss between the square and the absolute value. Its derivative is tanh(x).
template <class T> xp::Var<T> log_cosh(const xp::Var<T>& x) {
  xp::Result<T> y(x.shape());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const T a = std::abs(x.data()[i]);
    y.data()[i] = a + std::log1p(std::exp(-2 * a)) - std::log(T(2));
  }
  return xp::record<T>("log_cosh", std::move(y),
                       xp::wrt(x, [x](const xp::Var<T>& g) { return g * xp::tanh(x); }));
}

// Mean and variance over the last axis, in one operation with two outputs. Its gradient is a loop over
// arrays, which may read the outputs. Derivatives of the gradient come from `composed`, the same forward
// in operations on Var.
template <class T> std::vector<xp::Var<T>> moments(const xp::Var<T>& x) {
  const std::size_t n = x.shape().back();
  const xp::Array<T> average = xt::mean(x.value(), {x.rank() - 1});
  const xp::Array<T> spread = xt::variance(x.value(), {x.rank() - 1});
  const auto gradient = [n](xp::FusedBackward<T>& b, const std::vector<xp::Result<T>>& y) {
    xp::Result<T> dx(b.input(0).shape());
    for (std::size_t i = 0; i < dx.size(); ++i) {  // no gradient arrived: null
      const T g = b.grad_output(0) != nullptr ? b.grad_output(0)->data()[i / n] : T(0);
      const T h = b.grad_output(1) != nullptr ? b.grad_output(1)->data()[i / n] : T(0);
      dx.data()[i] = (g + 2 * h * (b.input(0).data()[i] - y[0].data()[i / n])) / T(n);
    }
    b.add(0, std::move(dx));
  };
  const auto composed = [](const xp::Var<T>& v) {
    return std::vector{xp::mean(v, {-1}), xp::variance(v, {-1})};
  };
  return xp::record_fused("moments", {average, spread}, gradient, composed, x);
}

int main() {
  const xp::Array<double> x{-30.0, -1.0, -0.1, 0.2, 3.0};
  const xp::GradcheckReport report = xp::check_gradients(
      [](const std::vector<xp::Var<double>>& in) {
        const auto parts = moments(in[0]);
        return log_cosh(in[0]) * parts[0] + parts[1];
      },
      {x});
  std::printf("gradients: %s\n", report ? "right, first and second order" : report.message.c_str());

  xp::Tape<double> tape;
  const xp::Var<double> v = tape.watch(x);
  const auto gradients = tape.backward(xp::sum(log_cosh(v)));
  const xp::Array<double> g = gradients[v].value();
  for (std::size_t i = 0; i < x.size(); ++i) std::printf("x %6.2f  gradient %7.4f\n", x(i), g(i));
  return report ? 0 : 1;
}
