#include "models/choice.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <numeric>

using namespace xtape;
using detail::Choice;
using detail::StepLogits;

TEST_CASE("the best tokens of vocabularies around a block, equal ones in their order") {
  RandomStream stream(1, 1);
  for (const std::size_t vocabulary : {1U, 5U, 63U, 64U, 65U, 200U}) {
    for (const int values : {3, 1000}) {  // few values make many equal logits
      Array<float> logits(Shape{2, vocabulary});
      for (float& x : logits) x = static_cast<float>(stream.below(static_cast<unsigned>(values)));
      StepLogits<float> step("test", Var<float>(Array<float>(logits)), {});
      std::vector<std::size_t> order(vocabulary);
      std::iota(order.begin(), order.end(), std::size_t{0});
      if (vocabulary > 1) {
        const std::size_t forbidden = vocabulary / 2;
        step.forbid(1, static_cast<std::int64_t>(forbidden));
        order.erase(order.begin() + static_cast<std::ptrdiff_t>(forbidden));
      }
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return logits(1, a) > logits(1, b); });
      double sum = 0;
      for (std::size_t i = 0; i < vocabulary; ++i) {
        sum +=
            std::exp(static_cast<double>(logits(1, i)) - static_cast<double>(logits(1, order[0])));
      }
      CHECK(step.best(1).token == static_cast<std::int64_t>(order[0]));
      for (const std::size_t count : {1U, 5U, 300U}) {
        std::vector<Choice> found;
        step.best(1, count, found);
        INFO(count << " of " << vocabulary);
        REQUIRE(found.size() == std::min(count, order.size()));
        for (std::size_t k = 0; k < found.size(); ++k) {
          CHECK(found[k].token == static_cast<std::int64_t>(order[k]));
          const double expected = static_cast<double>(logits(1, order[k])) -
                                  static_cast<double>(logits(1, order[0])) - std::log(sum);
          CHECK(std::abs(found[k].log_probability - expected) < 1e-3);
        }
      }
    }
  }
}
