// Misuse of operations: the typed error, its text (which operation, the shapes, the rule, often the
// remedy), and a tape left as it was.

#include "support/misuse.hpp"

using namespace xtape;
using namespace xtape::test;

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
      {"a condition that does not fit",
       {s23},
       [](const Vs& x) { where(all_true(Shape{4}), x[0], V(0.0)); },
       {"where", "(4,)", "(2, 3)", "do not broadcast"}},
      {"an expression that does not fit",
       {s23},
       [](const Vs& x) { static_cast<void>(x[0] + random_array<double>(Shape{4}, 1)); },
       {"add", "(4,)", "(2, 3)"}},
  });
  refuse<ValueError>(
      {{"clip",
        {s3},
        [](const Vs& x) { clip(x[0], 1, 0); },
        {"clip", "limits out of order", "low is 1", "high is 0", "low <= high"}},
       {"clip by NaN", {s3}, [](const Vs& x) { clip(x[0], std::nan(""), 0); }, {"clip"}}});
}

TEST_CASE("activations refuse options out of range") {
  refuse<ValueError>({
      {"relu",
       {s3},
       [](const Vs& x) { relu(x[0], {.negative_slope = -1}); },
       {"relu: ", "negative_slope is -1", "expected both >= 0"}},
      {"relu",
       {s3},
       [](const Vs& x) { relu(x[0], {.max_value = -2}); },
       {"relu: ", "max_value is -2"}},
      {"leaky_relu",
       {s3},
       [](const Vs& x) { leaky_relu(x[0], -0.5); },
       {"leaky_relu: ", "negative_slope is -0.5", "expected >= 0"}},
      {"celu", {s3}, [](const Vs& x) { celu(x[0], 0); }, {"celu: ", "alpha is 0", "expected > 0"}},
      {"hard_shrink",
       {s3},
       [](const Vs& x) { hard_shrink(x[0], -1); },
       {"hard_shrink: ", "threshold is -1", ">= 0"}},
      {"soft_shrink",
       {s3},
       [](const Vs& x) { soft_shrink(x[0], -1); },
       {"soft_shrink: ", "threshold is -1", ">= 0"}},
      {"squareplus",
       {s3},
       [](const Vs& x) { squareplus(x[0], -1); },
       {"squareplus: ", "b is -1", ">= 0"}},
      {"a name",
       {s3},
       [](const Vs& x) { Activation<double>("reul")(x[0]); },
       {"unknown name", "'reul'", "relu leaky_relu", "sparsemax"}},
  });
  axis_errors("glu", [](const V& x, int axis) { glu(x, axis); });
  axis_errors("sparsemax", [](const V& x, int axis) { sparsemax(x, axis); });
  refuse<ShapeError>({
      {"glu",
       {s23},
       [](const Vs& x) { glu(x[0]); },
       {"glu: ", "not even", "(2, 3)", "axis -1", "pad"}},
      {"sparsemax",
       {Shape{2, 0}},
       [](const Vs& x) { sparsemax(x[0]); },
       {"sparsemax: ", "empty axis", "(2, 0)"}},
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
    refuse<ShapeError>({{op,
                         {Shape{2, 0}},
                         [f](const Vs& x) { f(x[0]); },
                         {op, "nothing to reduce", "(2, 0)", "at least one element"}}});
  };
  empty("mean", [](const V& x) { mean(x); });
  empty("variance", [](const V& x) { variance(x); });
  empty("max", [](const V& x) { max(x); });
  empty("min", [](const V& x) { min(x, {1}); });
  empty("logsumexp", [](const V& x) { logsumexp(x, {-1}); });
  refuse<ShapeError>({
      {"argmax",
       {Shape{2, 0}},
       [](const Vs& x) { argmax(x[0]); },
       {"argmax: empty axis", "(2, 0)", "axis -1"}},
      {"argmin",
       {Shape{0, 2}},
       [](const Vs& x) { argmin(x[0], 0); },
       {"argmin: empty axis", "(0, 2)", "axis 0"}},
  });
}

TEST_CASE("products refuse extents that do not agree") {
  refuse<ShapeError>({
      {"matmul",
       {s23, Shape{4, 5}},
       [](const Vs& x) { matmul(x[0], x[1]); },
       {"matmul: ", "(2, 3)", "(4, 5)", "as many columns on the left as rows on the right",
        "3 and 4", "transpose"}},
      {"matmul, transposed",
       {s23, s23},
       [](const Vs& x) { matmul(x[0], x[1], {.transpose_a = true, .transpose_b = true}); },
       {"matmul: ", "(2, 3) (transposed)", "2 and 3"}},
      {"matmul, batch",
       {Shape{2, 2, 3}, Shape{3, 3, 2}},
       [](const Vs& x) { matmul(x[0], x[1]); },
       {"matmul: ", "(2, 2, 3)", "(3, 3, 2)", "2 and 3"}},
      {"matmul, scalar",
       {scalar, s23},
       [](const Vs& x) { matmul(x[0], x[1]); },
       {"matmul: ", "not a matrix", "()", "(2, 3)", "use * for scalars"}},
      {"einsum",
       {s23, s24},
       [](const Vs& x) { einsum("ab,ab->", x[0], x[1]); },
       {"einsum: ", "(2, 3)", "(2, 4)", "'b'", "3 and 4", "ab,ab->"}},
      {"einsum, rank",
       {s23, s3},
       [](const Vs& x) { einsum("ab,bc->ac", x[0], x[1]); },
       {"einsum: ", "(3,)"}},
      {"dot",
       {s3, Shape{4}},
       [](const Vs& x) { dot(x[0], x[1]); },
       {"dot: ", "(3,)", "(4,)", "one length"}},
      {"dot",
       {s23, s3},
       [](const Vs& x) { dot(x[0], x[1]); },
       {"dot: ", "not vectors", "(2, 3)", "rank 1", "matmul()"}},
      {"outer",
       {s23, s3},
       [](const Vs& x) { outer(x[0], x[1]); },
       {"outer: ", "not vectors", "(2, 3)", "(3,)"}},
  });
  std::vector<Misuse> malformed;
  for (const char* equation : {"ab,bc", "ab->ab", "ab,bc,cd->ad", "aab,bc->ac", "ab,bc->aa",
                               "a1,bc->ac", "ab,bc->ad", "a.b,bc->ac", "", "->", "ab->,bc"}) {
    malformed.push_back({equation,
                         {s23, Shape{3, 2}},
                         [equation](const Vs& x) { einsum(equation, x[0], x[1]); },
                         {"einsum: malformed equation", equation, "ab,bc->ac"}});
  }
  refuse<ValueError>(malformed);
}

TEST_CASE("operations on shapes refuse what does not fit") {
  refuse<ShapeError>({
      {"reshape",
       {s23},
       [](const Vs& x) { reshape(x[0], Shape{4}); },
       {"reshape: ", "(2, 3)", "6 elements", "4 elements", "(4,)"}},
      {"reshape, -1",
       {s23},
       [](const Vs& x) {
         reshape(x[0], {4, -1});
       },
       {"reshape: ", "(2, 3)", "multiple of 4"}},
      {"reshape, two -1",
       {s23},
       [](const Vs& x) {
         reshape(x[0], {-1, -1});
       },
       {"reshape: ", "-1 at most once"}},
      {"reshape, -2",
       {s23},
       [](const Vs& x) { reshape(x[0], {-2}); },
       {"reshape: ", "extent is -2"}},
      {"reshape, -1 of 0",
       {Shape{0}},
       [](const Vs& x) {
         reshape(x[0], {0, -1});
       },
       {"reshape: ", "(0,)"}},
      {"transpose",
       {s23},
       [](const Vs& x) { transpose(x[0], {1}); },
       {"transpose: ", "(2, 3)", "each of its 2 axes once"}},
      {"squeeze",
       {s23},
       [](const Vs& x) { squeeze(x[0], {0}); },
       {"squeeze: ", "(2, 3)", "extent 1", "axis 0"}},
      {"broadcast_to",
       {s23},
       [](const Vs& x) {
         broadcast_to(x[0], Shape{2, 4});
       },
       {"broadcast_to: ", "(2, 3)", "(2, 4)", "reshape"}},
      {"broadcast_to, fewer",
       {s23},
       [](const Vs& x) { broadcast_to(x[0], Shape{3}); },
       {"broadcast_to: ", "(2, 3)", "(3,)"}},
      {"concatenate",
       {s23, s24},
       [](const Vs& x) { concatenate(x, 0); },
       {"concatenate: ", "(2, 4)", "(2, 3)", "axes but 0"}},
      {"concatenate, ranks",
       {s23, s3},
       [](const Vs& x) { concatenate(x, 0); },
       {"concatenate: ", "(3,)", "(2, 3)"}},
      {"stack", {s23, s24}, [](const Vs& x) { stack(x, 0); }, {"stack: ", "(2, 4)", "(2, 3)"}},
      {"split",
       {s23},
       [](const Vs& x) { split(x[0], 2, 1); },
       {"split: ", "(2, 3)", "axis 1", "2 equal parts"}},
      {"split, none", {s23}, [](const Vs& x) { split(x[0], 0, 1); }, {"split: ", "0 equal parts"}},
      {"split, sizes",
       {s23},
       [](const Vs& x) {
         split(x[0], std::vector<std::size_t>{1, 1}, 1);
       },
       {"split: ", "(2, 3)", "3 on axis 1", "make 2"}},
      {"slice, too many",
       {s3},
       [](const Vs& x) {
         slice(x[0], {Slice::all(), Slice::all()});
       },
       {"slice: ", "(3,)", "at most 1"}},
      {"slice, ellipses",
       {s23},
       [](const Vs& x) {
         slice(x[0], {Slice::ellipsis(), Slice::ellipsis()});
       },
       {"slice: ", "2 ellipses", "one ellipsis"}},
      {"slice, position",
       {s23},
       [](const Vs& x) { slice(x[0], {Slice::at(2)}); },
       {"slice: ", "position is 2", "-2 to 1", "axis 0", "(2, 3)"}},
      {"slice, position",
       {s23},
       [](const Vs& x) {
         slice(x[0], {Slice::all(), Slice::at(-4)});
       },
       {"slice: ", "position is -4", "-3 to 2"}},
      {"pad",
       {s23},
       [](const Vs& x) {
         pad(x[0], {{1, 1}});
       },
       {"pad: ", "1 pairs", "(2, 3)", "2 axes"}},
      {"tril", {s3}, [](const Vs& x) { tril(x[0]); }, {"tril: ", "(3,)", "at least two axes"}},
      {"triu", {scalar}, [](const Vs& x) { triu(x[0]); }, {"triu: ", "()", "at least two axes"}},
  });
  refuse<ValueError>({
      {"concatenate nothing",
       {},
       [](const Vs& x) { concatenate(x, 0); },
       {"concatenate: ", "at least one"}},
      {"stack nothing", {}, [](const Vs& x) { stack(x, 0); }, {"stack: ", "at least one"}},
      {"slice, step",
       {s3},
       [](const Vs& x) { slice(x[0], {Slice::range({}, {}, 0)}); },
       {"slice: ", "step is 0"}},
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
      {"expand_dims",
       {s23},
       [](const Vs& x) { expand_dims(x[0], 3); },
       {"expand_dims: ", "axis is 3", "-3 to 2"}},
      {"stack", {s23, s23}, [](const Vs& x) { stack(x, 4); }, {"stack: ", "axis is 4", "-3 to 2"}},
  });
}

TEST_CASE("picking refuses positions out of range") {
  refuse<ValueError>({
      {"take",
       {s23},
       [](const Vs& x) {
         take(x[0], ids_of({0, 2}), 0);
       },
       {"take: ", "element 1", "is 2", "-2 to 1"}},
      {"take",
       {s23},
       [](const Vs& x) { take(x[0], ids_of({-4}), 1); },
       {"take: ", "is -4", "-3 to 2"}},
      {"take of nothing",
       {Shape{0}},
       [](const Vs& x) { take(x[0], ids_of({0})); },
       {"take: ", "is 0"}},
      {"take_along_axis",
       {s23},
       [](const Vs& x) {
         take_along_axis(x[0], array<std::int64_t>(Shape{2, 1}, {0, 3}));
       },
       {"take_along_axis: ", "is 3", "(2, 1)"}},
      {"embedding_lookup",
       {s23},
       [](const Vs& x) { embedding_lookup(x[0], Tokens<double>(ids_of({-1}))); },
       {"embedding_lookup: ", "is -1", "0 to 1"}},
      {"one_hot",
       {},
       [](const Vs&) { one_hot(Tokens<double>(ids_of({3})), 3); },
       {"one_hot: ", "is 3", "0 to 2"}},
  });
  refuse<ShapeError>({
      {"take_along_axis",
       {s23},
       [](const Vs& x) {
         take_along_axis(x[0], array<std::int64_t>(Shape{3, 1}, {0, 0, 0}));
       },
       {"take_along_axis: ", "(3, 1)", "(2, 3)", "axes but -1"}},
      {"take_along_axis, rank",
       {s23},
       [](const Vs& x) { take_along_axis(x[0], ids_of({0})); },
       {"take_along_axis: ", "(1,)", "(2, 3)"}},
      {"embedding_lookup",
       {s3},
       [](const Vs& x) { embedding_lookup(x[0], Tokens<double>(ids_of({0}))); },
       {"embedding_lookup: ", "(3,)", "(vocabulary, width)"}},
  });
  axis_errors("take", [](const V& x, int a) { take(x, ids_of({0}), a); });
  axis_errors("take_along_axis", [](const V& x, int a) { take_along_axis(x, ids_of({0}), a); });
}
