// Checks the gradients of a small model with respect to its input and all parameters, and shows the
// report of an operation with a wrong gradient.
#include <xtape/xtape.hpp>

#include <cstdio>

namespace xp = xtape;
using V = xp::Var<double>;

int main() {
  xp::Params<double> params({.seed = 3});
  const xp::Dense<double> hidden(params.scope() / "hidden", {.units = 6, .activation = "gelu"});
  const xp::LayerNormalization<double> normalized(params.scope() / "normalized");
  const xp::Dense<double> output(params.scope() / "output", {.units = 3});
  const xp::Array<std::int64_t> labels{0, 2, 1, 2};

  xp::Array<double> x(xp::Shape{4, 5});
  xp::RandomStream stream(1, 0);
  for (double& value : x) value = stream.normal();

  const xp::GradcheckReport model = xp::check_gradients(
      [&](const std::vector<V>& in) {
        return xp::sparse_categorical_crossentropy(output(normalized(hidden(in[0]))), labels,
                                                   {.from_logits = true});
      },
      {x}, {}, &params);
  std::printf("model: %s\n  worst deviation %.1e, order %d, %s, element %zu\n",
              model ? "passed" : model.message.c_str(), model.worst, model.order,
              model.where.c_str(), model.index);

  // The square again; its derivative lacks the factor 2.
  const xp::GradcheckReport wrong = xp::check_gradients(
      [](const V& a) {
        return xp::record<double>("square", xp::square(a).value(),
                                  xp::wrt(a, [a](const V& g) { return g * a; }));
      },
      x);
  std::printf("wrong square: %s\n", wrong.message.c_str());
  return model && !wrong ? 0 : 1;
}
