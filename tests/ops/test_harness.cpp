// Every operation over every shape class: gradients of first and second order against differences,
// float against double, values against naive twins, and what else check_case() asks.

#include "support/catch.hpp"
#include "support/harness.hpp"
#include "support/twins.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

Totals totals;

void drive(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    ++totals.rows;
    const std::size_t before = totals.cases;
    for (const Shapes& shapes : row.cases) {
      INFO(describe(row, shapes));
      std::string wrong;
      try {
        wrong = check_case(row, shapes, totals);
      } catch (const std::exception& e) {
        wrong = std::string("threw: ") + e.what();
      }
      CHECK(wrong == "");
    }
    INFO(row.name);
    CHECK(totals.cases - before >= 12);
  }
}

// Printed at the end of the program, after whichever tables ran.
struct Summary {
  ~Summary() {
    std::cout << "harness: " << totals.rows << " ops, " << totals.cases << " cases ("
              << totals.rejected << " refused as documented), " << totals.properties
              << " properties hold, worst first order " << totals.first.error << " ("
              << totals.first.where << "), worst second order " << totals.second.error << " ("
              << totals.second.where << "), worst float " << totals.rough.error << " ("
              << totals.rough.where << ")\n";
  }
} summary;

}  // namespace

TEST_CASE("a case that fails names its property") {
  Table rows;
  rows.op("right", one(), OP(x[0] * 2), EACH(2 * v));
  rows.op("wrong value", one(), OP(x[0] * 2), EACH(3 * v));
  rows.op("wrong gradient", one(),
          OP(record("wrong", x[0].value(), wrt(x[0], [](const auto& g) { return g * 2; }))),
          EACH(v));
  rows.op("not refused", one(), OP(x[0] * 2), EACH(2 * v)).refusing(below_rank(3, "too few axes"));
  const auto result = [&](std::size_t row) {
    Totals counts;
    return check_case(rows[row], {Shape{2, 3}}, counts);
  };
  CHECK(result(0) == "");
  CHECK(result(1).starts_with("value of the twin: off by "));
  CHECK(result(2).starts_with("gradients: "));
  CHECK(result(3) == "refusal: is not refused");
}

TEST_CASE("elementwise operations over all shapes", "[harness]") { drive(elementwise_rows()); }
TEST_CASE("activations over all shapes", "[harness]") { drive(activation_rows()); }
TEST_CASE("reductions over all shapes", "[harness]") { drive(reduction_rows()); }
TEST_CASE("products over all shapes", "[harness]") { drive(product_rows()); }
TEST_CASE("operations on shapes over all shapes", "[harness]") { drive(shape_rows()); }
TEST_CASE("slicing and picking over all shapes", "[harness]") { drive(indexing_rows()); }
TEST_CASE("operations of networks over all shapes", "[harness]") { drive(neural_rows()); }
TEST_CASE("losses over all shapes", "[harness]") {
  drive(loss_rows());
  drive(further_loss_rows());
}
TEST_CASE("layers over all shapes", "[harness]") { drive(layer_rows()); }
TEST_CASE("blocks of a Transformer over all shapes", "[harness]") { drive(block_rows()); }
