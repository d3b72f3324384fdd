#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <thread>

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

TEST_CASE("gradients of watched values, and none for inputs") {
  Tape<double> tape;
  const V x = tape.watch(array<double>({3}, {1, 2, 3}));
  const V c = tape.input(array<double>({3}, {4, 5, 6}));
  CHECK(x.tracked());
  CHECK_FALSE(c.tracked());
  CHECK(c.has_context());
  const auto g = tape.backward(sum(x * c * x));
  CHECK(difference(g[x].value(), array<double>({3}, {8, 20, 36})) == 0);
  CHECK_FALSE(g.contains(c));
  CHECK(g.size() == 1);
  CHECK(tape.size() == 0);
}

TEST_CASE("without a tape nothing is recorded") {
  const V x(array<double>({2}, {1, 2}));
  const V y = exp(x) * 2.0;
  CHECK_FALSE(y.has_context());
  CHECK_FALSE(y.tracked());
}

TEST_CASE("a tape that does not record gives a context only") {
  Tape<double> tape({.record = false});
  const V y = exp(tape.watch(V(1.0)));
  CHECK(y.has_context());
  CHECK_FALSE(y.tracked());
  CHECK(tape.size() == 0);
}

TEST_CASE("backward frees as it goes, retain keeps") {
  Tape<double> tape;
  const V x = tape.watch(V(3.0));
  const V y = square(x);
  const auto first = tape.backward(y, {.retain = true});
  const auto second = tape.backward(y, {.retain = true});
  CHECK(first[x].item() == 6.0);
  CHECK(second[x].item() == 6.0);
  CHECK(tape.size() == 2);
  static_cast<void>(tape.backward(y));
  CHECK(tape.size() == 0);
  CHECK(contains(error_of<TapeError>([&] { static_cast<void>(tape.backward(y)); }),
                 "cleared or rewound"));
}

TEST_CASE("into adds up micro-batches, and stays as it was when a backward fails") {
  Gradients<double> total;
  Params<double> params;
  const auto p = params.scope().reserve("w");
  p.build({2}, "ones", {});
  for (int i = 0; i < 3; ++i) {
    Tape<double> tape;
    const auto returned = tape.backward(sum(p.value_for(tape.context()) * 2.0), {.into = &total});
    CHECK(returned.empty());
  }
  CHECK(difference(total[p].value(), array<double>({2}, {6, 6})) == 0);

  Tape<double> tape;
  const V w = p.value_for(tape.context());
  const V bad = record("bad", Array<double>(w.value()),
                       wrt(w, [](const V&) -> V { throw ValueError("bad: no"); }));
  CHECK_THROWS_AS(tape.backward(sum(bad + w), {.into = &total}), ValueError);
  CHECK(tape.size() == 0);
  CHECK(difference(total[p].value(), array<double>({2}, {6, 6})) == 0);
}

TEST_CASE("a seed gradient for results that are not scalars") {
  Tape<double> tape;
  const V x = tape.watch(array<double>({2}, {1, 2}));
  const V y = x * 3.0;
  const std::string no_seed = error_of<TapeError>([&] { static_cast<void>(tape.backward(y)); });
  CHECK(contains(no_seed, "(2,)"));
  CHECK(contains(no_seed, "sum()"));
  const std::string wrong = error_of<ShapeError>([&] {
    static_cast<void>(tape.backward(y, {.seed = V(array<double>({3}, {1, 1, 1}))}));
  });
  CHECK(contains(wrong, "(3,)"));
  CHECK(contains(wrong, "(2,)"));
  CHECK(tape.size() == 2);  // nothing was lost by the mistakes
  const auto g = tape.backward(y, {.seed = V(array<double>({2}, {1, 10}))});
  CHECK(difference(g[x].value(), array<double>({2}, {3, 30})) == 0);
}

TEST_CASE("create_graph: gradients can be differentiated again") {
  Tape<double> tape;
  const V x = tape.watch(V(2.0));
  V y = x * x * x;
  auto g = tape.backward(y, {.create_graph = true});
  V d = g[x];
  CHECK(d.tracked());
  CHECK(d.item() == Approx(12.0));
  auto g2 = tape.backward(d, {.create_graph = true});
  CHECK(g2[x].item() == Approx(12.0));
  auto g3 = tape.backward(g2[x]);
  CHECK(g3[x].item() == Approx(6.0));
}

