#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

struct Two {
  Params<double> params;
  Parameter<double> a = params.scope().reserve("a");
  Parameter<double> b = params.scope().reserve("b");
  Two() {
    a.build({2}, "ones", {});
    b.build({3}, "ones", {});
  }
  Gradients<double> gradients(bool both = true) {
    Tape<double> tape;
    Var<double> loss = sum(square(a.on(tape.context())));
    if (both) loss = loss + sum(b.on(tape.context()));
    return tape.backward(loss);
  }
};

}  // namespace

TEST_CASE("a step without some gradients names them and changes nothing") {
  Two m;
  Adam<double> adam;
  const auto g = m.gradients(false);
  const std::string text = error_of<ParameterError>([&] { adam.step(m.params, g); });
  CHECK(contains(text, "'b'"));
  CHECK(contains(text, "allow_missing"));
  CHECK_FALSE(contains(text, "'a'"));
  CHECK(m.a.value()(0) == 1.0);
  CHECK(adam.iterations() == 0);
  adam.step(m.params, g, {.allow_missing = true});
  CHECK(m.a.value()(0) != 1.0);
  CHECK(m.b.value()(0) == 1.0);
  m.params.set_trainable("b", false);
  CHECK_NOTHROW(adam.step(m.params, m.gradients(false)));
  CHECK_THROWS_AS(adam.step(m.params, Gradients<double>(), {.allow_missing = true}),
                  ParameterError);
}

TEST_CASE("a step refuses values that found no layer") {
  Two m;
  m.params.set("lost", Array<double>(Shape{1}, 0.0));
  SGD<double> sgd;
  CHECK(contains(error_of<ParameterError>([&] { sgd.step(m.params, m.gradients()); }), "'lost'"));
}

TEST_CASE("the stored scale of clipped gradients is folded in") {
  Two m;
  Two n;
  SGD<double> sgd({.learning_rate = 0.5});
  auto g = m.gradients();
  g.clip_global_norm(0.1);
  sgd.step(m.params, g);
  auto h = n.gradients();
  const double norm = h.global_norm();
  CHECK(n.a.value()(0) - m.a.value()(0) == Approx(0.5 * 2 * 0.1 / norm));
}

TEST_CASE("updates are copy-on-write") {
  Two m;
  const Var<double> held = m.a.on(Var<double>(0.0));
  const double* alone = m.b.value().data();
  SGD<double> sgd;
  sgd.step(m.params, m.gradients());
  CHECK(held.value()(0) == 1.0);
  CHECK(m.a.value()(0) != 1.0);
  CHECK(m.b.value().data() == alone);  // nobody else held it: updated in place
}

TEST_CASE("options out of range") {
  CHECK_THROWS_AS(SGD<float>({.learning_rate = 0}), ValueError);
  CHECK_THROWS_AS(SGD<float>({.learning_rate = -1}), ValueError);
  CHECK_THROWS_AS(SGD<float>({.learning_rate = HUGE_VAL}), ValueError);
  CHECK_THROWS_AS(SGD<float>({.momentum = 1.5}), ValueError);
  CHECK_THROWS_AS(SGD<float>({.momentum = -0.1}), ValueError);
  CHECK_THROWS_AS(SGD<float>({.weight_decay = -0.1}), ValueError);
  CHECK_THROWS_AS(Adam<float>({.beta_1 = 1.0}), ValueError);
  CHECK_THROWS_AS(Adam<float>({.beta_2 = -0.5}), ValueError);
  CHECK_THROWS_AS(Adam<float>({.epsilon = -1}), ValueError);
  Adam<float> adam;
  CHECK_THROWS_AS(adam.set_learning_rate(std::nan("")), ValueError);
  CHECK(adam.learning_rate() == 0.001);
}

TEST_CASE("one optimizer belongs to one model") {
  Adam<double> adam;
  Two m;
  adam.step(m.params, m.gradients());
  Params<double> other;
  const auto a = other.scope().reserve("a");
  a.build({5}, "ones", {});
  Tape<double> tape;
  const auto g = tape.backward(sum(a.on(tape.context())));
  CHECK_THROWS_AS(adam.step(other, g), ParameterError);
  CHECK(a.value()(0) == 1.0);
}
