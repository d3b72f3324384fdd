// Misuse of operations: the typed error, its text (which operation, the shapes, the rule, often the
// remedy), and a tape left as it was.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;
using Vs = std::vector<V>;
using Ids = Array<std::int64_t>;

struct Misuse {
  const char* what;
  std::vector<Shape> shapes;
  std::function<void(const Vs&)> call;
  std::vector<const char*> parts;
};

template <class E>
void refuse(const std::vector<Misuse>& all) {
  for (const Misuse& m : all) {
    INFO(m.what);
    Tape<double> tape;
    Vs x;
    for (const Shape& s : m.shapes) x.push_back(tape.watch(V(random_array<double>(s, 1, 0.1, 1))));
    const std::size_t before = tape.size();
    std::string text;
    try {
      m.call(x);
    } catch (const E& e) {
      text = e.what();
    }
    INFO("it says: " << text);
    CHECK(!text.empty());
    for (const char* part : m.parts) {
      INFO("expected part: " << part);
      CHECK(contains(text, part));
    }
    CHECK(tape.size() == before);
  }
}

const Shape s23{2, 3};
const Shape s24{2, 4};
const Shape s3{3};
const Shape scalar{};

Ids ids_of(std::initializer_list<std::int64_t> values) { return array<std::int64_t>(Shape{values.size()}, values); }

// Not inlined: with the extents known, g++ 12 warns about the unused rest of xtensor's short vector.
[[gnu::noinline]] Array<bool> all_true(const Shape& shape) { return detail::full<bool>(shape, true); }

template <class F>
Misuse broadcast_error(const char* op, F f) {
  return {op, {s23, s24}, [f](const Vs& x) { static_cast<void>(f(x)); },
          {op, "shapes do not broadcast", "(2, 3)", "(2, 4)", "expected equal sizes or 1", "axis -1", "reshape"}};
}

template <class F>
void axis_errors(const char* op, F f) {
  refuse<ShapeError>({
      {op, {s23}, [f](const Vs& x) { f(x[0], 2); }, {op, "axis out of range", "axis is 2", "-2 to 1", "rank 2"}},
      {op, {s23}, [f](const Vs& x) { f(x[0], -3); }, {op, "axis out of range", "axis is -3"}},
      {op, {scalar}, [f](const Vs& x) { f(x[0], 0); }, {op, "axis out of range", "rank 0"}},
  });
}

template <class F>
void repeated_axis_errors(const char* op, F f) {
  refuse<ShapeError>({{op, {s23}, [f](const Vs& x) { f(x[0], Axes{0, -2}); }, {op, "axis repeated", "distinct", "once"}}});
}

}  // namespace

TEST_CASE("elementwise operations refuse shapes that do not broadcast") {
  refuse<ShapeError>({
      broadcast_error("add", [](const Vs& x) { return x[0] + x[1]; }),
      broadcast_error("subtract", [](const Vs& x) { return x[0] - x[1]; }),
      broadcast_error("multiply", [](const Vs& x) { return x[0] * x[1]; }),
      broadcast_error("divide", [](const Vs& x) { return x[0] / x[1]; }),
      broadcast_error("pow", [](const Vs& x) { return pow(x[0], x[1]); }),
      broadcast_error("maximum", [](const Vs& x) { return maximum(x[0], x[1]); }),
      broadcast_error("minimum", [](const Vs& x) { return minimum(x[0], x[1]); }),
      broadcast_error("where", [](const Vs& x) { return where(Array<bool>(true), x[0], x[1]); }),
      broadcast_error("less", [](const Vs& x) { return less(x[0], x[1]); }),
      broadcast_error("less_equal", [](const Vs& x) { return less_equal(x[0], x[1]); }),
      broadcast_error("less", [](const Vs& x) { return greater(x[1], x[0]); }),
      broadcast_error("less_equal", [](const Vs& x) { return greater_equal(x[1], x[0]); }),
      broadcast_error("equal", [](const Vs& x) { return equal(x[0], x[1]); }),
      {"a condition that does not fit", {s23},
       [](const Vs& x) { where(all_true(Shape{4}), x[0], V(0.0)); },
       {"where", "(4,)", "(2, 3)", "do not broadcast"}},
      {"an expression that does not fit", {s23},
       [](const Vs& x) { static_cast<void>(x[0] + random_array<double>(Shape{4}, 1)); },
       {"add", "(4,)", "(2, 3)"}},
      {"rank too large", {Shape{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}, Shape{2}},
       [](const Vs& x) { static_cast<void>(x[0] + x[1]); },
       {"add", "rank too large", "17", "at most 16"}},
  });
  refuse<ValueError>({{"clip", {s3}, [](const Vs& x) { clip(x[0], 1, 0); },
                       {"clip", "limits out of order", "low is 1", "high is 0", "low <= high"}},
                      {"clip by NaN", {s3}, [](const Vs& x) { clip(x[0], std::nan(""), 0); }, {"clip"}}});
}