TEST_CASE("handles into a tape tell when they are stale") {
  V old;
  {
    Tape<double> tape;
    const V x = tape.watch(V(1.0));
    old = exp(x);
    tape.clear();
    CHECK(contains(error_of<TapeError>([&] { static_cast<void>(old * 2.0); }), "multiply"));
    // The value and the context are still there.
    CHECK(old.value().size() == 1);
    CHECK(old.detach().has_context());
    CHECK_NOTHROW(old.detach() * 2.0);
    old = exp(tape.watch(V(1.0)));
  }
  CHECK(contains(error_of<TapeError>([&] { static_cast<void>(old + 1.0); }), "destroyed"));
  CHECK(contains(error_of<TapeError>([&] { static_cast<void>(old.detach()); }), "destroyed"));
  // A new tape reuses the old one's memory; the handle must not come back to life.
  Tape<double> next;
  const V y = exp(next.watch(V(1.0)));
  CHECK_THROWS_AS(old + 1.0, TapeError);
  CHECK_THROWS_AS(next.backward(old), TapeError);
  CHECK(y.tracked());
}

TEST_CASE("misuse of backward") {
  Tape<double> tape;
  Tape<double> other;
  const V x = tape.watch(V(1.0));
  CHECK(contains(error_of<TapeError>([&] { static_cast<void>(tape.backward(tape.input(V(1.0)))); }),
                 "not tracked"));
  CHECK(contains(error_of<TapeError>([&] { static_cast<void>(tape.backward(V())); }), "empty"));
  CHECK_THROWS_AS(other.backward(exp(x)), TapeError);
  const std::string mixed =
      error_of<TapeError>([&] { static_cast<void>(x * other.watch(V(1.0))); });
  CHECK(contains(mixed, "multiply"));
  CHECK(contains(mixed, "different tapes"));
  CHECK_THROWS_AS(tape.watch(exp(x)), TapeError);
  // A backward inside a pullback.
  const V y = record("nested", Array<double>(x.value()), wrt(x, [&](const V& g) {
                       static_cast<void>(tape.backward(exp(x)));
                       return g;
                     }));
  CHECK_THROWS_AS(tape.backward(y), TapeError);
}

TEST_CASE("gradients that did not arrive") {
  Tape<double> tape;
  const V x = tape.watch(V(1.0));
  const V unused = tape.watch(V(1.0));
  const V inner = exp(x);
  const auto g = tape.backward(inner, {.retain = true});
  CHECK_FALSE(g.contains(unused));
  CHECK_THROWS_AS(g[unused], TapeError);
  CHECK_THROWS_AS(g[inner], TapeError);
  CHECK_THROWS_AS(g[tape.input(V(1.0))], TapeError);
  CHECK_THROWS_AS(g.at("nothing"), ParameterError);
}

TEST_CASE("mark and rewind") {
  Tape<double> tape;
  const V x = tape.watch(V(2.0));
  const auto mark = tape.mark();
  for (int i = 0; i < 3; ++i) {
    const V y = exp(x) * x;
    CHECK(tape.size() == 3);
    tape.rewind(mark);
    CHECK(tape.size() == 1);
    CHECK_THROWS_AS(y * 2.0, TapeError);
  }
  const V y = square(x);
  const auto later = tape.mark();
  tape.rewind(mark);
  CHECK_THROWS_AS(tape.rewind(later), TapeError);
  const V z = square(x);  // as many nodes as `later` saw, but others
  CHECK_THROWS_AS(tape.rewind(later), TapeError);
  CHECK(tape.backward(z)[x].item() == 4.0);
  CHECK_THROWS_AS(tape.rewind(mark), TapeError);
  static_cast<void>(y);
}

TEST_CASE("a mark of another tape is refused, however alike the tapes are") {
  Tape<double> tape, other;
  const V x = tape.watch(V(2.0));
  static_cast<void>(other.watch(V(2.0)));
  const auto mark = other.mark();
  const V y = square(x);
  CHECK(contains(error_of<TapeError>([&] { tape.rewind(mark); }), "of another tape"));
  CHECK(tape.backward(y)[x].item() == 4.0);
}

TEST_CASE("a tape is cleared, marked and rewound by its own thread alone") {
  Tape<double> tape;
  const V x = tape.watch(V(2.0));
  const auto mark = tape.mark();
  std::string text;
  std::thread([&] {
    text += error_of<TapeError>([&] { tape.clear(); });
    text += error_of<TapeError>([&] { static_cast<void>(tape.mark()); });
    text += error_of<TapeError>([&] { tape.rewind(mark); });
  }).join();
  for (const char* name : {"clear: wrong thread", "mark: wrong thread", "rewind: wrong thread"}) {
    CHECK(contains(text, name));
  }
  CHECK(tape.backward(square(x))[x].item() == 4.0);
}

