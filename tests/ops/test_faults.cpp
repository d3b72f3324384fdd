// Would the gradient checks notice a mistake? Every pullback that runs while a row of the operation
// table is checked is made wrong in four ways, one at a time; a check must fail each time.

#include "support/catch.hpp"

#ifndef XTAPE_FAULTS

TEST_CASE("seeded gradient faults [skipped: built without XTAPE_FAULTS]", "[faults]") { SUCCEED(); }

#else

#include "support/harness.hpp"
#include "tape/fault.hpp"

#include <iostream>
#include <set>

using namespace xtape;
using namespace xtape::test;
using detail::Fault;
using detail::FaultKind;

namespace {

const std::map<FaultKind, const char*> kKinds = {{FaultKind::factor, "factor"},
                                                 {FaultKind::dropped_element, "dropped element"},
                                                 {FaultKind::dropped_term, "dropped term"},
                                                 {FaultKind::swapped_axis, "swapped axis"}};

using Pullback = std::pair<std::string, std::size_t>;

struct Tally {
  std::size_t made = 0, caught = 0;
  std::map<Pullback, std::set<FaultKind>> kinds;  // caught, over all rows
  std::set<Pullback> seen;
} tally;

/// The cases of a row with some room for mistakes, smallest first.
std::vector<Shapes> small_cases(const Row& row) {
  std::vector<Shapes> cases;
  for (const Shapes& shapes : row.cases) {
    if (!row.rejection(shapes) && std::all_of(shapes.begin(), shapes.end(), [](const Shape& s) {
          return size_of(s) > 0;
        })) {
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

void drive(const std::vector<Row>& rows) {
  Fault& fault = detail::fault();
  for (const Row& row : rows) {
    INFO(row.name);
    const std::vector<Shapes> cases = small_cases(row);
    fault = {};
    detail::pullbacks_seen().clear();
    for (std::size_t i = 0; i < std::min<std::size_t>(4, cases.size()); ++i) CHECK(passes(row, cases[i]));
    const std::vector<Pullback> pullbacks = detail::pullbacks_seen();
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
  drive(neural_rows());
  drive(layer_rows());
  for (const Pullback& p : tally.seen) {
    INFO(p.first << ", operand " << p.second);
    CHECK(tally.kinds[p].size() >= 3);
  }
  std::cout << "faults: " << tally.made << " made, " << tally.caught << " caught, in "
            << tally.seen.size() << " pullbacks\n";
}

#endif