TEST_CASE("activations refuse options out of range") {
  refuse<ValueError>({
      {"relu", {s3}, [](const Vs& x) { relu(x[0], {.negative_slope = -1}); },
       {"relu: ", "negative_slope is -1", "expected both >= 0"}},
      {"relu", {s3}, [](const Vs& x) { relu(x[0], {.max_value = -2}); }, {"relu: ", "max_value is -2"}},
      {"leaky_relu", {s3}, [](const Vs& x) { leaky_relu(x[0], -0.5); },
       {"leaky_relu: ", "negative_slope is -0.5", "expected >= 0"}},
      {"celu", {s3}, [](const Vs& x) { celu(x[0], 0); }, {"celu: ", "alpha is 0", "expected > 0"}},
      {"hard_shrink", {s3}, [](const Vs& x) { hard_shrink(x[0], -1); }, {"hard_shrink: ", "threshold is -1", ">= 0"}},
      {"soft_shrink", {s3}, [](const Vs& x) { soft_shrink(x[0], -1); }, {"soft_shrink: ", "threshold is -1", ">= 0"}},
      {"squareplus", {s3}, [](const Vs& x) { squareplus(x[0], -1); }, {"squareplus: ", "b is -1", ">= 0"}},
      {"a name", {s3}, [](const Vs& x) { Activation<double>("reul")(x[0]); },
       {"unknown name", "'reul'", "relu leaky_relu", "sparsemax"}},
  });
  axis_errors("glu", [](const V& x, int axis) { glu(x, axis); });
  axis_errors("sparsemax", [](const V& x, int axis) { sparsemax(x, axis); });
  refuse<ShapeError>({
      {"glu", {s23}, [](const Vs& x) { glu(x[0]); }, {"glu: ", "not even", "(2, 3)", "axis -1", "pad"}},
      {"sparsemax", {Shape{2, 0}}, [](const Vs& x) { sparsemax(x[0]); }, {"sparsemax: ", "empty axis", "(2, 0)"}},
  });
}

TEST_CASE("reductions refuse bad axes and nothing to reduce") {
  const auto both = [](const char* op, auto f) {
    axis_errors(op, [f](const V& x, int axis) { f(x, Axes{axis}); });
    repeated_axis_errors(op, f);
  };
  both("sum", [](const V& x, const Axes& a) { sum(x, a); });
  both("mean", [](const V& x, const Axes& a) { mean(x, a); });
  both("variance", [](const V& x, const Axes& a) { variance(x, a); });
  both("max", [](const V& x, const Axes& a) { max(x, a); });
  both("min", [](const V& x, const Axes& a) { min(x, a); });
  both("logsumexp", [](const V& x, const Axes& a) { logsumexp(x, a); });
  both("norm", [](const V& x, const Axes& a) { norm(x, a); });
  axis_errors("argmax", [](const V& x, int a) { argmax(x, a); });
  axis_errors("argmin", [](const V& x, int a) { argmin(x, a); });
  const auto empty = [](const char* op, auto f) {
    refuse<ShapeError>({{op, {Shape{2, 0}}, [f](const Vs& x) { f(x[0]); },
                         {op, "nothing to reduce", "(2, 0)", "at least one element"}}});
  };
  empty("mean", [](const V& x) { mean(x); });
  empty("variance", [](const V& x) { variance(x); });
  empty("max", [](const V& x) { max(x); });
  empty("min", [](const V& x) { min(x, {1}); });
  empty("logsumexp", [](const V& x) { logsumexp(x, {-1}); });
  refuse<ShapeError>({
      {"argmax", {Shape{2, 0}}, [](const Vs& x) { argmax(x[0]); }, {"argmax: empty axis", "(2, 0)", "axis -1"}},
      {"argmin", {Shape{0, 2}}, [](const Vs& x) { argmin(x[0], 0); }, {"argmin: empty axis", "(0, 2)", "axis 0"}},
  });
}

