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
