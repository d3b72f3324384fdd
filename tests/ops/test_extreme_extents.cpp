// Extents near 2^31, 2^32, 2^62, 2^63 and 2^64 - 1, in every operation, loss, layer and block of the tables and in
// every argument that is a count: a result, or an error of the library that names what was asked.

#include "base/sanitizers.hpp"
#include "support/catch.hpp"
#include "support/harness.hpp"

#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>
#include <set>

namespace {

// The machine of the test has this much memory.
constexpr std::size_t kMemory = std::size_t{1} << 28U;

void* take(std::size_t bytes, std::size_t alignment) {
  void* p = bytes > kMemory
                ? nullptr
                : std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

// The forms for arrays call these. Not inlined: g++ would see free() meet operator new.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return take(bytes, 16); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return take(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return bytes > kMemory ? nullptr : std::malloc(bytes + 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::size_t kMost = ~std::size_t{0};
constexpr std::size_t power(int n) { return std::size_t{1} << n; }
const std::vector<std::size_t> kHuge = {power(31) - 1, power(31), power(32),     power(32) + 1,
                                        power(59),     power(62), power(62) + 1, power(63) - 1,
                                        power(63),     kMost - 1, kMost};

std::size_t cases = 0, refusals = 0;

// A call that does not return is ended with its name.
char running[256];
void too_long(int) {
  const std::string text = std::string("does not return: ") + running + "\n";
  static_cast<void>(!write(2, text.data(), text.size()));
  _exit(1);
}
struct Clock {
  Clock() {
    std::signal(SIGALRM, too_long);
    alarm(60);
  }
} clock_of_tests;

struct Summary {
  ~Summary() {
    std::cout << "extreme extents: " << cases << " cases, " << refusals << " refused\n";
  }
} summary;

/// Runs f, which returns a Var or something with a shape. Only the library's own errors may pass, and a
/// result must have as many elements as its shape says.
template <class F> void run(const std::string& what, F f) {
  std::snprintf(running, sizeof running, "%s", what.c_str());
  ++cases;
  INFO(what);
  try {
    const auto y = f();
    CHECK(size_of(y.shape()) <= kMemory);
    CHECK(y.size() == size_of(y.shape()));
  } catch (const Error& e) {
    ++refusals;
    const std::string text = e.what();
    CHECK(text.size() < 2000);
    CHECK(contains(text, ": "));
  } catch (const std::exception& e) {
    FAIL_CHECK("another exception: " << e.what());
  }
}

/// Checks that f is refused, with both parts in the message.
template <class F> void refused_with(const std::string& part, const std::string& other, F f) {
  std::snprintf(running, sizeof running, "%s", part.c_str());
  ++cases;
  ++refusals;
  INFO(part);
  try {
    static_cast<void>(f());
    FAIL_CHECK("is not refused");
  } catch (const Error& e) {
    INFO(e.what());
    CHECK(contains(e.what(), part));
    CHECK(contains(e.what(), other));
  } catch (const std::exception& e) {
    FAIL_CHECK("another exception: " << e.what());
  }
}

/// Shapes with a huge extent on axis `at` and 0 on another. Only then can an operand have it.
Shapes stretched(Shapes shapes, std::size_t operand, std::size_t at, std::size_t zero,
                 std::size_t huge) {
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    if ((operand != kMost && k != operand) || shapes[k].size() <= std::max(at, zero)) continue;
    shapes[k][at] = huge;
    shapes[k][zero] = 0;
  }
  return shapes;
}

/// Whether the strides of an array with this extent and 0 overflow in xtensor, which the sanitizer stops at.
bool strides_overflow(std::size_t extent) {
  return detail::kAddressSanitizer && extent >= std::size_t{1} << 40U;
}

void drive(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    std::set<std::size_t> ranks;
    for (const Shapes& shapes : row.cases) {
      const std::size_t rank = shapes[0].size();
      if (rank < 2 || row.rejection(shapes) || !ranks.insert(rank).second) continue;
      for (std::size_t at = 0; at < rank; ++at) {
        for (std::size_t operand : {kMost, std::size_t{0}}) {
          for (const std::size_t huge : kHuge) {
            // Their tables take from the first axis, and make a mask of positions by positions.
            if (row.name == "embedding_lookup" && at != 0) continue;
            if (contains(row.name, "attention_mask")) continue;
            if (strides_overflow(huge)) continue;
            const Shapes wide = stretched(shapes, operand, at, at == 0 ? rank - 1 : 0, huge);
            run(describe(row, wide), [&] {
              Params<float> params;
              const Function<float> f = row.make(params);
              Tape<float> tape;
              Vars<float> x;
              for (const Shape& s : wide) x.push_back(tape.watch(Var<float>(Array<float>(s))));
              const Var<float> y = f(x);
              if (y.tracked()) tape.backward(y, {.seed = y.detach()});
              return y.value();
            });
          }
        }
      }
    }
  }
}

