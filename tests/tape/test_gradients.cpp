#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

struct Pair {
  Tape<double> tape;
  V x = tape.watch(array<double>({2}, {3, 0}));
  V y = tape.watch(array<double>({2}, {0, 4}));
  Gradients<double> g = tape.backward(sum(square(x)) * 0.5 + sum(square(y)) * 0.5);
};

}  // namespace

TEST_CASE("global norm and clipping by it") {
  Pair p;
  CHECK(p.g.global_norm() == Approx(5.0));
  p.g.clip_global_norm(10.0);
  CHECK(p.g[p.x].value()(0) == 3.0);
  p.g.clip_global_norm(1.0);
  CHECK(p.g.global_norm() == Approx(1.0));
  CHECK(p.g[p.x].value()(0) == Approx(0.6));
  CHECK(p.g[p.y].value()(1) == Approx(0.8));
  p.g.clip_value(0.7);
  CHECK(p.g[p.x].value()(0) == Approx(0.6));
  CHECK(p.g[p.y].value()(1) == Approx(0.7));
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    CHECK_THROWS_AS(p.g.clip_global_norm(bad), ValueError);
    CHECK_THROWS_AS(p.g.clip_value(bad), ValueError);
  }
}

TEST_CASE("clipping refuses gradients that are not finite, and names the parameter") {
  Params<double> params;
  const auto w = params.scope().reserve("w");
  w.build({2}, "zeros", {});
  Tape<double> tape;
  auto g = tape.backward(sum(sqrt(w.value_for(tape.context()))));
  const std::string text = error_of<NonFiniteError>([&] { g.clip_global_norm(1.0); });
  CHECK(contains(text, "'w'"));
}

TEST_CASE("adding and scaling keep the operands' scales apart") {
  Pair p;
  Gradients<double> sum_of;
  sum_of.add(p.g);
  p.g.clip_global_norm(1.0);
  sum_of.add(p.g);
  CHECK(sum_of[p.x].value()(0) == Approx(3.6));
  sum_of.scale(0.5);
  CHECK(sum_of[p.x].value()(0) == Approx(1.8));
  CHECK(p.g[p.x].value()(0) == Approx(0.6));  // not touched through a shared buffer
}

TEST_CASE("factors that the gradients' type does not hold are refused, and change nothing") {
  Tape<float> tape;
  const Var<float> x = tape.watch(Var<float>(2.0F));
  Gradients<float> g = tape.backward(x * 3.0F);
  for (const double factor : {1e39, -1e300, HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    CHECK_THROWS_WITH(g.scale(factor), StartsWith("scale: factor out of range"));
  }
  g.scale(1e30);
  CHECK_THROWS_AS(g.scale(1e30), ValueError);
  g.scale(1e-30);
  CHECK(g[x].item() == Approx(3.0F));
}

TEST_CASE("a norm of floats does not overflow") {
  Tape<float> tape;
  const Var<float> x = tape.watch(Array<float>(Shape{4}, 1.0F));
  auto g = tape.backward(sum(x * 1e30F));
  CHECK(g.global_norm() == Approx(2e30));
}

TEST_CASE("gradients outlive their tape") {
  Gradients<double> g;
  V x;
  {
    Tape<double> tape;
    x = tape.watch(V(2.0));
    g = tape.backward(square(x));
  }
  CHECK(g[x].item() == 4.0);
  CHECK((g[x] * 2.0).item() == 8.0);
}
