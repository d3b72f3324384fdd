// Options beyond the documented example: gates, windows, shared key heads, rotary positions, biases,
// shapes; and identities of every attention.

#include "layers/attention/path.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using detail::AttentionPath;

namespace {

using Mha = MultiHeadAttention<double>;
using V = Var<double>;

GradcheckReport check(const Mha::Options& options, const Mha::CallOptions& call,
                      const std::vector<Array<double>>& inputs) {
  Params<double> params({.seed = 3});
  const Mha layer(params.scope() / "mha", options);
  return check_gradients(
      [&](const std::vector<V>& x) {
        Mha::CallOptions all = call;
        if (x.size() > 2) all.attention_bias = x[2];
        const auto [output, scores] = layer.with_scores(x[0], x[1], all);
        return sum(output, {-1}) + sum(square(scores));
      },
      inputs, {}, &params);
}

}  // namespace

TEST_CASE("every option passes the gradient checks, first and second order") {
  const auto q = random_array<double>({2, 3, 4}, 1);
  const auto v = random_array<double>({2, 5, 3}, 2);
  const auto expect = [&](const Mha::Options& o, const Mha::CallOptions& c = {}) {
    const auto report = check(o, c, {q, v});
    INFO(report.message);
    CHECK(report);
  };
  expect({.num_heads = 2, .key_dim = 2, .use_gate = true});
  expect({.num_heads = 2, .key_dim = 2, .sliding_window = 2});
  expect({.num_heads = 4, .key_dim = 2, .num_key_value_heads = 2});
  expect({.num_heads = 2, .key_dim = 4, .value_dim = 3, .num_key_value_heads = 1});
  expect({.num_heads = 2, .key_dim = 4, .rotary = RotaryOptions{}});
  expect({.num_heads = 2, .key_dim = 4, .rotary = RotaryOptions{.start = 3, .interleaved = true}});
  expect({.num_heads = 2, .key_dim = 2}, {.alibi_slopes = array<double>({2}, {0.5, 0.1})});
  expect({.num_heads = 2, .key_dim = 2}, {.mask = Mask::causal() & Mask::padding({5, 0}, 5)});
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 5}, Shape{2, 2, 3, 5}, Shape{1, 2, 1, 5}}) {
    const auto report =
        check({.num_heads = 2, .key_dim = 2}, {}, {q, v, random_array<double>(shape, 4)});
    INFO(report.message);
    CHECK(report);
  }
}

TEST_CASE("shared key heads are the same as keys repeated for every query head") {
  Params<double> params({.seed = 3});
  const Mha grouped(params.scope() / "g", {.num_heads = 4, .key_dim = 3, .num_key_value_heads = 2});
  const Mha plain(params.scope() / "p", {.num_heads = 4, .key_dim = 3});
  const V x(random_array<double>({2, 5, 6}, 1));
  grouped.build(x.shape(), x.shape());
  for (const auto& [path, value] : params.values()) {
    const bool shared =
        path.find("/key/") != std::string::npos || path.find("/value/") != std::string::npos;
    const int axis = static_cast<int>(value.dimension()) - 2;
    params.set(
        "p" + path.substr(1),
        shared ? take(V(value), array<std::int64_t>({4}, {0, 0, 1, 1}), axis).value() : value);
  }
  const auto a = grouped.with_scores(x, x, {.use_causal_mask = true});
  const auto b = plain.with_scores(x, x, {.use_causal_mask = true});
  CHECK(difference(a.output.value(), b.output.value()) < 1e-14);
  CHECK(difference(a.scores.value(), b.scores.value()) < 1e-14);
}

