// Losses against Keras and PyTorch.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Reduction reduction_of(const Json& c) {
  const std::map<std::string, Reduction> known{
      {"sum_over_batch_size", Reduction::sum_over_batch_size},
      {"sum", Reduction::sum},
      {"none", Reduction::none},
      {"mean", Reduction::mean},
      {"mean_with_sample_weight", Reduction::mean_with_sample_weight}};
  return known.at(c["reduction"].get<std::string>());
}

template <class Options> Options common_of(const Json& c) {
  Options options;
  options.mask = golden_constant<bool>(c, "mask");
  options.sample_weight = golden_constant<double>(c, "sample_weight");
  options.reduction = reduction_of(c);
  return options;
}

template <class T>
Var<T> crossentropy_of(const Json& c, const GoldenRun<T>& run, const std::string& kind) {
  const Var<T>& prediction = run.input("prediction");
  auto options = common_of<CrossentropyOptions>(c);
  options.from_logits = c["from_logits"].is_boolean() && c["from_logits"].get<bool>();
  options.label_smoothing = c.value("label_smoothing", 0.0);
  if (c.contains("ignore_class")) options.ignore_class = c["ignore_class"].get<std::int64_t>();
  if (kind == "sparse") {
    return sparse_categorical_crossentropy(prediction, *golden_constant<std::int64_t>(c, "labels"),
                                           options);
  }
  const Var<T>& target = run.input("target");
  if (kind == "categorical") return categorical_crossentropy(prediction, target, options);
  if (kind == "binary") return binary_crossentropy(prediction, target, options);
  const Focus focus{.gamma = c.value("gamma", Focus{}.gamma),
                    .alpha = c.value("alpha", Focus{}.alpha),
                    .balance = c.value("apply_class_balancing", false)};
  if (kind == "binary_focal") return binary_focal_crossentropy(prediction, target, focus, options);
  REQUIRE(kind == "categorical_focal");
  return categorical_focal_crossentropy(prediction, target, focus, options);
}

template <class T> Var<T> loss_of(const Json& c, const GoldenRun<T>& run) {
  const auto kind = c["kind"].get<std::string>();
  if (c.contains("from_logits")) return crossentropy_of(c, run, kind);
  const Var<T>& p = run.input("prediction");
  if (kind == "sparse" || kind == "categorical") return crossentropy_of(c, run, kind);
  const Var<T>& t = run.input("target");
  const auto options = common_of<LossOptions>(c);
  const std::map<std::string, Var<T> (*)(const Var<T>&, const Var<T>&, const LossOptions&)> plain{
      {"mse", mean_squared_error<T>},
      {"mae", mean_absolute_error<T>},
      {"mape", mean_absolute_percentage_error<T>},
      {"msle", mean_squared_logarithmic_error<T>},
      {"log_cosh", log_cosh<T>},
      {"hinge", hinge<T>},
      {"squared_hinge", squared_hinge<T>},
      {"categorical_hinge", categorical_hinge<T>},
      {"kl", kl_divergence<T>},
      {"poisson", poisson<T>},
      {"cosine", cosine_similarity<T>}};
  if (plain.contains(kind)) return plain.at(kind)(p, t, options);
  if (kind == "huber") return huber(p, t, c.value("delta", 1.0), options);
  const Axes axes = c["axis"].is_null() ? Axes{} : c["axis"].get<Axes>();
  if (kind == "dice") return dice(p, t, axes, options);
  REQUIRE(kind == "tversky");
  return tversky(p, t, c.value("alpha", 0.5), c.value("beta", 0.5), axes, options);
}

std::optional<std::vector<std::int64_t>> lengths_of(const Json& c, const char* name) {
  const auto given = golden_constant<std::int64_t>(c, name);
  if (!given) return std::nullopt;
  return std::vector<std::int64_t>(given->begin(), given->end());
}

}  // namespace

TEMPLATE_TEST_CASE("losses agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("losses");
  Errors errors(with_type<T>("losses"), golden_tolerance<T>);
  for (Json c : cases) {
    if (!c.contains("from_logits") && (c["kind"] == "sparse" || c["kind"] == "categorical")) {
      c["from_logits"] = false;
    }
    GoldenRun<T> run(c, errors);
    run.check(loss_of(c, run));
  }
  CHECK(errors.cases() >= 155);
}

TEMPLATE_TEST_CASE("temporal classification agrees with Keras and PyTorch", "", double, float) {
  using T = TestType;
  const Json cases = golden("ctc");
  Errors errors(with_type<T>("ctc"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    run.check(ctc(run.input("logits"), *golden_constant<std::int64_t>(c, "labels"),
                  {.input_lengths = lengths_of(c, "input_lengths"),
                   .label_lengths = lengths_of(c, "label_lengths"),
                   .blank = c["blank"].get<std::int64_t>(),
                   .reduction = reduction_of(c)}));
  }
  CHECK(errors.cases() >= 7);
}