TEST_CASE("products refuse extents that do not agree") {
  refuse<ShapeError>({
      {"matmul", {s23, Shape{4, 5}}, [](const Vs& x) { matmul(x[0], x[1]); },
       {"matmul: ", "(2, 3)", "(4, 5)", "as many columns on the left as rows on the right", "3 and 4", "transpose"}},
      {"matmul, transposed", {s23, s23}, [](const Vs& x) { matmul(x[0], x[1], {.transpose_a = true, .transpose_b = true}); },
       {"matmul: ", "(2, 3) (transposed)", "2 and 3"}},
      {"matmul, batch", {Shape{2, 2, 3}, Shape{3, 3, 2}}, [](const Vs& x) { matmul(x[0], x[1]); },
       {"matmul: ", "(2, 2, 3)", "(3, 3, 2)", "2 and 3"}},
      {"matmul, scalar", {scalar, s23}, [](const Vs& x) { matmul(x[0], x[1]); },
       {"matmul: ", "not a matrix", "()", "(2, 3)", "use * for scalars"}},
      {"einsum", {s23, s24}, [](const Vs& x) { einsum("ab,ab->", x[0], x[1]); },
       {"einsum: ", "(2, 3)", "(2, 4)", "'b'", "3 and 4", "ab,ab->"}},
      {"einsum, rank", {s23, s3}, [](const Vs& x) { einsum("ab,bc->ac", x[0], x[1]); }, {"einsum: ", "(3,)"}},
      {"dot", {s3, Shape{4}}, [](const Vs& x) { dot(x[0], x[1]); }, {"dot: ", "(3,)", "(4,)", "one length"}},
      {"dot", {s23, s3}, [](const Vs& x) { dot(x[0], x[1]); }, {"dot: ", "not vectors", "(2, 3)", "rank 1", "matmul()"}},
      {"outer", {s23, s3}, [](const Vs& x) { outer(x[0], x[1]); }, {"outer: ", "not vectors", "(2, 3)", "(3,)"}},
  });
  std::vector<Misuse> malformed;
  for (const char* equation : {"ab,bc", "ab->ab", "ab,bc,cd->ad", "aab,bc->ac", "ab,bc->aa", "a1,bc->ac", "ab,bc->ad",
                               "a.b,bc->ac", "", "->", "ab->,bc"}) {
    malformed.push_back({equation, {s23, Shape{3, 2}}, [equation](const Vs& x) { einsum(equation, x[0], x[1]); },
                         {"einsum: malformed equation", equation, "ab,bc->ac"}});
  }
  refuse<ValueError>(malformed);
}