TEST_CASE("rotary products depend on the distance of positions alone") {
  const V q(random_array<double>({1, 1, 1, 8}, 1));
  const V k(random_array<double>({1, 1, 1, 8}, 2));
  for (const bool interleaved : {false, true}) {
    const auto product = [&](std::ptrdiff_t at, std::ptrdiff_t other) {
      const RotaryOptions first{.start = at, .interleaved = interleaved};
      const RotaryOptions second{.start = other, .interleaved = interleaved};
      return sum(rotary(q, 1, first) * rotary(k, 1, second)).item();
    };
    CHECK(product(7, 3) == Approx(product(104, 100)).epsilon(1e-12));
    CHECK(product(5, 5) == Approx(sum(q * k).item()).epsilon(1e-12));
    CHECK(std::abs(product(7, 3) - product(7, 4)) > 1e-6);
  }
  // Angle 1 for the first pair at position 1: (cos 1, sin 1).
  const V e(array<double>({1, 2, 2}, {1, 0, 1, 0}));
  const Array<double> turned = rotary(e, 1).value();
  CHECK(turned(0, 0, 0) == 1.0);
  CHECK(turned(0, 1, 0) == Approx(std::cos(1.0)));
  CHECK(turned(0, 1, 1) == Approx(std::sin(1.0)));
  CHECK_THROWS_AS(rotary(V(random_array<double>({2, 3}, 1)), 0), ShapeError);
  CHECK_THROWS_AS(rotary(e, 2), ShapeError);
  CHECK_THROWS_AS(rotary(e, 1, {.max_wavelength = 0}), ValueError);
}

TEST_CASE("shapes are known without computing, also where the batch is not") {
  Params<double> params;
  const Mha cross(params.scope() / "a", {.num_heads = 2, .key_dim = 2});
  using P = Mha::PartialShape;
  CHECK(cross.compute_output_shape({-1, 8, 16}, {-1, 4, 16}) == P{-1, 8, 16});
  CHECK(cross.compute_scores_shape({-1, 8, 16}, {-1, 4, 16}) == P{-1, 2, 8, 4});
  const Mha image(params.scope() / "b", {.num_heads = 2, .key_dim = 2, .attention_axes = {2, 3}});
  CHECK(image.compute_output_shape({-1, 5, 3, 4, 16}, {-1, 5, 3, 4, 16}) == P{-1, 5, 3, 4, 16});
  CHECK(image.compute_scores_shape({-1, 5, 3, 4, 16}, {-1, 5, 3, 4, 16}) ==
        P{-1, 5, 2, 3, 4, 3, 4});
  const Mha wide(params.scope() / "c", {.num_heads = 2, .key_dim = 2, .output_shape = {7, 2}});
  CHECK(wide.compute_output_shape({-1, -1, 16}, {-1, -1, 9}) == P{-1, -1, 7, 2});
  CHECK_THROWS_AS(wide.compute_output_shape({-1, 16}, {-1, 16}), ShapeError);
  CHECK_THROWS_AS(image.compute_output_shape({-1, 5, 3, 4, 16}, {-1, 6, 3, 4, 16}), ShapeError);
  CHECK(params.count() == 0);
  const Array<bool> mask(Shape{2, 3}, true);
  CHECK(cross.compute_mask(mask).has_value());
  CHECK_FALSE(cross.compute_mask({}).has_value());
}

