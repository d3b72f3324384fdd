// The tape's large and parallel cases.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <cstring>
#include <thread>

using namespace xtape;
using namespace xtape::test;

TEST_CASE("a tape of a million nodes, without recursion") {
  Tape<float> tape;
  const Var<float> x = tape.watch(Var<float>(1.0F));
  Var<float> y = x;
  for (int i = 0; i < 1'000'000; ++i) y = -y;
  CHECK(tape.size() == 1'000'001);
  const auto g = tape.backward(y);
  CHECK(g[x].item() == 1.0F);
  CHECK(tape.size() == 0);
}

namespace {

// A few training steps; every bit of the weights at the end.
std::vector<float> trained(std::uint64_t seed) {
  Params<float> params({.seed = seed});
  const MultiHeadAttention<float> attention(params.scope() / "attention",
                                            {.num_heads = 2, .key_dim = 16, .dropout = 0.2});
  const Dense<float> head(params.scope() / "head", {.units = 5, .activation = "gelu"});
  Adam<float> adam;
  Tape<float> tape({.training = true, .seed = seed});
  const Array<float> x = random_array<float>({16, 12, 32}, seed);
  for (int i = 0; i < 10; ++i) {
    const Var<float> in = tape.input(x);
    const auto loss = mean(square(head(attention(in, in, {.use_causal_mask = true}))));
    adam.step(params, tape.backward(loss));
  }
  std::vector<float> bits;
  for (const auto& p : params.all()) {
    bits.insert(bits.end(), p.value().begin(), p.value().end());
  }
  return bits;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("two tapes on two threads give what they give one after the other", "[threads]") {
  const std::vector<float> one = trained(1);
  const std::vector<float> two = trained(2);
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::vector<float> first;
    std::vector<float> second;
    std::thread other([&] { second = trained(2); });
    first = trained(1);
    other.join();
    CHECK(same_bits(first, one));
    CHECK(same_bits(second, two));
  }
}

TEST_CASE("the number of threads changes no bit", "[threads]") {
  const std::size_t before = num_threads();
  set_num_threads(1);
  const std::vector<float> one = trained(3);
  for (const std::size_t n : {2U, 3U, 4U}) {
    set_num_threads(n);
    CHECK(num_threads() == n);
    CHECK(same_bits(trained(3), one));
  }
  set_num_threads(before);
  CHECK_THROWS_AS(set_num_threads(0), ValueError);
}

TEST_CASE("several threads share parameters for inference, and build them once", "[threads]") {
  Params<float> params({.seed = 4});
  const Dense<float> dense(params.scope() / "dense", {.units = 7});
  const Array<float> x = random_array<float>({3, 4}, 1);
  std::vector<Array<float>> results(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = dense(Var<float>(x)).value(); });
  }
  for (std::thread& t : threads) t.join();
  for (const Array<float>& r : results) CHECK(difference(r, results[0]) == 0);
}

TEST_CASE("a tape belongs to its thread", "[threads]") {
  Tape<double> tape;
  const Var<double> x = tape.watch(Var<double>(1.0));
  std::string op;
  std::string back;
  std::thread([&] {
    op = error_of<TapeError>([&] { static_cast<void>(exp(x)); });
    back = error_of<TapeError>([&] { static_cast<void>(tape.backward(x)); });
  }).join();
  CHECK(contains(op, "exp: wrong thread"));
  CHECK(contains(back, "wrong thread"));
  CHECK(tape.size() == 1);
}

TEST_CASE("a retained tape keeps the weights it was made with") {
  Params<double> params({.seed = 5});
  const auto w = params.scope().reserve("w");
  w.build({2}, "ones", {});
  Tape<double> tape;
  const Var<double> y = sum(square(w.value_for(tape.context())));
  SGD<double> sgd({.learning_rate = 0.25});
  const auto g = tape.backward(y, {.retain = true});
  sgd.step(params, g);
  CHECK(w.value()(0) == 0.5);
  // The old tape still differentiates at the old weights, and new operations use the new ones.
  CHECK(difference(tape.backward(y, {.retain = true})[w].value(), g[w].value()) == 0);
  CHECK(sum(w.value_for(tape.context())).item() == 1.0);
}
