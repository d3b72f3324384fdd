// The edges of schedules; their values are in test_optimizers.

#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using namespace xtape::schedules;

namespace {

// Refused when called, and when handed to an optimizer.
template <class S> void refused(const char* part, const S& schedule) {
  INFO(part);
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(schedule(0)); }), part));
  CHECK(contains(error_of<ValueError>([&] { SGD<float>({.learning_rate = schedule}); }), part));
}

}  // namespace

TEST_CASE("options of schedules out of range") {
  refused("learning_rate is 0", Constant{.learning_rate = 0});
  refused("initial_learning_rate is 0", ExponentialDecay{.decay_steps = 1, .decay_rate = 1});
  refused("decay_steps is 0", ExponentialDecay{.initial_learning_rate = 1, .decay_rate = 1});
  refused("decay_rate is 0", ExponentialDecay{.initial_learning_rate = 1, .decay_steps = 1});
  refused("InverseTimeDecay: decay_rate", InverseTimeDecay{1, 1, -1});
  refused("InverseTimeDecay: decay_steps", InverseTimeDecay{1, -1, 1});
  refused("end_learning_rate is -1", PolynomialDecay{1, 1, -1});
  refused("power is 0", PolynomialDecay{1, 1, 0.1, 0});
  refused("decay_steps is 0", PolynomialDecay{1});
  refused("there are 1 values, expected 2", PiecewiseConstantDecay{{3}, {1}});
  refused("there are 0 values", PiecewiseConstantDecay{});
  refused("boundary is 3, expected 0 or more, and above",
          PiecewiseConstantDecay{{3, 3}, {1, 2, 3}});
  refused("boundary is -3", PiecewiseConstantDecay{{-3}, {1, 2}});
  refused("value is -1", PiecewiseConstantDecay{{3}, {1, -1}});
  refused("initial_learning_rate is 0", CosineDecay{.decay_steps = 10});
  refused("decay_steps is 0", CosineDecay{.initial_learning_rate = 1});
  refused("alpha is -1", CosineDecay{1, 1, -1});
  refused("warmup_target is 0", CosineDecay{1, 1, 0, 0.0, 1});
  refused("warmup_steps is -1", CosineDecay{1, 1, 0, 1.0, -1});
  refused("0 without a warmup_target",
          CosineDecay{.initial_learning_rate = 1, .decay_steps = 1, .warmup_steps = 3});
  refused("first_decay_steps is 0", CosineDecayRestarts{.initial_learning_rate = 1});
  refused("t_mul is 0.5", CosineDecayRestarts{1, 1, 0.5});
  refused("m_mul is 0", CosineDecayRestarts{1, 1, 2, 0});
  refused("alpha is 2", CosineDecayRestarts{1, 1, 2, 1, 2});
  refused("d_model is 0", Noam{.d_model = 0});
  refused("warmup_steps is 0", Noam{.warmup_steps = 0});
  refused("factor is -1", Noam{.factor = -1});
  refused("steps is -1", LinearWarmup{.steps = -1, .then = 1});
  refused("then is 0", LinearWarmup{.steps = 1});
  refused("start is -1", LinearWarmup{.steps = 1, .then = 1, .start = -1});
  CHECK(contains(error_of<ValueError>([] { Constant{}(-1); }), "step is -1"));
}

TEST_CASE("restarts are where they should be") {
  // log(243) / log(3) is rounded down, so that a quotient of logarithms would miss this one.
  const CosineDecayRestarts restarts{
      .initial_learning_rate = 1, .first_decay_steps = 2, .t_mul = 3};
  std::int64_t at = 0;
  for (std::int64_t length = 2; length < 1000000; length *= 3) {
    CHECK(restarts(at) == 1.0);
    CHECK(restarts(at + length - 1) < 0.7);
    at += length;
  }
  const CosineDecayRestarts equal{.initial_learning_rate = 1, .first_decay_steps = 3, .t_mul = 1};
  CHECK(equal(3'000'000'000'000) == 1.0);
}

TEST_CASE("a warm-up before anything") {
  const LinearWarmup warm{
      .steps = 4,
      .then = ExponentialDecay{.initial_learning_rate = 2.0, .decay_steps = 1, .decay_rate = 0.5}};
  CHECK(warm(0) == 0.0);
  CHECK(warm(1) == 0.5);
  CHECK(warm(4) == 2.0);
  CHECK(warm(6) == 0.5);
  const LinearWarmup own{.steps = 2,
                         .then = [](std::int64_t step) { return static_cast<double>(step) + 1.0; }};
  CHECK(own(1) == 0.5);
  CHECK(own(4) == 3.0);
  CHECK(LinearWarmup{.steps = 0, .then = 0.25}(0) == 0.25);
}

TEST_CASE("a schedule of an optimizer counts its steps") {
  Params<double> params;
  const auto w = params.scope().reserve("w");
  w.build({1}, "zeros", {});
  SGD<double> sgd({.learning_rate = PiecewiseConstantDecay{{0, 1}, {1.0, 10.0, 100.0}}});
  for (const double expected : {-1.0, -11.0, -111.0, -211.0}) {
    Tape<double> tape;
    sgd.step(params, tape.backward(sum(w.value_for(tape.context()))));
    CHECK(w.value()(0) == expected);
  }
}
