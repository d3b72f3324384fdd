// Compound assignments. Values and gradients of the operations themselves are rows of the tables.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <xtape/check/gradcheck.hpp>

#include <algorithm>

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;

struct Assignment {
  const char* name;
  void (*assign)(V&, const V&);
  V (*apply)(const V&, const V&);
};

const Assignment kAssignments[] = {
    {"+=", [](V& a, const V& b) { a += b; }, [](const V& a, const V& b) { return a + b; }},
    {"-=", [](V& a, const V& b) { a -= b; }, [](const V& a, const V& b) { return a - b; }},
    {"*=", [](V& a, const V& b) { a *= b; }, [](const V& a, const V& b) { return a * b; }},
    {"/=", [](V& a, const V& b) { a /= b; }, [](const V& a, const V& b) { return a / b; }},
};

bool equal_arrays(const Array<double>& a, const Array<double>& b) {
  return a.shape() == b.shape() && std::equal(a.data(), a.data() + a.size(), b.data());
}

template <class A, class B>
concept Adds = requires(A& a, const B& b) {
  a += b;
};

}  // namespace

TEST_CASE("a compound assignment gives the value and the gradients of its operator") {
  const Array<double> x = random_array<double>(Shape{2, 3}, 1, 0.5, 2.0);
  const Array<double> w = random_array<double>(Shape{3}, 2, 0.5, 2.0);
  for (const Assignment& c : kAssignments) {
    INFO(c.name);
    Tape<double> tape;
    const V a = tape.watch(V(x));
    const V b = tape.watch(V(w));
    V y = a;
    const V old = y;
    c.assign(y, b);
    CHECK(equal_arrays(y.value(), c.apply(V(x), V(w)).value()));
    // Other handles keep the old value, and gradients pass to it.
    CHECK(equal_arrays(old.value(), x));
    CHECK(equal_arrays(a.value(), x));
    const Gradients<double> g = tape.backward(sum(y * old));
    Tape<double> plain;
    const V u = plain.watch(V(x));
    const V v = plain.watch(V(w));
    const Gradients<double> expected = plain.backward(sum(c.apply(u, v) * u));
    CHECK(equal_arrays(g[a].value(), expected[u].value()));
    CHECK(equal_arrays(g[b].value(), expected[v].value()));
    const auto assigned = [&](const std::vector<V>& in) {
      V z = in[0];
      c.assign(z, in[1]);
      return z;
    };
    const GradcheckReport report = check_gradients(assigned, {x, w});
    INFO(report.message);
    CHECK(report.passed);
  }
}

TEST_CASE("a compound assignment with itself uses the old value twice") {
  Tape<double> tape;
  const V x = tape.watch(V(3.0));
  V y = x;
  y *= y;
  y += y;
  CHECK(y.item() == 18.0);
  CHECK(tape.backward(y)[x].item() == 12.0);
}

TEST_CASE("the right side of a compound assignment may be a number, an array or an expression") {
  Var<float> y(Array<float>(Shape{2}, 3.0F));
  y += 1;    // an int
  y -= 0.5;  // a double
  y *= 2.0F;
  y /= Array<float>(Shape{2}, 4.0F);
  y += Array<float>(Shape{2}, 1.0F) + Array<float>(Shape{2}, 2.0F);
  CHECK(y.value()(0) == 4.75F);
  CHECK(y.value()(1) == 4.75F);
}

TEST_CASE("a compound assignment may make the shape grow, and a constant tracked") {
  Tape<double> tape;
  const V x = tape.watch(V(random_array<double>(Shape{2, 3}, 1)));
  V total = 0.0;
  for (int i = 0; i < 3; ++i) total += x;
  CHECK(total.shape() == Shape{2, 3});
  const Array<double> g = tape.backward(sum(total))[x].value();
  CHECK(std::all_of(g.data(), g.data() + g.size(), [](double v) { return v == 3.0; }));
}

TEST_CASE("operands of a compound assignment are checked as those of its operator") {
  V y(Array<double>(Shape{2}, 1.0));
  CHECK(contains(error_of<ShapeError>([&] { y += V(Array<double>(Shape{3}, 1.0)); }), "(3,)"));
  CHECK(y.shape() == Shape{2});  // unchanged
  static_assert(Adds<V, V> && Adds<V, double> && Adds<V, int> && Adds<V, Array<double>>);
  static_assert(!Adds<V, Var<float>> && !Adds<const V, V> && !Adds<V, const char*>);
}
