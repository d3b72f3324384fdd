// The gradient checks notice mistakes. Every pullback that runs while a row of the operation table is
// checked is made wrong in four ways, one at a time; a check must fail each time.

#include "support/catch.hpp"

#ifndef XTAPE_FAULTS

TEST_CASE("seeded gradient faults [skipped: built without XTAPE_FAULTS]", "[faults]") { SUCCEED(); }

#else

#include "support/fault.hpp"
#include "support/harness.hpp"

#include <iostream>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

const std::map<FaultKind, const char*> kKinds = {{FaultKind::factor, "factor"},
                                                 {FaultKind::dropped_element, "dropped element"},
                                                 {FaultKind::dropped_term, "dropped term"},
                                                 {FaultKind::swapped_axis, "swapped axis"}};

using Pullback = std::pair<std::string, std::size_t>;

struct Tally {
  std::size_t made = 0, caught = 0, without_effect = 0;
  std::map<Pullback, std::set<FaultKind> > kinds;  // caught, over all rows
  std::set<Pullback> seen;
} tally;

/// The cases of a row with some room for mistakes, smallest first.
std::vector<Shapes> small_cases(const Row& row) {
  std::vector<Shapes> cases;
  for (const Shapes& shapes : row.cases) {
    if (!row.rejection(shapes) &&
        std::all_of(shapes.begin(), shapes.end(), [](const Shape& s) { return size_of(s) > 0; })) {
      cases.push_back(shapes);
    }
  }
  const auto elements = [](const Shapes& shapes) {
    std::size_t n = 0;
    for (const Shape& s : shapes) n += size_of(s);
    return n;
  };
  std::stable_sort(cases.begin(), cases.end(), [&](const Shapes& a, const Shapes& b) {
    // Cases of six elements and more first: the others cannot tell some faults from none.
    const std::size_t u = elements(a), v = elements(b);
    return (u < 6) != (v < 6) ? v < 6 : u < v;
  });
  return cases;
}

/// Whether the checks of one case pass; with nothing but the fault at work.
bool passes(const Row& row, const Shapes& shapes) {
  const Arrays inputs = sample(row, shapes);
  Model<double> model(row, inputs);
  const GradcheckOptions options{.all_inputs = 64};
  try {
    return static_cast<bool>(
        check_gradients(model.f, inputs, options, row.layer ? &model.params : nullptr));
  } catch (const Error&) {
    return false;
  }
}

/// First and second derivatives along random directions: everything a mistake could change.
Arrays outcome(const Row& row, const Shapes& shapes) {
  const Arrays inputs = sample(row, shapes);
  Model<double> model(row, inputs);
  Tape<double> tape;
  Vars<double> leaves;
  for (const Array<double>& a : inputs) leaves.push_back(tape.watch(Var<double>(a)));
  const Var<double> y = model.f(leaves);
  leaves.push_back(tape.watch(Var<double>(random_array<double>(y.shape(), 11))));
  const auto collect = [&](const Gradients<double>& g) {
    Vars<double> all;
    for (const Var<double>& v : leaves) all.push_back(g.contains(v) ? g[v] : Var<double>());
    for (const Parameter<double>& p : model.params.all())
      all.push_back(g.contains(p) ? g[p] : Var<double>());
    return all;
  };
  const Vars<double> first =
      collect(tape.backward(y, {.create_graph = true, .seed = leaves.back()}));
  Arrays out;
  Var<double> s = tape.input(Var<double>(0.0));
  for (const Var<double>& g : first) {
    if (!g.has_value()) continue;
    out.push_back(g.value());
    s = s + sum(g * Var<double>(random_array<double>(g.shape(), 12 + out.size())));
  }
  // The way without a graph takes other pullbacks where an operation has a fast one.
  for (const auto& g : differentiate(model, inputs).g) {
    if (g) out.push_back(*g);
  }
  if (!s.tracked()) return out;
  for (const Var<double>& g : collect(tape.backward(s))) {
    if (g.has_value()) out.push_back(g.value());
  }
  return out;
}

/// Whether a fault changes any derivative by more than rounding. It need not: what is altered may
/// be multiplied by 0 further down (relu's other side, dropout of everything, a masked element), be
/// the rounding error of a gradient that is 0 (through the mean inside a variance), or be only
/// summed, so that its order does not matter (swapped axes above a mean). No check can or should
/// notice.
bool has_effect(const Row& row, const std::vector<Shapes>& cases, const Fault& wanted) {
  Fault& fault = test::fault();
  for (const Shapes& shapes : cases) {
    fault = {};
    const Arrays right = outcome(row, shapes);
    fault = wanted;
    const Arrays wrong = outcome(row, shapes);
    fault = {};
    if (right.size() != wrong.size()) return true;
    for (std::size_t i = 0; i < right.size(); ++i) {
      if (difference(right[i], wrong[i]) > 1e-12) return true;
    }
  }
  return false;
}

void drive(const std::vector<Row>& rows) {
  Fault& fault = test::fault();
  install_faults();
  for (const Row& row : rows) {
    INFO(row.name);
    const std::vector<Shapes> cases = small_cases(row);
    fault = {};
    pullbacks_seen().clear();
    for (std::size_t i = 0; i < std::min<std::size_t>(4, cases.size()); ++i)
      CHECK(passes(row, cases[i]));
    const std::vector<Pullback> pullbacks = pullbacks_seen();
    for (const Pullback& p : pullbacks) {
      tally.seen.insert(p);
      for (const auto& [kind, name] : kKinds) {
        std::size_t made = 0;
        bool caught = false;
        for (std::size_t i = 0; i < cases.size() && !caught; ++i) {
          fault = {kind, p.first, p.second, 0};
          caught = !passes(row, cases[i]);
          made += fault.made;
        }
        fault = {};
        if (made == 0) continue;  // e.g. nothing but scalars pass here
        if (!caught && !has_effect(row, cases, {kind, p.first, p.second, 0})) {
          ++tally.without_effect;
          continue;
        }
        ++tally.made;
        INFO(name << " in the gradient of " << p.first << " for operand " << p.second);
        CHECK(caught);
        if (caught) {
          ++tally.caught;
          tally.kinds[p].insert(kind);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("seeded gradient faults are all caught", "[faults]") {
  drive(elementwise_rows());
  drive(activation_rows());
  drive(reduction_rows());
  drive(product_rows());
  drive(shape_rows());
  drive(indexing_rows());
  drive(neural_rows());
  drive(loss_rows());
  drive(layer_rows());
  drive(block_rows());
  for (const Pullback& p : tally.seen) {
    INFO(p.first << ", operand " << p.second);
    CHECK(tally.kinds[p].size() >= 3);
  }
  std::cout << "faults: " << tally.made << " made, " << tally.caught << " caught, in "
            << tally.seen.size() << " pullbacks; " << tally.without_effect
            << " more changed no result\n";
}

#endif
