// Every activation against Keras (and PyTorch, see make.py): values and gradients on a grid off the
// kinks, with some large arguments.

#include "support/golden.hpp"

#include <functional>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

/// The function of a case: by its C++ name with the case's options.
template <class T>
std::map<std::string, std::function<Var<T>(const Var<T>&, const Json&)>> functions() {
  using V = const Var<T>&;
  using J = const Json&;
  return {
      {"linear", [](V x, J) { return linear(x); }},
      {"relu",
       [](V x, J o) {
         ReluOptions options;
         options.negative_slope = o.value("negative_slope", options.negative_slope);
         options.max_value = o.value("max_value", options.max_value);
         options.threshold = o.value("threshold", options.threshold);
         return relu(x, options);
       }},
      {"leaky_relu", [](V x, J o) { return leaky_relu(x, o.value("negative_slope", 0.2)); }},
      {"relu6", [](V x, J) { return relu6(x); }},
      {"elu", [](V x, J o) { return elu(x, o.value("alpha", 1.0)); }},
      {"selu", [](V x, J) { return selu(x); }},
      {"celu", [](V x, J o) { return celu(x, o.value("alpha", 1.0)); }},
      {"gelu", [](V x, J o) { return gelu(x, o.value("approximate", false)); }},
      {"silu", [](V x, J) { return silu(x); }},
      {"softplus", [](V x, J) { return softplus(x); }},
      {"softsign", [](V x, J) { return softsign(x); }},
      {"tanh", [](V x, J) { return tanh(x); }},
      {"sigmoid", [](V x, J) { return sigmoid(x); }},
      {"hard_sigmoid", [](V x, J) { return hard_sigmoid(x); }},
      {"hard_silu", [](V x, J) { return hard_silu(x); }},
      {"hard_tanh", [](V x, J) { return hard_tanh(x); }},
      {"hard_shrink", [](V x, J o) { return hard_shrink(x, o.value("threshold", 0.5)); }},
      {"soft_shrink", [](V x, J o) { return soft_shrink(x, o.value("threshold", 0.5)); }},
      {"tanh_shrink", [](V x, J) { return tanh_shrink(x); }},
      {"mish", [](V x, J) { return mish(x); }},
      {"exponential", [](V x, J) { return exp(x); }},
      {"log_sigmoid", [](V x, J) { return log_sigmoid(x); }},
      {"sparse_plus", [](V x, J) { return sparse_plus(x); }},
      {"sparse_sigmoid", [](V x, J) { return sparse_sigmoid(x); }},
      {"squareplus", [](V x, J o) { return squareplus(x, o.value("b", 4.0)); }},
      {"threshold",
       [](V x, J o) {
         return threshold(x, o["threshold"].template get<double>(),
                          o["default_value"].template get<double>());
       }},
      {"glu", [](V x, J o) { return glu(x, o["axis"].template get<int>()); }},
      {"softmax", [](V x, J o) { return softmax(x, {o["axis"].template get<int>()}); }},
      {"log_softmax", [](V x, J o) { return log_softmax(x, {o["axis"].template get<int>()}); }},
      {"sparsemax", [](V x, J o) { return sparsemax(x, o["axis"].template get<int>()); }},
  };
}

}  // namespace

TEMPLATE_TEST_CASE("activations agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("activations");
  auto known = functions<T>();
  Errors errors(with_type<T>("activations"), golden_tolerance<T>);
  std::set<std::string> seen;
  for (const Json& c : cases) {
    const auto name = c["function"].get<std::string>();
    const Json& options = c["options"];
    REQUIRE(known.count(name) == 1);
    {
      GoldenRun<T> run(c, errors, GoldenScale::element);
      run.check(known[name](run.input("x"), options));
    }
    // By name: the default options, and the last axis.
    if (options.empty() || (options.contains("axis") && options["axis"] == -1)) {
      const Activation<T> activation(name);
      const Array<T> x = golden_array<T>(c["inputs"]["x"]);
      CHECK(difference(activation(x).value(), known[name](x, options).value()) == 0);
    }
    seen.insert(name);
  }
  CHECK(seen.size() == known.size());
}
