// The gradient of |A x|^2 is 2 A^T A x; shapes that do not fit are refused; initial values need BLAS and LAPACK.
#include <xtape/xtape.hpp>

#include <cmath>
#include <cstdio>

int main() {
  xtape::Tape<float> tape;
  const xtape::Array<float> a{{1.0F, 2.0F}, {3.0F, 4.0F}};
  const auto x = tape.watch(xtape::Array<float>{1.0F, -1.0F});
  const auto gradients =
      tape.backward(xtape::sum(xtape::square(xtape::matmul(xtape::Var<float>(a), x))));
  const xtape::Array<float> g = gradients[x].value();
  std::printf("gradient %g %g\n", g(0), g(1));
  try {
    xtape::matmul(xtape::Var<float>(a), xtape::Var<float>(xtape::ones<float>({3, 1})));
    return 1;
  } catch (const xtape::ShapeError& e) {
    std::printf("%s\n", e.what());
  }
  xtape::Params<double> params({.seed = 1});
  xtape::Dense<double> dense(params.scope(), {.units = 2, .kernel_initializer = "orthogonal"});
  dense(xtape::Var<double>(xtape::ones<double>({1, 2})));
  const xtape::Array<double> q = dense.kernel().value();
  const double turned = q(0, 0) * q(0, 1) + q(1, 0) * q(1, 1);
  std::printf("columns of an orthogonal kernel are %s\n",
              std::abs(turned) < 1e-12 ? "orthogonal" : "not orthogonal");
  return g(0) == -8.0F && g(1) == -12.0F && std::abs(turned) < 1e-12 ? 0 : 1;
}
