// A recurrent cell of one's own: its parameters, a scan over time, a mask, and a check of its gradients.
#include <cstdio>
#include <xtape/xtape.hpp>

namespace xp = xtape;
using xp::Var;

template <class T> struct Gru {  // Cho et al. 2014, in PyTorch's form
  xp::Dense<T> input;            // what x adds to reset, update and candidate, at all times at once
  xp::Parameter<T> kernel;       // what the state adds
  std::size_t units;
  Gru(const xp::Scope<T>& s, std::size_t width)
      : input(s / "input", {.units = 3 * width}), kernel(s.reserve("kernel")), units(width) {}
  // x (batch, time, features), mask (batch, time): the last state (batch, units).
  Var<T> operator()(const Var<T>& x, const xp::Array<bool>& mask) const {
    kernel.build({units, 3 * units}, "orthogonal");
    const Var<T> from_x = input(x), u = kernel.value_for(x);
    Var<T> h(xp::zeros<T>({x.shape()[0], units}));
    for (std::size_t t = 0; t < x.shape()[1]; ++t) {
      const auto at = xp::Slice::at(static_cast<std::ptrdiff_t>(t));
      const auto a = xp::split(xp::slice(from_x, {xp::Slice::all(), at}), 3, -1);
      const auto b = xp::split(xp::matmul(h, u), 3, -1);
      const Var<T> reset = xp::sigmoid(a[0] + b[0]), update = xp::sigmoid(a[1] + b[1]);
      const Var<T> candidate = xp::tanh(a[2] + reset * b[2]);
      xp::Array<bool> now(xp::Shape{x.shape()[0], 1});
      for (std::size_t i = 0; i < now.size(); ++i) now(i, 0) = mask(i, t);
      h = xp::where(now, update * h + (T(1) - update) * candidate, h);  // padding keeps the state
    }
    return h;
  }
};

int main() {
  // Gradients of x and of all parameters, in first and second order.
  xp::Params<double> exact({.seed = 1});
  const Gru<double> small(exact.scope() / "gru", 3);
  const xp::Array<bool> ends{{true, true, false}, {true, true, true}};
  const xp::Array<double> some{{{.1, .2}, {-.3, .4}, {.5, 0.}}, {{.6, -.7}, {.8, .9}, {-1., .2}}};
  const auto f = [&](const Var<double>& x) { return small(x, ends); };
  const auto report = xp::check_gradients(exact, f, some);
  std::printf("gradients deviate by %.1e\n", report.worst);

  // Task: say the first of 1 to 12 numbers at the end of the sequence. Id 0 is padding.
  xp::RandomStream random(1, 0);
  auto ids = xp::zeros<std::int64_t>({800, 12}), first = xp::zeros<std::int64_t>({800});
  for (std::size_t i = 0; i < 800; ++i) {
    for (auto t = 1 + random.below(12); t-- > 0;) ids(i, t) = static_cast<int>(1 + random.below(4));
    first(i) = ids(i, 0) - 1;
  }
  xp::Params<float> params({.seed = 1});
  const xp::Embedding<float> table(params.scope() / "table",
                                   {.input_dim = 5, .output_dim = 8, .mask_zero = true});
  const Gru<float> gru(params.scope() / "gru", 24);
  const xp::Dense<float> head(params.scope() / "head", {.units = 4, .activation = "softmax"});
  const auto model = [&](const auto& i) { return head(gru(table(i), *table.compute_mask(i))); };
  xp::Adam<float> adam({.learning_rate = 0.01});
  xp::Accuracy accuracy;
  const auto history = xp::fit(params, adam, model, ids, first,
                               {.loss = "sparse_categorical_crossentropy",
                                .metrics = {&accuracy},
                                .epochs = 12,
                                .validation_split = 0.2});
  return report && history["val_accuracy"].back() > 0.9 ? 0 : 1;
}