Var<float> ones_of(const Shape& shape) { return Var<float>(Array<float>(shape, 1.0F)); }
Tokens<float> some_ids(std::size_t n) { return Tokens<float>(Array<std::int64_t>(Shape{n}, 0)); }

template <class F> void for_each_huge(F f) {
  for (const std::size_t huge : kHuge) f(huge);
}

}  // namespace

TEST_CASE("operands with huge extents: operations") {
  drive(elementwise_rows());
  drive(activation_rows());
  drive(reduction_rows());
  drive(product_rows());
  drive(shape_rows());
  drive(indexing_rows());
  drive(neural_rows());
}
TEST_CASE("operands with huge extents: losses") {
  drive(loss_rows());
  drive(further_loss_rows());
}
TEST_CASE("operands with huge extents: layers and blocks") {
  drive(layer_rows());
  drive(block_rows());
}

TEST_CASE("small operands, huge results") {
  const std::size_t m = power(22), k = power(20);
  refused_with("where: too many elements", "(4194304, 4194304, 1048576)", [&] {
    return where(Array<bool>(Shape{m, 1, 1}, true), ones_of({1, m, 1}), ones_of({1, 1, k}));
  });
  refused_with("not enough memory: 17592186044416 elements of 4 bytes", "", [&] {
    return ones_of({m, 1}) + ones_of({1, m});
  });
  refused_with("not enough memory: 17592186044416 elements of 4 bytes", "",
               [&] { return outer(ones_of({m}), ones_of({m})); });
  refused_with("not enough memory: 17592186044416 elements of 4 bytes", "", [&] {
    return matmul(ones_of({m, 1}), ones_of({1, m}));
  });
  refused_with("not enough memory: 17592186044416 elements of 1 bytes", "", [&] {
    return logical_and(Array<bool>(Shape{m, 1}, true), Array<bool>(Shape{1, m}, true));
  });
}

