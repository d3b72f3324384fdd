// Every way to misuse the layers that attention is made of and stands beside, as test_attention_errors.cpp.

#include "support/attention_misuse.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;
using namespace xtape::test::misuse;

namespace {

std::vector<Misuse> neighbours() {
  const auto softmax = [](const Axes& axes, const std::optional<Array<bool>>& keep = {}) {
    return [=](World& w) {
      static_cast<void>(Softmax<double>({.axes = axes})(w.input({2, 3}), keep));
    };
  };
  const auto dropout = [](double rate, std::vector<int> noise = {}) {
    return [=](World& w) {
      const Dropout<double> layer({.rate = rate, .noise_shape = noise});
      static_cast<void>(layer(w.input({2, 3}), true));
    };
  };
  const auto dense = [](Dense<double>::Options o, const Shape& shape = {2, 3}) {
    return [=](World& w) {
      const Dense<double> layer((w.params.scope() / "dense").reuse(), o);
      static_cast<void>(layer(w.input(shape)));
    };
  };
  const auto normalized = [](const Axes& axes, double epsilon = 1e-3) {
    return [=](World& w) {
      const LayerNormalization<double> layer((w.params.scope() / "norm").reuse(),
                                             {.axes = axes, .epsilon = epsilon});
      static_cast<void>(layer(w.input({2, 3})));
    };
  };
  return {
      {"softmax, axis out of range", typeid(ShapeError), softmax({2}), {"axis is 2", "-2 to 1"}},
      {"softmax, axis twice", typeid(ShapeError), softmax({1, -1}), {"repeated", "distinct"}},
      {"softmax, no axis", typeid(ShapeError), softmax({}), {"softmax", "no axes", "at least one"}},
      {"softmax, mask of more axes",
       typeid(ShapeError),
       softmax({-1}, all({1, 2, 3})),
       {"mask is (1, 2, 3)", "(2, 3)"}},
      {"softmax, mask of another shape",
       typeid(ShapeError),
       softmax({-1}, all({2, 2})),
       {"mask is (2, 2)", "(2, 3)"}},
      {"dropout, rate", typeid(ValueError), dropout(-0.5), {"rate is -0.5", "0 to 1"}},
      {"dropout, noise_shape of 0",
       typeid(ValueError),
       dropout(0.5, {2, 0}),
       {"noise_shape", "an extent is 0", "positive integer"}},
      {"dropout, noise_shape of another rank",
       typeid(ShapeError),
       dropout(0.5, {1, 1, 1}),
       {"noise_shape", "3 axes", "(2, 3)"}},
      {"dense, units 0",
       typeid(ValueError),
       dense({.units = 0}),
       {"dense", "units", "0", "positive"}},
      {"dense, units -3", typeid(ValueError), dense({.units = -3}), {"units", "-3", "positive"}},
      {"dense, no units", typeid(ValueError), dense({}), {"units", "expected"}},
      {"dense, axes",
       typeid(ValueError),
       dense({.units = 2, .axes = 0}),
       {"axes is 0", "at least 1"}},
      {"dense, too few axes",
       typeid(ShapeError),
       dense({.units = 2, .axes = 2}, {3}),
       {"dense", "(3,)", "2"}},
      {"dense, activation",
       typeid(ValueError),
       [](World&) { static_cast<void>(Activation<double>("rely")); },
       {"'rely'", "expected one of", "relu"}},
      {"layer normalization, axis", typeid(ShapeError), normalized({2}), {"axis is 2", "-2 to 1"}},
      {"layer normalization, nothing on the axis",
       typeid(ShapeError),
       [](World& w) {
         const LayerNormalization<double> layer((w.params.scope() / "norm").reuse());
         static_cast<void>(layer(w.input({2, 0})));
       },
       {"norm", "(2, 0)", "at least one"}},
      {"layer normalization, axis twice", typeid(ShapeError), normalized({1, 1}), {"repeated"}},
      {"layer normalization, no axes",
       typeid(ValueError),
       normalized({}),
       {"axes", "at least one"}},
      {"layer normalization, epsilon",
       typeid(ValueError),
       normalized({-1}, -1),
       {"epsilon is -1", "0"}},
      {"embedding, id",
       typeid(ValueError),
       [](World& w) {
         const Embedding<double> layer((w.params.scope() / "words").reuse(),
                                       {.input_dim = 3, .output_dim = 2});
         static_cast<void>(layer(w.tape.input(Tokens<double>(array<std::int64_t>({2}, {0, 3})))));
       },
       {"words", "3", "0 to 2"}},
  };
}

}  // namespace

TEST_CASE("every misuse of attention's neighbours is a typed error too") {
  const int count = check(neighbours());
  std::cout << "misuses of attention's neighbours: " << count << '\n';
  CHECK(count >= 20);
}