TEST_CASE("operations on shapes refuse what does not fit") {
  refuse<ShapeError>({
      {"reshape", {s23}, [](const Vs& x) { reshape(x[0], Shape{4}); }, {"reshape: ", "(2, 3)", "6 elements", "4 elements", "(4,)"}},
      {"reshape, -1", {s23}, [](const Vs& x) { reshape(x[0], {4, -1}); }, {"reshape: ", "(2, 3)", "multiple of 4"}},
      {"reshape, two -1", {s23}, [](const Vs& x) { reshape(x[0], {-1, -1}); }, {"reshape: ", "-1 at most once"}},
      {"reshape, -2", {s23}, [](const Vs& x) { reshape(x[0], {-2}); }, {"reshape: ", "extent is -2"}},
      {"reshape, -1 of 0", {Shape{0}}, [](const Vs& x) { reshape(x[0], {0, -1}); }, {"reshape: ", "(0,)"}},
      {"transpose", {s23}, [](const Vs& x) { transpose(x[0], {1}); }, {"transpose: ", "(2, 3)", "each of its 2 axes once"}},
      {"squeeze", {s23}, [](const Vs& x) { squeeze(x[0], {0}); }, {"squeeze: ", "(2, 3)", "extent 1", "axis 0"}},
      {"broadcast_to", {s23}, [](const Vs& x) { broadcast_to(x[0], Shape{2, 4}); }, {"broadcast_to: ", "(2, 3)", "(2, 4)", "reshape"}},
      {"broadcast_to, fewer", {s23}, [](const Vs& x) { broadcast_to(x[0], Shape{3}); }, {"broadcast_to: ", "(2, 3)", "(3,)"}},
      {"concatenate", {s23, s24}, [](const Vs& x) { concatenate(x, 0); }, {"concatenate: ", "(2, 4)", "(2, 3)", "axes but 0"}},
      {"concatenate, ranks", {s23, s3}, [](const Vs& x) { concatenate(x, 0); }, {"concatenate: ", "(3,)", "(2, 3)"}},
      {"stack", {s23, s24}, [](const Vs& x) { stack(x, 0); }, {"stack: ", "(2, 4)", "(2, 3)"}},
      {"split", {s23}, [](const Vs& x) { split(x[0], 2, 1); }, {"split: ", "(2, 3)", "axis 1", "2 equal parts"}},
      {"split, none", {s23}, [](const Vs& x) { split(x[0], 0, 1); }, {"split: ", "0 equal parts"}},
      {"split, sizes", {s23}, [](const Vs& x) { split(x[0], std::vector<std::size_t>{1, 1}, 1); }, {"split: ", "(2, 3)", "3 on axis 1", "make 2"}},
      {"slice, too many", {s3}, [](const Vs& x) { slice(x[0], {Slice::all(), Slice::all()}); }, {"slice: ", "(3,)", "at most 1"}},
      {"slice, ellipses", {s23}, [](const Vs& x) { slice(x[0], {Slice::ellipsis(), Slice::ellipsis()}); }, {"slice: ", "2 ellipses", "one ellipsis"}},
      {"slice, position", {s23}, [](const Vs& x) { slice(x[0], {Slice::at(2)}); }, {"slice: ", "position is 2", "-2 to 1", "axis 0", "(2, 3)"}},
      {"slice, position", {s23}, [](const Vs& x) { slice(x[0], {Slice::all(), Slice::at(-4)}); }, {"slice: ", "position is -4", "-3 to 2"}},
      {"pad", {s23}, [](const Vs& x) { pad(x[0], {{1, 1}}); }, {"pad: ", "1 pairs", "(2, 3)", "2 axes"}},
      {"tril", {s3}, [](const Vs& x) { tril(x[0]); }, {"tril: ", "(3,)", "at least two axes"}},
      {"triu", {scalar}, [](const Vs& x) { triu(x[0]); }, {"triu: ", "()", "at least two axes"}},
  });
  refuse<ValueError>({
      {"concatenate nothing", {}, [](const Vs& x) { concatenate(x, 0); }, {"concatenate: ", "at least one"}},
      {"stack nothing", {}, [](const Vs& x) { stack(x, 0); }, {"stack: ", "at least one"}},
      {"slice, step", {s3}, [](const Vs& x) { slice(x[0], {Slice::range({}, {}, 0)}); }, {"slice: ", "step is 0"}},
  });
  axis_errors("transpose", [](const V& x, int a) { transpose(x, {a, 0}); });
  repeated_axis_errors("transpose", [](const V& x, const Axes& a) { transpose(x, a); });
  axis_errors("squeeze", [](const V& x, int a) { squeeze(x, {a}); });
  axis_errors("flip", [](const V& x, int a) { flip(x, {a}); });
  repeated_axis_errors("flip", [](const V& x, const Axes& a) { flip(x, a); });
  axis_errors("cumsum", [](const V& x, int a) { cumsum(x, a); });
  axis_errors("concatenate", [](const V& x, int a) { concatenate(Vs{x, x}, a); });
  axis_errors("split", [](const V& x, int a) { split(x, 1, a); });
  refuse<ShapeError>({
      {"expand_dims", {s23}, [](const Vs& x) { expand_dims(x[0], 3); }, {"expand_dims: ", "axis is 3", "-3 to 2"}},
      {"stack", {s23, s23}, [](const Vs& x) { stack(x, 4); }, {"stack: ", "axis is 4", "-3 to 2"}},
  });
}