TEST_CASE("huge extents as arguments of operations") {
  for_each_huge([](std::size_t n) {
    const std::string text = std::to_string(n);
    const std::string as_shape = "(" + text + ",)";
    const Var<float> two = ones_of({2});
    refused_with("", text, [&] { return broadcast_to(Var<float>(1.0F), Shape{n}); });
    refused_with("", "", [&] { return broadcast_to(Var<float>(1.0F), Shape{n, n}); });
    refused_with("reshape: ", text, [&] { return reshape(two, Shape{n}); });
    refused_with("reshape: ", text, [&] { return reshape(two, Shape{2, n, n}); });
    refused_with("", "", [&] { return one_hot(some_ids(4), n); });
    refused_with("", "", [&] { return pad(two, {{n, 0}}); });
    refused_with("", "", [&] { return pad(two, {{n, 2}}); });
    refused_with("", "", [&] { return pad(two, {{n, n}}); });
    refused_with("split: sizes do not add up", "", [&] {
      return split(two, std::vector<std::size_t>{n, kMost - n + 3});
    });
    refused_with("dropout: noise_shape", text,
                 [&] { return dropout(two, 0.5, {}, std::optional(Shape{n})); });
    refused_with("", "", [&] { return zeros<float>(Shape{n, 4}); });
    refused_with("", "", [&] { return ones<double>(Shape{n, n}); });
    refused_with("", "", [&] { return full<std::int64_t>(Shape{2, n}, 1); });
    refused_with("", "", [&] { return arange<double>(static_cast<double>(n)); });
    const auto far = static_cast<std::ptrdiff_t>(std::min<std::size_t>(n, power(63) - 1));
    for (const std::ptrdiff_t step : {far, -far, -far - 1}) {
      run("slice by " + std::to_string(step), [&] {
        const Var<float> three = ones_of({3});
        CHECK(slice(three, {Slice::range(-far, far, step)}).size() == (step > 0 ? 1 : 0));
        CHECK(slice(three, {Slice::range({}, -far - 1, step)}).size() == (step > 0 ? 0 : 1));
        return slice(three, {Slice::range({}, {}, step)}).value();
      });
    }
    refused_with("slice: position out of range", "", [&] { return slice(two, {Slice::at(far)}); });
    refused_with("take: position out of range", "",
                 [&] { return take(two, Array<std::int64_t>(Shape{1}, far)); });
    run("tril", [&] { return tril(ones_of({2, 2}), std::numeric_limits<int>::min()).value(); });
    run("triu", [&] { return triu(ones_of({2, 2}), std::numeric_limits<int>::max()).value(); });
    run("rotary", [&] { return rotary(ones_of({2, 3, 4}), 1, {.start = far}).value(); });
  });
}

TEST_CASE("huge extents as arguments of masks, positions and caches") {
  using detail::checked;
  for_each_huge([](std::size_t n) {
    const std::string text = std::to_string(n);
    const auto far = static_cast<std::ptrdiff_t>(std::min<std::size_t>(n, power(63) - 1));
    refused_with("", "", [&] { return Mask::padding(std::vector<std::size_t>{1, 1, 1, 1}, n); });
    refused_with("", "", [&] { return Mask::causal().evaluate("mha", Shape{1, 1, n, n}); });
    refused_with("", "", [&] {
      return Mask::sliding_window(3).evaluate("mha", Shape{1, 1, 4, n});
    });
    for (const std::ptrdiff_t offset : {far, -far - 1}) {
      const Array<bool> causal = Mask::causal(offset).evaluate("mha", Shape{1, 1, 3, 3});
      CHECK(causal(0, 0, 0, 2) == (offset > 0));
      const Array<bool> near = Mask::sliding_window(2, offset).evaluate("mha", Shape{1, 1, 3, 3});
      CHECK(!near(0, 0, 1, 1));
      const Array<bool> all = Mask::sliding_window(n).evaluate("mha", Shape{1, 1, 3, 3});
      CHECK(all(0, 0, 0, 2));
    }
    const Var<float> x = ones_of({2, 3, 4});
    refused_with("", "", [&] { return SinePositionEncoding<float>()(x, n); });
    Params<float> params;
    const PositionEmbedding<float> learned(params.scope() / "p", {.sequence_length = 6});
    refused_with("p: too many positions", text, [&] { return learned(x, n); });
    // A capacity that stands for no limit works.
    KeyValueCache<float> cache(n);
    for (int i = 0; i < 3; ++i) cache.append(ones_of({2, 1, 1, 2}), ones_of({2, 1, 1, 2}));
    cache.reorder(Array<std::int64_t>(Shape{3}, 1));
    cache.append(ones_of({3, 2000, 1, 2}), ones_of({3, 2000, 1, 2}));
    CHECK(cache.keys().shape() == Shape{3, 2003, 1, 2});
    if (strides_overflow(n)) return;
    run("KeyValueCache of no rows", [&] {
      KeyValueCache<float> none(n);
      const Var<float> rows{Array<float>(Shape{0, n, 1, 2})};
      none.append(rows, rows);
      none.append(rows, rows);
      return none.keys().value();
    });
  });
}

