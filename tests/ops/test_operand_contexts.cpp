// Every operation, layer, loss and block of the tables, with some of its operands on the tape, and
// inside checkpoint(): the outputs and the gradients are those of all operands on the tape.

#include "support/catch.hpp"
#include "support/harness.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

std::vector<Row> all_rows() {
  std::vector<Row> all;
  for (const auto& rows : {elementwise_rows(), activation_rows(), reduction_rows(), product_rows(),
                           shape_rows(), indexing_rows(), neural_rows(), loss_rows(),
                           further_loss_rows(), layer_rows(), block_rows()}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

/// Returns the first case with three or more elements that the row accepts, or nothing.
std::optional<Shapes> typical_case(const Row& row) {
  for (const Shapes& shapes : row.cases) {
    std::size_t elements = 1;
    for (const Shape& s : shapes) elements *= size_of(s);
    if (elements >= 3 && !row.rejection(shapes)) return shapes;
  }
  return std::nullopt;
}

struct Outcome {
  Array<double> value;
  std::vector<std::optional<Array<double>>> operands;  // their gradients
  Values parameters;                                   // their gradients
};

using Build = std::function<Var<double>(const Vars<double>&)>;

/// Runs forward and backward with the operands of `watched` as leaves and the others as plain arrays.
Outcome outcome(const Model<double>& model, const Arrays& inputs, const std::vector<bool>& watched,
                const Build& build) {
  Tape<double> tape({.training = true, .seed = 11});
  Vars<double> x;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    x.push_back(watched[i] ? tape.watch(inputs[i]) : Var<double>(inputs[i]));
  }
  const Var<double> y = build(x);
  Outcome out{y.value(), {}, {}};
  if (!y.tracked()) return out;
  const Var<double> weights = tape.input(random_array<double>(y.shape(), 3));
  const Gradients<double> g = tape.backward(sum(y * weights));
  for (const Var<double>& v : x) {
    out.operands.emplace_back();
    if (v.tracked() && g.contains(v)) out.operands.back() = g[v].value();
  }
  for (const Parameter<double>& p : model.params.all()) {
    if (g.contains(p)) out.parameters.emplace(p.path(), g[p].value());
  }
  return out;
}

/// Returns the largest difference of parameter gradients, relative to their size.
double difference_of(const Values& a, const Values& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double worst = 0;
  for (const auto& [path, g] : a) {
    if (!b.contains(path)) return HUGE_VAL;
    double scale = 1;
    for (const double v : g) scale = std::max(scale, std::abs(v));
    worst = std::max(worst, difference(g, b.at(path)) / scale);
  }
  return worst;
}

/// Returns f(x...) inside checkpoint(), for any number of operands up to three.
Var<double> recomputed(const Build& f, const Vars<double>& x) {
  const auto whole = [f](const auto&... v) { return f(Vars<double>{v...}); };
  if (x.size() == 1) return checkpoint(whole, x[0]);
  if (x.size() == 2) return checkpoint(whole, x[0], x[1]);
  return checkpoint(whole, x[0], x[1], x[2]);
}

std::size_t cases = 0;
struct Summary {
  ~Summary() { std::cout << "operand contexts: " << cases << " cases\n"; }
} summary;

}  // namespace

TEST_CASE("operands of which only some are on the tape", "[contexts]") {
  for (const Row& row : all_rows()) {
    const auto shapes = typical_case(row);
    if (!shapes) continue;
    const Arrays inputs = sample(row, *shapes);
    const std::size_t n = inputs.size();
    const auto run = [&](const std::vector<bool>& watched) {
      const Model<double> model(row, inputs);  // a new one, because dropout counts its calls
      return outcome(model, inputs, watched, model.f);
    };
    const Outcome all = run(std::vector<bool>(n, true));
    for (std::size_t subset = 1; subset + 1 < (std::size_t{1} << n); ++subset) {
      std::vector<bool> watched(n);
      for (std::size_t i = 0; i < n; ++i) watched[i] = ((subset >> i) & 1U) != 0;
      INFO(describe(row, *shapes) << ", subset " << subset);
      ++cases;
      const Outcome some = run(watched);
      CHECK(same_bits(some.value, all.value));
      CHECK(difference_of(all.parameters, some.parameters) == 0);
      for (std::size_t i = 0; i < some.operands.size(); ++i) {
        if (!watched[i] || !all.operands[i]) continue;
        REQUIRE(some.operands[i].has_value());
        CHECK(same_bits(*some.operands[i], *all.operands[i]));
      }
    }
  }
}

TEST_CASE("parts inside checkpoint() have the gradients of plain ones", "[contexts]") {
  using Form = std::function<Var<double>(const Build&, const Vars<double>&)>;
  const Form plain = [](const Build& f, const Vars<double>& x) { return f(x); };
  const Form nested = [](const Build& f, const Vars<double>& x) {
    return recomputed([f](const Vars<double>& u) { return recomputed(f, u); }, x);
  };
  // Three uses of the same parameters inside one part, of which one is recomputed within.
  const Form thrice = [](const Build& f, const Vars<double>& x) { return f(x) + f(x) * f(x); };
  const Form thrice_inside = [](const Build& f, const Vars<double>& x) {
    const auto part = [f](const Vars<double>& u) { return f(u) + recomputed(f, u) * f(u); };
    return recomputed(part, x);
  };
  const std::vector<Form> forms = {plain, plain, plain, thrice};
  const std::vector<Form> wrapped = {plain, recomputed, nested, thrice_inside};
  for (const Row& row : all_rows()) {
    const auto shapes = typical_case(row);
    if (!shapes || shapes->size() > 3) continue;
    const Arrays inputs = sample(row, *shapes);
    const auto run = [&](const std::vector<Form>& way, std::size_t k) {
      Model<double> model(row, inputs);
      return outcome(model, inputs, std::vector<bool>(inputs.size(), true),
                     [&](const Vars<double>& x) {
                       const Var<double> first = way[k % 4](model.f, x);
                       const Var<double> second = way[k / 4 % 4](model.f, x);
                       return first + second * 2.0 + way[k / 16](model.f, x) * 3.0;
                     });
    };
    for (std::size_t k = 1; k < 64; k += 5) {
      INFO(describe(row, *shapes) << ", forms " << k);
      ++cases;
      const Outcome expected = run(forms, k);
      const Outcome got = run(wrapped, k);
      CHECK(difference(got.value, expected.value) < 1e-12);
      CHECK(difference_of(expected.parameters, got.parameters) < 1e-12);
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (!expected.operands.empty() && expected.operands[i]) {
          CHECK(difference(*expected.operands[i], *got.operands[i]) < 1e-10);
        }
      }
    }
  }
}