TEST_CASE("picking refuses positions out of range") {
  refuse<ValueError>({
      {"take", {s23}, [](const Vs& x) { take(x[0], ids_of({0, 2}), 0); }, {"take: ", "element 1", "is 2", "-2 to 1"}},
      {"take", {s23}, [](const Vs& x) { take(x[0], ids_of({-4}), 1); }, {"take: ", "is -4", "-3 to 2"}},
      {"take of nothing", {Shape{0}}, [](const Vs& x) { take(x[0], ids_of({0})); }, {"take: ", "is 0"}},
      {"take_along_axis", {s23}, [](const Vs& x) { take_along_axis(x[0], array<std::int64_t>(Shape{2, 1}, {0, 3})); },
       {"take_along_axis: ", "is 3", "(2, 1)"}},
      {"embedding_lookup", {s23}, [](const Vs& x) { embedding_lookup(x[0], Tokens<double>(ids_of({-1}))); },
       {"embedding_lookup: ", "is -1", "0 to 1"}},
      {"one_hot", {}, [](const Vs&) { one_hot(Tokens<double>(ids_of({3})), 3); }, {"one_hot: ", "is 3", "0 to 2"}},
  });
  refuse<ShapeError>({
      {"take_along_axis", {s23}, [](const Vs& x) { take_along_axis(x[0], array<std::int64_t>(Shape{3, 1}, {0, 0, 0})); },
       {"take_along_axis: ", "(3, 1)", "(2, 3)", "axes but -1"}},
      {"take_along_axis, rank", {s23}, [](const Vs& x) { take_along_axis(x[0], ids_of({0})); }, {"take_along_axis: ", "(1,)", "(2, 3)"}},
      {"embedding_lookup", {s3}, [](const Vs& x) { embedding_lookup(x[0], Tokens<double>(ids_of({0}))); },
       {"embedding_lookup: ", "(3,)", "(vocabulary, width)"}},
  });
  axis_errors("take", [](const V& x, int a) { take(x, ids_of({0}), a); });
  axis_errors("take_along_axis", [](const V& x, int a) { take_along_axis(x, ids_of({0}), a); });
}

TEST_CASE("operations of networks refuse masks, options and labels that do not fit") {
  const auto mask = [](const Shape& s) { return std::optional(all_true(s)); };
  for (const bool log : {false, true}) {
    const char* op = log ? "log_softmax" : "softmax";
    const auto f = [log](const V& x, const Axes& a, const std::optional<Array<bool>>& m = {}) {
      static_cast<void>(log ? log_softmax(x, a, m) : softmax(x, a, m));
    };
    axis_errors(op, [f](const V& x, int a) { f(x, {a}); });
    repeated_axis_errors(op, [f](const V& x, const Axes& a) { f(x, a); });
    refuse<ShapeError>({
        {op, {s23}, [=](const Vs& x) { f(x[0], {-1}, mask(Shape{4})); }, {op, "mask is (4,)", "(2, 3)", "true means take part"}},
        {op, {s23}, [=](const Vs& x) { f(x[0], {-1}, mask(Shape{1, 2, 3})); }, {op, "(1, 2, 3)", "no more axes"}},
        {op, {s23}, [=](const Vs& x) { f(x[0], {0}, mask(Shape{4})); }, {op, "mask is (4,)"}},
        {op, {s23}, [=](const Vs& x) { f(x[0], {}); }, {op, "no axes", "(2, 3)", "at least one axis"}},
    });
  }
  const auto norm = [](const V& x, const std::optional<V>& g, const std::optional<V>& b, const Axes& a = {-1}, double e = 1e-3) {
    static_cast<void>(layer_normalization(x, g, b, a, e));
  };
  const std::optional<V> none;
  axis_errors("layer_normalization", [=](const V& x, int a) { norm(x, none, none, {a}); });
  repeated_axis_errors("layer_normalization", [=](const V& x, const Axes& a) { norm(x, none, none, a); });
  refuse<ShapeError>({
      {"gamma", {s23, Shape{2}}, [=](const Vs& x) { norm(x[0], x[1], none); }, {"layer_normalization: ", "gamma is (2,)", "(3,)", "(2, 3)"}},
      {"beta", {s23, s23}, [=](const Vs& x) { norm(x[0], none, x[1]); }, {"layer_normalization: ", "beta is (2, 3)", "(3,)"}},
      {"nothing", {Shape{2, 0}}, [=](const Vs& x) { norm(x[0], none, none); }, {"layer_normalization: ", "nothing to normalize", "(2, 0)"}},
      {"noise_shape", {s23}, [](const Vs& x) { dropout(x[0], 0.5, {}, Shape{2, 2}); }, {"dropout: ", "noise_shape is (2, 2)", "(2, 3)", "extents of 1"}},
      {"noise_shape", {s23}, [](const Vs& x) { dropout(x[0], 0.5, {}, Shape{3}); }, {"dropout: ", "noise_shape is (3,)"}},
      {"labels", {s23}, [](const Vs& x) { sparse_softmax_cross_entropy(x[0], ids_of({0, 1, 2})); },
       {"sparse_softmax_cross_entropy: ", "labels is (3,)", "(2,)", "(2, 3)"}},
      {"logits", {scalar}, [](const Vs& x) { sparse_softmax_cross_entropy(x[0], ids_of({0})); }, {"sparse_softmax_cross_entropy: ", "(..., classes)"}},
  });
  refuse<ValueError>({
      {"epsilon", {s23}, [=](const Vs& x) { norm(x[0], none, none, {-1}, -1.0); }, {"layer_normalization: ", "epsilon is -1", ">= 0"}},
      {"rate", {s23}, [](const Vs& x) { dropout(x[0], 1.5, {}); }, {"dropout: ", "rate is 1.5", "0 to 1"}},
      {"rate", {s23}, [](const Vs& x) { dropout(x[0], std::nan(""), {}); }, {"dropout: ", "0 to 1"}},
      {"label", {s23}, [](const Vs& x) { sparse_softmax_cross_entropy(x[0], ids_of({0, 3})); },
       {"sparse_softmax_cross_entropy: ", "element 1", "is 3", "0 to 2", "ignore_class"}},
      {"label", {s23}, [](const Vs& x) { sparse_softmax_cross_entropy(x[0], ids_of({-1, 0}), 7); }, {"is -1", "0 to 2"}},
  });
  CHECK(contains(error_of<TapeError>([] { static_cast<void>(next_random_key(V(1.0))); }), "tape.input()"));
}

