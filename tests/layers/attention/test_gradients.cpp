// check_gradients on every golden configuration of multi-head attention, first and second order.

#include "support/golden_attention.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

TEST_CASE("gradients of every golden configuration agree with differences") {
  int configurations = 0;
  double first = 0, second = 0;
  for (const std::string& file : attention_goldens) {
    for (const Json& c : golden(file)) {
      INFO("case " << c.at("name"));
      Params<double> params;
      for (const auto& [path, json] : c.at("weights").items()) {
        params.set(path, golden_array<double>(json));
      }
      std::vector<std::string> names;
      std::vector<Array<double>> inputs;
      for (const auto& [name, json] : c.at("inputs").items()) {
        names.push_back(name);
        inputs.push_back(golden_array<double>(json));
      }
      const MultiHeadAttention<double> layer(params.scope(), golden_attention_options<double>(c));
      const auto call_layer = [&](const std::vector<Var<double>>& x) {
        const auto at = [&](const std::string& name) {
          return std::find(names.begin(), names.end(), name) - names.begin();
        };
        const auto has = [&](const std::string& name) { return at(name) < std::ssize(names); };
        const auto input = [&](const std::string& name) {
          return x[static_cast<std::size_t>(at(name))];
        };
        const auto call = golden_attention_call<double>(c, has, input);
        const Var<double> query = input("query");
        const auto [output, scores] =
            layer.with_scores(query, has("value") ? input("value") : query, call);
        // Directions that depend on every element of both.
        return sum(output * Var<double>(random_array<double>(output.shape(), 1))) +
               sum(scores * Var<double>(random_array<double>(scores.shape(), 2)));
      };
      // Every element by itself for the first order; random directions for both.
      for (const GradcheckOptions& options :
           {GradcheckOptions{.second_order = false}, GradcheckOptions{.all_inputs = 0}}) {
        const auto report = check_gradients(call_layer, inputs, options, &params);
        INFO(report.message);
        CHECK(report);
        first = std::max(first, report.worst_first);
        second = std::max(second, report.worst_second);
      }
      ++configurations;
    }
  }
  std::cout << "check_gradients on " << configurations << " configurations: first order " << first
            << ", second order " << second << '\n';
  CHECK(first <= 1e-6);
  CHECK(second <= 1e-5);
  CHECK(configurations >= 119);
}
