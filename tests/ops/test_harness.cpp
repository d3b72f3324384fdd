// Every operation over every shape class: gradients of first and second order against differences,
// float against double, values against naive twins, and what else check_case() asks.

#include "support/catch.hpp"
#include "support/harness.hpp"

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
              << totals.rejected << " refused as documented), worst first order "
              << totals.first.error << " (" << totals.first.where << "), worst second order "
              << totals.second.error << " (" << totals.second.where << "), worst float "
              << totals.rough.error << " (" << totals.rough.where << ")\n";
  }
} summary;

}  // namespace

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
