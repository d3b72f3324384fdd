// The number of threads changes no bit of a training step: neither losses, nor gradients, nor weights,
// and neither does running it again.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <bit>

using namespace xtape;
using namespace xtape::test;

namespace {

struct Case {
  const char* name;
  std::size_t batch, length, source, width;
  int heads;
  double dropout = 0;
  bool causal = false;
  bool padding = false;
};

// Every value a short training run shows, in order: losses, gradients, weights.
template <class T> std::vector<T> trace(const Case& c, std::size_t threads) {
  set_num_threads(threads);
  Params<T> params({.seed = 3});
  const MultiHeadAttention<T> attention(
      params.scope() / "attention",
      {.num_heads = c.heads, .key_dim = static_cast<int>(c.width) / c.heads, .dropout = c.dropout});
  const LayerNormalization<T> norm(params.scope() / "norm");
  const Dense<T> head(params.scope() / "head", {.units = 16});
  const Var<T> x(random_array<T>({c.batch, c.length, c.width}, 1));
  const Var<T> memory(random_array<T>({c.batch, c.source, c.width}, 2));
  const auto labels = [&] {
    Array<std::int64_t> ids(Shape{c.batch, c.length});
    std::int64_t i = 0;
    for (std::int64_t& id : ids) id = i++ * 7 % 16;
    return ids;
  }();
  typename MultiHeadAttention<T>::CallOptions call{.use_causal_mask = c.causal};
  if (c.padding) {
    std::vector<std::size_t> lengths(c.batch);
    for (std::size_t b = 0; b < c.batch; ++b) lengths[b] = c.source - b * c.source / (c.batch + 1);
    call.mask = Mask::padding(lengths, c.source);
  }
  Adam<T> adam;
  Tape<T> tape({.training = true, .seed = 5});
  std::vector<T> seen;
  const auto look = [&](const Array<T>& a) { seen.insert(seen.end(), a.begin(), a.end()); };
  for (int step = 0; step < 3; ++step) {
    const Var<T> query = tape.input(x);
    const Var<T> y = norm(query + attention(query, tape.input(memory), call));
    const Var<T> loss = sparse_categorical_crossentropy(head(y), labels, {.from_logits = true});
    const Gradients<T> gradients = tape.backward(loss);
    look(loss.value());
    for (const Parameter<T>& p : params.all()) look(gradients[p].value());
    adam.step(params, gradients);
  }
  for (const Parameter<T>& p : params.all()) look(p.value());
  return seen;
}

template <class T> void check(const Case& c) {
  INFO(c.name);
  const std::size_t before = num_threads();
  const std::vector<T> one = trace<T>(c, 1);
  REQUIRE(one.size() > 100);
  CHECK(one.front() != one.back());
  for (const std::size_t threads : {1U, 2U, 3U, 4U}) {
    INFO(threads << " threads");
    const std::vector<T> other = trace<T>(c, threads);
    std::size_t different = 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
      using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
      different += std::bit_cast<Bits>(one[i]) != std::bit_cast<Bits>(other[i]) ? 1 : 0;
    }
    CHECK(other.size() == one.size());
    CHECK(different == 0);
  }
  set_num_threads(before);
}

// Small problems, ones of several blocks of queries and keys, and extents that fill no block.
const Case kCases[] = {
    {"small", 4, 6, 6, 16, 4},
    {"small, causal", 8, 10, 10, 32, 4, 0, true},
    {"small, dropout", 8, 10, 10, 32, 4, 0.1, true},
    {"many samples", 33, 7, 9, 16, 2, 0, false, true},
    {"several blocks, causal", 2, 200, 200, 32, 4, 0, true},
    {"several blocks, dropout", 2, 150, 150, 32, 2, 0.2, true},
    {"several blocks, padding", 3, 130, 130, 32, 2, 0, true, true},
    {"one sample, longer source", 1, 97, 301, 64, 2},
};

}  // namespace

TEST_CASE("the number of threads changes no bit of training with attention, float", "[threads]") {
  for (const Case& c : kCases) check<float>(c);
}

TEST_CASE("the number of threads changes no bit of training with attention, double", "[threads]") {
  for (const Case& c : kCases) check<double>(c);
}
