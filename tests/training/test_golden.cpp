// Losses against Keras.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Reduction reduction_of(const Json& c) {
  const auto name = c["reduction"].get<std::string>();
  if (name == "sum") return Reduction::sum;
  return name == "none" ? Reduction::none : Reduction::sum_over_batch_size;
}

template <class T>
Var<T> loss_of(const Json& c, const GoldenRun<T>& run, Reduction reduction) {
  const Var<T>& prediction = run.input("prediction");
  const auto mask = golden_constant<bool>(c, "mask");
  const auto kind = c["kind"].get<std::string>();
  if (kind == "mse") {
    return mean_squared_error(prediction, run.input("target"),
                              {.mask = mask, .reduction = reduction});
  }
  CrossentropyOptions options{
      .from_logits = c["from_logits"].get<bool>(), .mask = mask, .reduction = reduction};
  if (c.contains("ignore_class")) options.ignore_class = c["ignore_class"].get<std::int64_t>();
  if (kind == "sparse") {
    return sparse_categorical_crossentropy(prediction, *golden_constant<std::int64_t>(c, "labels"),
                                           options);
  }
  return categorical_crossentropy(prediction, run.input("target"), options);
}

}  // namespace

TEMPLATE_TEST_CASE("losses agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("losses");
  Errors errors(with_type<T>("losses"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    if (const auto weights = golden_constant<T>(c, "sample_weight")) {
      // There is no such argument; Keras's is the mean of the weighted losses.
      run.check(mean(loss_of(c, run, Reduction::none) * Var<T>(*weights)));
    } else {
      run.check(loss_of(c, run, reduction_of(c)));
    }
  }
  CHECK(errors.cases() >= 50);
}
