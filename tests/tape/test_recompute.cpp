#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

V part(const V& x, const V& y) { return tanh(matmul(x, y)) * sigmoid(matmul(x, y)); }

}  // namespace

TEST_CASE("checkpoint gives the gradients of what it replaces, first and second order") {
  const auto inputs = {random_array<double>({3, 4}, 1), random_array<double>({4, 2}, 2)};
  const auto report = check_gradients(
      [](const std::vector<V>& x) { return checkpoint(part, x[0], x[1]) * 2.0; }, inputs);
  INFO(report.message);
  CHECK(report);

  Tape<double> tape;
  const V a = tape.watch(*inputs.begin());
  const V b = tape.watch(*(inputs.begin() + 1));
  const auto plain = tape.backward(sum(square(part(a, b))), {.retain = true});
  const auto again = tape.backward(sum(square(checkpoint(part, a, b))), {.retain = true});
  CHECK(difference(plain[a].value(), again[a].value()) == 0);
  CHECK(difference(plain[b].value(), again[b].value()) == 0);
}

TEST_CASE("checkpoint stores one node, and nests") {
  Tape<double> tape;
  const V x = tape.watch(random_array<double>({3, 3}, 3));
  const auto inner = [](const V& u) { return tanh(matmul(u, u)); };
  const auto outer = [inner](const V& u) {
    return checkpoint(inner, sin(u)) + checkpoint(inner, u);
  };
  const V y = checkpoint(outer, x);
  CHECK(tape.size() == 2);
  const auto got = tape.backward(sum(y), {.retain = true});
  CHECK(tape.size() == 3);  // the replay is gone, the sum is there
  const V plain = inner(sin(x)) + inner(x);
  CHECK(difference(tape.backward(sum(plain))[x].value(), got[x].value()) < 1e-14);
}

TEST_CASE("parameters used inside a checkpoint get their gradients, also when shared outside") {
  Params<double> params({.seed = 3});
  const Dense<double> dense(params.scope() / "dense", {.units = 3, .activation = "tanh"});
  const Array<double> input = random_array<double>({2, 3}, 4);
  const auto both = [&](bool checkpointed) {
    Tape<double> tape;
    const V x = tape.input(input);
    const V once = dense(x);
    const V twice = checkpointed ? checkpoint([&](const V& u) { return dense(dense(u)); }, once)
                                 : dense(dense(once));
    return tape.backward(sum(square(twice)));
  };
  const auto plain = both(false);
  const auto replayed = both(true);
  CHECK(difference(plain[dense.kernel()].value(), replayed[dense.kernel()].value()) < 1e-15);
  CHECK(difference(plain[dense.bias()].value(), replayed[dense.bias()].value()) < 1e-15);
  // Without any tracked input the parameters still count.
  Tape<double> tape;
  const V y = checkpoint([&](const V& u) { return dense(u); }, tape.input(input));
  CHECK(tape.backward(sum(y)).contains(dense.kernel()));
}

TEST_CASE("dropout inside a checkpoint draws the same mask again") {
  Dropout<double> drop({.rate = 0.5});
  Tape<double> tape({.training = true, .seed = 5});
  const V x = tape.watch(Array<double>(Shape{1000}, 1.0));
  const V before = drop(x);
  const V y = checkpoint([&](const V& u) { return drop(drop(u)); }, x);
  const V after = drop(x);
  CHECK(tape.random_index() == 4);
  const auto g = tape.backward(sum(y + before * 0.0 + after * 0.0), {.retain = true});
  CHECK(difference(g[x].value(), y.value()) == 0);  // d(sum)/dx of a mask times x at x = 1
  CHECK(tape.random_index() == 4);
}

TEST_CASE("a captured tracked value is refused") {
  Tape<double> tape;
  const V x = tape.watch(V(1.0));
  const V hidden = exp(x);
  const std::string text = error_of<TapeError>(
      [&] { static_cast<void>(checkpoint([&](const V& u) { return u * hidden; }, x)); });
  CHECK(contains(text, "captured inside checkpoint"));
  CHECK(contains(text, "multiply"));
  // The tape works on as if nothing had happened.
  CHECK(tape.size() == 2);
  CHECK(tape.backward(hidden)[x].item() == Approx(std::exp(1.0)));
}

TEST_CASE("a replay reads the weights of the forward, also after a step in between") {
  for (const bool nested : {false, true}) {
    Params<double> params({.seed = 1});
    const Parameter<double> w = params.scope().reserve("w");
    w.build({}, initializers::Constant{.value = 2.0});
    const auto square_of = [=](const V& x) { return square(w.value_for(x) * x); };
    const auto part = [=](const V& x) {
      return nested ? checkpoint(square_of, x) * 1.0 : square_of(x);
    };
    Tape<double> tape;
    const V x = tape.watch(V(3.0));
    const V first = w.value_for(x) * 5.0;
    const V second = checkpoint(part, x);
    SGD<double>({.learning_rate = 0.1}).step(params, tape.backward(first, {.retain = true}));
    CHECK(w.value()() == Approx(1.5));
    const auto g = tape.backward(second, {.retain = true});
    CHECK(g[w].item() == Approx(2 * 2.0 * 9));  // 2 w x^2 at the weight of the forward
    CHECK(g[x].item() == Approx(2 * 4.0 * 3));
    const auto again = tape.backward(second, {.create_graph = true});
    CHECK(again[w].item() == Approx(2 * 2.0 * 9));
    // New operations read the new weight.
    CHECK(tape.backward(checkpoint(part, x))[w].item() == Approx(2 * 1.5 * 9));
  }
}

TEST_CASE("a recomputation that throws leaves a retained tape as it was") {
  Tape<double> tape;
  const V x = tape.watch(V(2.0));
  int calls = 0;
  const V y = checkpoint(
      [&calls](const V& v) {
        const V inner = exp(v);
        if (++calls == 2) throw std::runtime_error("no");
        return inner * v;
      },
      x);
  const auto size = tape.size();
  CHECK_THROWS_AS(tape.backward(y, {.retain = true}), std::runtime_error);
  CHECK(tape.size() == size);
  CHECK(tape.backward(y)[x].item() == Approx(3 * std::exp(2.0)));
}

TEST_CASE("a function that returns something else when it is computed again is refused") {
  int calls = 0;
  Tape<double> tape;
  const V x = tape.watch(random_array<double>({2, 3}, 1));
  const V y = checkpoint(
      [&](const V& u) {
        return ++calls == 1 ? tanh(u) : tanh(reshape(u, {3, 2}));
      },
      x);
  const std::string text = error_of<ShapeError>([&] { static_cast<void>(tape.backward(sum(y))); });
  CHECK(contains(text,
                 "checkpoint: computed again, it returned another shape: output 0 is (3, 2), "
                 "expected (2, 3)"));
  for (const int count : {0, 1, 2}) {
    const V z = tape.watch(random_array<double>({2}, 1));
    const auto outputs = record_fused(
        "twice", {Result<double>(Array<double>(z.value() * 2.0))},
        [](FusedBackward<double>& b) { b.add(0, Array<double>(*b.grad_output(0) * 2.0)); },
        [count](const V& u) { return std::vector<V>(static_cast<std::size_t>(count), u * 2.0); },
        z);
    const auto backward = [&] {
      static_cast<void>(tape.backward(sum(outputs[0]), {.create_graph = true}));
    };
    if (count == 1) {
      CHECK_NOTHROW(backward());
    } else {
      CHECK(contains(error_of<TapeError>(backward), "twice: computed again, it returned"));
    }
    tape.clear();
  }
}
