// An operation of your own: its value and its gradient. The gradient is written in operations on Var, so
// it can be differentiated again.
#include <xtape/xtape.hpp>

#include <cmath>
#include <cstdio>

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
