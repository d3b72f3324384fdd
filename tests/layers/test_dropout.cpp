#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {
const Array<float> kOnes(Shape{20, 500}, 1.0F);

double mean_of(const Array<float>& a) {
  double sum = 0;
  for (const float v : a) sum += static_cast<double>(v);
  return sum / static_cast<double>(a.size());
}
}  // namespace

TEST_CASE("dropout while training: half are zero, the rest doubled") {
  const Dropout<float> drop({.rate = 0.5});
  Tape<float> tape({.training = true, .seed = 1});
  const Var<float> x = tape.input(kOnes);
  const Array<float> first = drop(x).value();
  CHECK(mean_of(first) == Approx(1.0).margin(0.02));
  for (const float v : first) CHECK((v == 0.0F || v == 2.0F));
  CHECK(tape.random_index() == 1);
  CHECK(difference(drop(x).value(), first) == 2.0);  // another mask at every call

  Tape<float> again({.training = true, .seed = 1});
  CHECK(difference(drop(again.input(kOnes)).value(), first) == 0);
  Tape<float> other({.training = true, .seed = 2});
  CHECK(difference(drop(other.input(kOnes)).value(), first) == 2.0);
}

TEST_CASE("otherwise it is the identity, and draws nothing") {
  const Dropout<float> drop({.rate = 0.5});
  CHECK(difference(drop(Var<float>(kOnes)).value(), kOnes) == 0);
  Tape<float> tape;
  const Var<float> x = tape.input(kOnes);
  CHECK(drop(x).data() == x.data());
  CHECK(tape.random_index() == 0);
  Tape<float> training({.training = true});
  const Var<float> y = training.input(kOnes);
  CHECK(drop(y, false).data() == y.data());
  CHECK(Dropout<float>({.rate = 0.0})(y).data() == y.data());
  CHECK(training.random_index() == 0);
  CHECK(mean_of(drop(x, true).value()) == Approx(1.0).margin(0.02));
}

TEST_CASE("rate 1 gives zeros, not NaN") {
  const Dropout<float> drop({.rate = 1.0});
  Tape<float> tape({.training = true});
  const Var<float> x = tape.watch(kOnes);
  const Var<float> y = drop(x);
  CHECK(mean_of(y.value()) == 0.0);
  CHECK(mean_of(tape.backward(sum(y))[x].value()) == 0.0);
}

TEST_CASE("noise_shape shares decisions") {
  const Dropout<float> drop({.rate = 0.5, .noise_shape = {-1, 1}});
  Tape<float> tape({.training = true, .seed = 3});
  const Array<float> y = drop(tape.input(kOnes)).value();
  bool differs = false;
  for (std::size_t r = 0; r < 20; ++r) {
    for (std::size_t c = 1; c < 500; ++c) CHECK(y(r, c) == y(r, 0));
    differs = differs || y(r, 0) != y(0, 0);
  }
  CHECK(differs);
}

TEST_CASE("a seed of its own") {
  const Dropout<float> drop({.rate = 0.5, .seed = 7});
  const Var<float> x(kOnes);
  const Array<float> first = drop(x, true).value();
  CHECK(difference(drop(x, true).value(), first) == 2.0);
  const Dropout<float> same({.rate = 0.5, .seed = 7});
  CHECK(difference(same(x, true).value(), first) == 0);
  // It replaces the tape's seed, not the tape's index.
  Tape<float> a({.training = true, .seed = 1});
  Tape<float> b({.training = true, .seed = 2});
  CHECK(difference(drop(a.input(kOnes)).value(), drop(b.input(kOnes)).value()) == 0);
}

TEST_CASE("a layer that moved goes on where it was") {
  const Var<float> x(kOnes);
  const Dropout<float> stays({.rate = 0.5, .seed = 3});
  Dropout<float> goes({.rate = 0.5, .seed = 3});
  CHECK(difference(stays(x, true).value(), goes(x, true).value()) == 0);
  const Dropout<float> moved(std::move(goes));
  CHECK(difference(stays(x, true).value(), moved(x, true).value()) == 0);
}

TEST_CASE("dropout refuses what does not fit") {
  for (const double rate : {-0.1, 1.1, std::nan("")}) {
    CHECK_THROWS_AS(Dropout<float>({.rate = rate}), ValueError);
  }
  CHECK_THROWS_AS(Dropout<float>({.rate = 0.5, .noise_shape = {0, 1}}), ValueError);
  const std::string no_tape = error_of<TapeError>([] {
    static_cast<void>(Dropout<float>({.rate = 0.5, .name = "enc/drop"})(Var<float>(kOnes), true));
  });
  CHECK(contains(no_tape, "enc/drop: training without a tape"));
  Tape<float> tape({.training = true});
  const Var<float> x = tape.input(kOnes);
  CHECK_THROWS_AS(Dropout<float>({.rate = 0.5, .noise_shape = {1}})(x), ShapeError);
  CHECK_THROWS_AS(Dropout<float>({.rate = 0.5, .noise_shape = {3, 1}})(x), ShapeError);
}