TEST_CASE("penalties must be asked for") {
  Tape<double> tape;
  const V x = tape.watch(V(3.0));
  tape.add_penalty(square(x) * 0.5);
  const V loss = x * 2.0;
  const std::string text = error_of<TapeError>([&] { static_cast<void>(tape.backward(loss)); });
  CHECK(contains(text, "1 penalties"));
  CHECK(contains(text, "tape.penalties()"));
  const V total = loss + tape.penalties();
  CHECK(total.item() == Approx(10.5));
  CHECK(tape.backward(total)[x].item() == Approx(5.0));
  CHECK_THROWS_AS(tape.add_penalty(V(array<double>({2}, {1, 2}))), ShapeError);
  CHECK(tape.penalties().item() == 0.0);
}

TEST_CASE("check_finite names the operation, its shapes and its operands") {
  Tape<double> tape({.check_finite = true});
  const V x = tape.watch(array<double>({3}, {1, 0, 2}));
  const std::string forward = error_of<NonFiniteError>([&] { static_cast<void>(log(x)); });
  CHECK(contains(forward, "log"));
  CHECK(contains(forward, "element 1"));
  CHECK(contains(forward, "(3,) (finite)"));
  const V y = sum(sqrt(x));
  const std::string backward =
      error_of<NonFiniteError>([&] { static_cast<void>(tape.backward(y)); });
  CHECK(contains(backward, "not finite"));
}

TEST_CASE("a user's operation, and what is wrong with one") {
  Tape<double> tape;
  const V x = tape.watch(array<double>({2}, {1, 2}));
  const V doubled =
      record("doubled", Array<double>(x.value() * 2.0), wrt(x, [](const V& g) { return g * 2.0; }));
  CHECK(difference(tape.backward(sum(doubled), {.retain = true})[x].value(),
                   array<double>({2}, {2, 2})) == 0);
  const V wrong = record("wrong", Array<double>(x.value()), wrt(x, [](const V&) {
                           return V(array<double>({3}, {1, 1, 1}));
                         }));
  const std::string text =
      error_of<ShapeError>([&] { static_cast<void>(tape.backward(sum(wrong), {.retain = true})); });
  CHECK(contains(text, "wrong"));
  CHECK(contains(text, "(3,)"));
  CHECK(contains(text, "(2,)"));
  const V none = record("none", Array<double>(x.value()), wrt(x, [](const V&) { return V(); }));
  CHECK_THROWS_AS(tape.backward(sum(none), {.retain = true}), TapeError);
  const V flat = record("flat", Array<double>(x.value()), wrt(x, NoGradient{"flat"}));
  CHECK(contains(error_of<TapeError>([&] { static_cast<void>(tape.backward(sum(flat))); }),
                 "flat: not differentiable"));
}

TEST_CASE("value() of a temporary outlives it, and is moved out when nobody else holds it") {
  const V x(array<double>({2}, {1, 2}));
  const double* data = x.data();
  const Array<double> copy = V(x).value();
  CHECK(copy.data() != data);
  V last = exp(x);
  const double* own = last.data();
  const Array<double> moved = std::move(last).value();
  CHECK(moved.data() == own);
  CHECK_FALSE(last.has_value());
  CHECK_THROWS_AS(last.item(), ValueError);
}

TEST_CASE("operators with scalars and xtensor expressions on either side") {
  Tape<double> tape;
  const V x = tape.watch(array<double>({2}, {1, 2}));
  const xt::xarray<double> a = {3, 4};
  const V y = (a + 1.0) * x + x * a - a / x + (2 * x - 1) / (3.0 - x) + x * 2;
  const auto expect = [](double v, double c) {
    return (c + 1) * v + v * c - c / v + (2 * v - 1) / (3 - v) + 2 * v;
  };
  CHECK(y.value()(0) == Approx(expect(1, 3)));
  CHECK(y.value()(1) == Approx(expect(2, 4)));
  CHECK(maximum(x, a).value()(0) == 3);
  CHECK(where(a > 3.5, x, 0.0).value()(0) == 0);
  CHECK(greater(x, a)(1) == false);
  CHECK(y.tracked());
}