TEST_CASE("losses refuse shapes that do not fit") {
  refuse<ShapeError>({
      {"mse", {s23, s24}, [](const Vs& x) { mean_squared_error(x[0], x[1]); }, {"mean_squared_error: ", "target is (2, 4)", "(2, 3)"}},
      {"mse, no broadcast", {s23, s3}, [](const Vs& x) { mean_squared_error(x[0], x[1]); }, {"mean_squared_error: ", "(3,)"}},
      {"mse, scalar", {scalar, scalar}, [](const Vs& x) { mean_squared_error(x[0], x[1]); }, {"mean_squared_error: ", "at least one axis"}},
      {"mse, mask", {s23, s23}, [](const Vs& x) { mean_squared_error(x[0], x[1], {.mask = all_true(Shape{3})}); },
       {"mean_squared_error: ", "mask is (3,)", "(2,)"}},
      {"categorical", {s23, s24}, [](const Vs& x) { categorical_crossentropy(x[0], x[1]); }, {"categorical_crossentropy: ", "(2, 4)", "(2, 3)"}},
      {"sparse", {s23}, [](const Vs& x) { sparse_categorical_crossentropy(x[0], ids_of({0})); },
       {"sparse_categorical_crossentropy: ", "labels is (1,)", "(2, 3)"}},
      {"sparse, mask", {s23},
       [](const Vs& x) { sparse_categorical_crossentropy(x[0], ids_of({0, 1}), {.mask = all_true(Shape{3})}); },
       {"sparse_categorical_crossentropy: ", "mask is (3,)", "(2,)"}},
  });
  for (const bool logits : {true, false}) {
    refuse<ValueError>({{"label", {s23}, [logits](const Vs& x) { sparse_categorical_crossentropy(x[0], ids_of({0, 3}), {.from_logits = logits}); },
                         {"is 3", "0 to 2"}}});
  }
}

TEST_CASE("a condition without a derivative refuses a gradient") {
  Tape<double> tape;
  const V x = tape.watch(V(random_array<double>(s3, 1)));
  // The third derivative of a function given by kernels is refused, not wrong.
  const auto derivative = [&](const V& y, const V& at) {
    return tape.backward(sum(y), {.create_graph = true})[at];
  };
  const V first = derivative(gelu(x), x);
  const V second = derivative(first, x);
  const std::string text = error_of<TapeError>([&] { static_cast<void>(tape.backward(sum(second))); });
  CHECK(contains(text, "gelu: not differentiable"));
  CHECK(contains(text, "detach()"));
}
