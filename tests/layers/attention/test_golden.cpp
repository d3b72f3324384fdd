// Multi-head attention against Keras 3, tf-keras and PyTorch: outputs, scores, and gradients of every
// input and weight, by every path.

#include "layers/attention/path.hpp"
#include "support/golden_attention.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;
using detail::AttentionPath;

namespace {

struct Path {
  AttentionPath path;
  const char* name;
};
constexpr Path paths[] = {{AttentionPath::automatic, "automatic"},
                          {AttentionPath::composed, "composed"},
                          {AttentionPath::fused, "fused"}};

template <class T> void compare(const Json& c, Errors& errors) {
  // Relative to the largest entry of all gradients of the case.
  GoldenRun<T> run(c, errors, GoldenScale::gradients);
  const MultiHeadAttention<T> layer(run.params().scope(), golden_attention_options<T>(c));
  const auto call = golden_attention_call<T>(
      c, [&](const char* name) { return run.has_input(name); },
      [&](const char* name) { return run.input(name); });
  const Var<T>& query = run.input("query");
  const Var<T>& value = run.has_input("value") ? run.input("value") : query;
  if (!c.at("outputs").contains("scores")) {
    run.check(layer(query, value, call));
    return;
  }
  const auto result = layer.with_scores(query, value, call);
  // Asking for the scores changes no bit of the output.
  CHECK(difference(layer(query, value, call).value(), result.output.value()) == 0);
  run.check({{"output", result.output}, {"scores", result.scores}});
}

}  // namespace

TEMPLATE_TEST_CASE("multi-head attention agrees with the reference frameworks", "", double, float) {
  using T = TestType;
  int configurations = 0;
  for (const std::string& file : attention_goldens) {
    const Json cases = golden(file);
    for (const Path& path : paths) {
      const detail::ForcedAttentionPath forced(path.path);
      Errors errors(with_type<T>(file + ", " + path.name), golden_tolerance<T>);
      for (const Json& c : cases) compare<T>(c, errors);
    }
    configurations += static_cast<int>(cases.size());
  }
  std::cout << "golden configurations of attention: " << configurations << '\n';
  CHECK(configurations >= 119);
}

namespace {

struct Ran {
  AttentionPath path = AttentionPath::composed;
  double dropout = 0;
  bool training = false;
  bool scores = true;
};

/// Output, scores if asked for, and all gradients of one case.
std::vector<Array<double>> results_of(const Json& c, const Ran& run) {
  const detail::ForcedAttentionPath forced(run.path);
  Tape<double> tape({.training = run.training, .seed = 5});
  Params<double> params;
  std::map<std::string, Var<double>> inputs;
  for (const auto& [name, json] : c.at("inputs").items()) {
    inputs.emplace(name, tape.watch(golden_array<double>(json)));
  }
  for (const auto& [name, json] : c.at("weights").items()) {
    params.set(name, golden_array<double>(json));
  }
  auto options = golden_attention_options<double>(c);
  options.dropout = run.dropout;
  const MultiHeadAttention<double> layer(params.scope(), options);
  const auto call = golden_attention_call<double>(
      c, [&](const char* name) { return inputs.count(name) == 1; },
      [&](const char* name) { return inputs.at(name); });
  const Var<double>& query = inputs.at("query");
  const Var<double>& value = inputs.count("value") == 1 ? inputs.at("value") : query;
  std::vector<Array<double>> results;
  Var<double> loss(0.0);
  const auto take = [&](const Var<double>& y) {
    results.push_back(y.value());
    loss = loss + sum(y * Var<double>(random_array<double>(y.shape(), 3)));
  };
  if (run.scores) {
    const auto both = layer.with_scores(query, value, call);
    take(both.output);
    take(both.scores);
  } else {
    take(layer(query, value, call));
  }
  const auto gradients = tape.backward(loss);
  for (const auto& [name, x] : inputs) results.push_back(gradients[x].value());
  for (const std::string& name : params.paths()) results.push_back(gradients.at(name).value());
  return results;
}

double largest(const std::vector<Array<double>>& arrays) {
  double most = 0;
  for (const Array<double>& a : arrays) {
    for (const double x : a) most = std::max(most, std::abs(x));
  }
  return most;
}

}  // namespace

TEST_CASE("every path gives the composed answer: dropout or not, training or not, scores or not") {
  int runs = 0, dropped = 0;
  double worst = 0;
  for (const std::string& file : attention_goldens) {
    for (const Json& c : golden(file)) {
      const auto plain = results_of(c, {});
      for (Ran run : {Ran{.training = true}, Ran{.dropout = 0.4, .training = true},
                      Ran{.dropout = 0.4, .training = false}}) {
        for (const bool scores : {true, false}) {
          run.scores = scores;
          run.path = AttentionPath::composed;
          const auto expected = results_of(c, run);
          const double scale = largest(expected);
          const bool drops = run.dropout > 0 && run.training;
          if (drops) dropped += difference(expected[0], plain[0]) > 1e-6;
          for (const Path& path : paths) {
            INFO(c.at("name") << ", dropout " << run.dropout << ", training " << run.training
                              << ", scores " << scores << ", " << path.name);
            run.path = path.path;
            const auto got = results_of(c, run);
            REQUIRE(got.size() == expected.size());
            for (std::size_t i = 0; i < got.size(); ++i) {
              const double error = difference(got[i], expected[i]) / scale;
              CHECK(error <= 1e-12);
              worst = std::max(worst, error);
            }
            if (!drops) CHECK(difference(got[0], plain[0]) <= 1e-12 * scale);
            ++runs;
          }
        }
      }
    }
  }
  std::cout << "paths of attention against the composed one: " << runs << " runs, worst " << worst
            << '\n';
  CHECK(dropped > 200);  // the dropout did something
}