TEST_CASE("huge extents as options of layers") {
  using Signed = std::ptrdiff_t;
  const int most = std::numeric_limits<int>::max();
  for_each_huge([](std::size_t n) {
    Params<float> params;
    if (n > power(63) - 1) return;
    const auto units = static_cast<Signed>(n);
    const Dense<float> one(params.scope() / "one", {.units = units, .use_bias = false});
    refused_with("", "", [&] { return one(ones_of({1, 1})); });
    const Dense<float> square(params.scope() / "square", {.units = {units, units}});
    refused_with("", "", [&] { return square(ones_of({1, 1})); });
    CHECK(params.paths().size() == 3);
    for (const Parameter<float>& p : params.all()) CHECK(!p.built());
  });
  Params<float> params;
  const Embedding<float> table(params.scope() / "e", {.input_dim = most, .output_dim = most});
  refused_with("e/embeddings: too many elements", "(2147483647, 2147483647)",
               [&] { return table(some_ids(1)); });
  const PositionEmbedding<float> positions(params.scope() / "p", {.sequence_length = most});
  refused_with("not enough memory", "", [&] { return positions(ones_of({1, 4})); });
  using Mha = MultiHeadAttention<float>;
  const auto attend = [&](const char* name, Mha::Options options) {
    refused_with("", "", [&] {
      return Mha(params.scope() / name, options)(ones_of({1, 2, 4}), ones_of({1, 2, 4}));
    });
  };
  attend("heads", {.num_heads = most, .key_dim = most});
  attend("keys", {.num_heads = 65536, .key_dim = 65536});
  attend("values", {.num_heads = 1, .key_dim = 1, .value_dim = most});
  attend("output", {.num_heads = 1, .key_dim = 1, .output_shape = {most, most, most}});
  const FeedForward<float> wide(params.scope() / "ff", {.intermediate_dim = most});
  refused_with("not enough memory", "", [&] { return wide(ones_of({2, 4})); });
  const TransformerOptions<float> block{.hidden_dim = 4, .num_heads = 1, .intermediate_dim = most};
  const TransformerEncoder<float> encoder(params.scope() / "encoder", block);
  refused_with("not enough memory", "", [&] { return encoder(ones_of({1, 2, 4})); });
}

TEST_CASE("huge lengths of texts, widths of beams and batches") {
  Params<float> params({.seed = 1});
  const LanguageModel<float> model(params.scope(), {.vocabulary = 5,
                                                    .hidden_dim = 2,
                                                    .num_heads = 1,
                                                    .intermediate_dim = 1,
                                                    .layers = 1,
                                                    .positions = Positions::sine});
  const std::vector<std::vector<std::int64_t>> prompts{{2, 3}, {1}};
  for_each_huge([&](std::size_t n) {
    for (const bool cached : {true, false}) {
      // Five tokens are written, whatever the limit.
      const DecodingOptions options{
          .max_length = n,
          .on_token = [](const WrittenToken& w) { return w.position < 4; },
          .use_cache = cached};
      CHECK(greedy(model, prompts, options)[1].tokens.size() == 5);
      CHECK(sample(model, prompts, {.top_k = n}, options)[0].tokens.size() == 5);
      CHECK(beam_search(model, prompts, {.width = n, .n_best = 2},
                        {.max_length = 2, .use_cache = cached})[0]
                .size() == 2);
      cases += 3;
    }
    const BatchOrder order(7, {.batch_size = n, .bucket_window = 0});
    CHECK(order.epoch(0)[0].size() == 7);
  });
}