TEST_CASE("masked positions may hold NaN or infinity, forward and backward") {
  Params<double> params({.seed = 3});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 3, .use_gate = true});
  const Array<double> clean_q = random_array<double>({2, 3, 4}, 1);
  const Array<double> clean_v = random_array<double>({2, 4, 4}, 2);
  Array<double> q = clean_q;
  Array<double> v = clean_v;
  for (std::size_t i = 0; i < 4; ++i) {
    v(0, 3, i) = std::nan("");
    v(1, 0, i) = HUGE_VAL;
    q(1, 2, i) = std::nan("");
  }
  const Array<bool> keys = [] {
    Array<bool> a(Shape{2, 4}, true);
    a(0, 3) = a(1, 0) = false;
    return a;
  }();
  const Array<bool> queries = [] {
    Array<bool> a(Shape{2, 3}, true);
    a(1, 2) = false;
    return a;
  }();
  const auto run = [&](const Array<double>& qa, const Array<double>& va) {
    Tape<double> tape;
    const V x = tape.watch(qa);
    const V m = tape.watch(va);
    const V y = layer(x, m, {.mask = Mask::padding(keys) & Mask::queries(queries)});
    auto g = tape.backward(sum(square(y)));
    return std::tuple{y.value(),
                      g[x].value(),
                      g[m].value(),
                      g.at("mha/key/kernel").value(),
                      g.at("mha/query/kernel").value(),
                      g.at("mha/value/kernel").value()};
  };
  // Where the query is masked the gate still reads it, so zeros stand in for what it holds.
  Array<double> zero_q = clean_q;
  for (std::size_t i = 0; i < 4; ++i) zero_q(1, 2, i) = 0;
  const auto expected = run(zero_q, clean_v);
  const auto got = run(q, v);
  CHECK(difference(std::get<0>(got), std::get<0>(expected)) == 0);
  CHECK(difference(std::get<1>(got), std::get<1>(expected)) == 0);
  CHECK(difference(std::get<2>(got), std::get<2>(expected)) == 0);
  CHECK(difference(std::get<3>(got), std::get<3>(expected)) < 1e-15);
  CHECK(difference(std::get<4>(got), std::get<4>(expected)) < 1e-15);
  CHECK(difference(std::get<5>(got), std::get<5>(expected)) < 1e-15);
}

TEST_CASE("a NaN in the future is not seen before it") {
  Params<double> params({.seed = 3});
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 3});
  const Array<double> clean = random_array<double>({1, 5, 4}, 1);
  Array<double> x = clean;
  for (std::size_t i = 0; i < 4; ++i) x(0, 3, i) = std::nan("");
  const Array<double> a = layer(V(clean), V(clean), {.use_causal_mask = true}).value();
  const Array<double> b = layer(V(x), V(x), {.use_causal_mask = true}).value();
  for (std::size_t t = 0; t < 5; ++t) {
    for (std::size_t i = 0; i < 4; ++i) {
      if (t < 3) {
        CHECK(a(0, t, i) == b(0, t, i));
      } else {
        CHECK(std::isnan(b(0, t, i)));
      }
    }
  }
  // The last output is NaN and attends to all positions, so no gradient of theirs is a number.
  Tape<double> tape;
  const V v = tape.watch(V(x));
  const auto g = tape.backward(sum(layer(v, v, {.use_causal_mask = true})));
  for (const double slope : g[v].value()) CHECK(std::isnan(slope));
}

TEMPLATE_TEST_CASE("a changed position changes no output before it, bit for bit", "", float,
                   double) {
  using T = TestType;
  using Layer = MultiHeadAttention<T>;
  const typename Layer::Options all[] = {
      {.num_heads = 2, .key_dim = 3},
      {.num_heads = 2, .key_dim = 4, .dropout = 0.3, .use_gate = true, .sliding_window = 5},
      {.num_heads = 4, .key_dim = 4, .num_key_value_heads = 2, .rotary = RotaryOptions{}}};
  const auto run = [](const Layer& layer, const Array<T>& x) {
    Tape<T> tape({.training = true, .seed = 4});
    const Var<T> v = tape.input(x);
    return layer(v, v, {.use_causal_mask = true}).value();
  };
  for (const auto path : {AttentionPath::composed, AttentionPath::fused}) {
    const detail::ForcedAttentionPath forced(path);
    for (const auto& options : all) {
      Params<T> params({.seed = 3});
      const Layer layer(params.scope() / "mha", options);
      for (const std::size_t length : {6U, 150U}) {
        const Array<T> x = random_array<T>({2, length, 4}, 1);
        const Array<T> before = run(layer, x);
        for (const std::size_t t : {std::size_t{1}, length / 2, length - 1}) {
          Array<T> changed = x;
          for (std::size_t i = 0; i < 4; ++i) changed(1, t, i) += T(100);
          const Array<T> after = run(layer, changed);
          // The other sequence, and this one up to t.
          const std::size_t same = (length + t) * 4;
          CHECK(std::equal(after.data(), after.data() + same, before.data()));
          CHECK(!std::equal(after.data() + same, after.data() + same + 4, before.data() + same));
        }
      }
    }
  }
}

TEST_CASE("bad options and operands of the further arguments") {
  Params<double> params;
  const auto make = [&](Mha::Options o) {
    return error_of<ValueError>([&] { Mha(params.scope() / "bad", std::move(o)); });
  };
  CHECK(contains(make({.num_heads = 2, .key_dim = 2, .sliding_window = 0}), "bad: sliding_window"));
  CHECK(contains(make({.num_heads = 3, .key_dim = 2, .num_key_value_heads = 2}), "divisible"));
  CHECK(contains(make({.num_heads = 3, .key_dim = 2, .num_key_value_heads = 0}),
                 "num_key_value_heads"));
  CHECK(contains(make({.num_heads = 2, .key_dim = 3, .rotary = RotaryOptions{}}), "even"));
  CHECK(params.paths().empty());
  const Mha layer(params.scope() / "mha", {.num_heads = 2, .key_dim = 2});
  const V q(random_array<double>({2, 3, 4}, 1));
  const V image(random_array<double>({2, 3, 3, 4}, 1));
  const auto refuse = [&](const V& x, const Mha::CallOptions& call, const std::string& part) {
    const std::string text = error_of<ShapeError>([&] { static_cast<void>(layer(x, x, call)); });
    INFO(text);
    CHECK(contains(text, "mha: "));
    CHECK(contains(text, part));
  };
  refuse(q, {.attention_bias = V(random_array<double>({3, 4}, 1))}, "attention_bias is (3, 4)");
  refuse(q, {.attention_bias = V(random_array<double>({3}, 1))}, "attention_bias is (3,)");
  refuse(q, {.alibi_slopes = array<double>({3}, {1, 2, 3})}, "alibi_slopes");
  refuse(q, {.mask = Mask::padding({1, 1}, 4)}, "padding mask");
  refuse(image, {.mask = Mask::causal()}, "one attention axis");
  refuse(image, {.alibi_slopes = array<double>({2}, {1, 2})}, "alibi_slopes");
  KeyValueCache<double> cache(4);
  refuse(image, {.cache = &cache}, "rank 3");
  CHECK(params.count() == 0);
  CHECK(cache.length() == 0);
  const Mha window((params.scope() / "mha").reuse(),
                   {.num_heads = 2, .key_dim = 2, .sliding_window = 2});
  CHECK_THROWS_AS(window(image, image), ShapeError);
}

TEST_CASE("penalties and constraints reach all four projections") {
  Params<double> params({.seed = 3});
  const Mha layer(params.scope() / "mha", {.num_heads = 2,
                                           .key_dim = 3,
                                           .kernel_regularizer = regularizers::L2{.l2 = 0.1},
                                           .activity_regularizer = regularizers::L2{.l2 = 0.01},
                                           .kernel_constraint = "non_neg"});
  Tape<double> tape;
  const V x = tape.input(random_array<double>({2, 5, 4}, 1));
  const V y = layer(x, x);
  CHECK_THROWS_AS(tape.backward(sum(y)), TapeError);
  const auto squares = [](const Array<double>& a) { return sum(square(V(a))).item(); };
  double expected = 0;
  for (const char* name : {"query", "key", "value", "attention_output"}) {
    expected += 0.1 * squares(params.at(std::string("mha/") + name + "/kernel").value());
  }
  for (const char* name : {"query", "key", "value"}) {
    const V kernel(params.at(std::string("mha/") + name + "/kernel").value());
    expected += 0.01 * squares(einsum("abc,cde->abde", V(x.value()), kernel).value()) / 2;
  }
  expected += 0.01 * squares(y.value()) / 2;
  const V total = tape.penalties(params);
  CHECK(total.item() == Approx(expected).epsilon(1e-12));
  SGD<double> sgd({.learning_rate = 0.1});
  sgd.step(params, tape.backward(sum(y) + total));
  for (const char* name : {"query", "key", "value", "attention_output"}) {
    const Array<double> kernel = params.at(std::string("mha/") + name + "/kernel").value();
    for (const double w : kernel) CHECK(w >= 0);
  }
}
