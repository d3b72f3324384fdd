// Misuse of the operations of networks and of the losses; see test_errors.cpp.

#include "support/misuse.hpp"

using namespace xtape;
using namespace xtape::test;

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
        {op,
         {s23},
         [=](const Vs& x) { f(x[0], {-1}, mask(Shape{4})); },
         {op, "mask is (4,)", "(2, 3)", "true means take part"}},
        {op,
         {s23},
         [=](const Vs& x) {
           f(x[0], {-1}, mask(Shape{1, 2, 3}));
         },
         {op, "(1, 2, 3)", "no more axes"}},
        {op, {s23}, [=](const Vs& x) { f(x[0], {0}, mask(Shape{4})); }, {op, "mask is (4,)"}},
        {op,
         {s23},
         [=](const Vs& x) { f(x[0], {}); },
         {op, "no axes", "(2, 3)", "at least one axis"}},
    });
  }
  const auto norm = [](const V& x, const std::optional<V>& g, const std::optional<V>& b,
                       const Axes& a = {-1},
                       double e = 1e-3) { static_cast<void>(layer_normalization(x, g, b, a, e)); };
  const std::optional<V> none;
  axis_errors("layer_normalization", [=](const V& x, int a) { norm(x, none, none, {a}); });
  repeated_axis_errors("layer_normalization",
                       [=](const V& x, const Axes& a) { norm(x, none, none, a); });
  const auto rms = [](const V& x, const std::optional<V>& scale, const Axes& a = {-1},
                      double e = 1e-6) { static_cast<void>(rms_normalization(x, scale, a, e)); };
  axis_errors("rms_normalization", [=](const V& x, int a) { rms(x, none, {a}); });
  repeated_axis_errors("rms_normalization", [=](const V& x, const Axes& a) { rms(x, none, a); });
  refuse<ShapeError>({
      {"scale",
       {s23, Shape{2}},
       [=](const Vs& x) { rms(x[0], x[1]); },
       {"rms_normalization: ", "scale is (2,)", "(3,)", "(2, 3)"}},
      {"nothing",
       {Shape{2, 0}},
       [=](const Vs& x) { rms(x[0], none); },
       {"rms_normalization: ", "nothing to normalize", "(2, 0)"}},
  });
  refuse<ValueError>({{"epsilon",
                       {s23},
                       [=](const Vs& x) { rms(x[0], none, {-1}, -1.0); },
                       {"rms_normalization: ", "epsilon is -1", ">= 0"}}});
  refuse<ShapeError>({
      {"gamma",
       {s23, Shape{2}},
       [=](const Vs& x) { norm(x[0], x[1], none); },
       {"layer_normalization: ", "gamma is (2,)", "(3,)", "(2, 3)"}},
      {"beta",
       {s23, s23},
       [=](const Vs& x) { norm(x[0], none, x[1]); },
       {"layer_normalization: ", "beta is (2, 3)", "(3,)"}},
      {"nothing",
       {Shape{2, 0}},
       [=](const Vs& x) { norm(x[0], none, none); },
       {"layer_normalization: ", "nothing to normalize", "(2, 0)"}},
      {"noise_shape",
       {s23},
       [](const Vs& x) {
         dropout(x[0], 0.5, {}, Shape{2, 2});
       },
       {"dropout: ", "noise_shape is (2, 2)", "(2, 3)", "extents of 1"}},
      {"noise_shape",
       {s23},
       [](const Vs& x) { dropout(x[0], 0.5, {}, Shape{3}); },
       {"dropout: ", "noise_shape is (3,)"}},
      {"labels",
       {s23},
       [](const Vs& x) {
         sparse_softmax_cross_entropy(x[0], ids_of({0, 1, 2}));
       },
       {"sparse_softmax_cross_entropy: ", "labels is (3,)", "(2,)", "(2, 3)"}},
      {"logits",
       {scalar},
       [](const Vs& x) { sparse_softmax_cross_entropy(x[0], ids_of({0})); },
       {"sparse_softmax_cross_entropy: ", "(..., classes)"}},
  });
  refuse<ValueError>({
      {"epsilon",
       {s23},
       [=](const Vs& x) { norm(x[0], none, none, {-1}, -1.0); },
       {"layer_normalization: ", "epsilon is -1", ">= 0"}},
      {"rate",
       {s23},
       [](const Vs& x) { dropout(x[0], 1.5, {}); },
       {"dropout: ", "rate is 1.5", "0 to 1"}},
      {"rate",
       {s23},
       [](const Vs& x) { dropout(x[0], std::nan(""), {}); },
       {"dropout: ", "0 to 1"}},
      {"label",
       {s23},
       [](const Vs& x) {
         sparse_softmax_cross_entropy(x[0], ids_of({0, 3}));
       },
       {"sparse_softmax_cross_entropy: ", "element 1", "is 3", "0 to 2", "ignore_class"}},
      {"label",
       {s23},
       [](const Vs& x) {
         sparse_softmax_cross_entropy(x[0], ids_of({-1, 0}), 7);
       },
       {"is -1", "0 to 2"}},
      {"label_smoothing",
       {s23},
       [](const Vs& x) {
         sparse_softmax_cross_entropy(x[0], ids_of({0, 1}), -1, 1.5);
       },
       {"sparse_softmax_cross_entropy: ", "label_smoothing is 1.5", "0 to 1"}},
  });
  CHECK(contains(error_of<TapeError>([] { static_cast<void>(next_random_key(V(1.0))); }),
                 "tape.input()"));
}

TEST_CASE("losses refuse shapes that do not fit") {
  refuse<ShapeError>({
      {"mse",
       {s23, s24},
       [](const Vs& x) { mean_squared_error(x[0], x[1]); },
       {"mean_squared_error: ", "target is (2, 4)", "(2, 3)"}},
      {"mse, no broadcast",
       {s23, s3},
       [](const Vs& x) { mean_squared_error(x[0], x[1]); },
       {"mean_squared_error: ", "(3,)"}},
      {"mse, scalar",
       {scalar, scalar},
       [](const Vs& x) { mean_squared_error(x[0], x[1]); },
       {"mean_squared_error: ", "at least one axis"}},
      {"mse, mask",
       {s23, s23},
       [](const Vs& x) { mean_squared_error(x[0], x[1], {.mask = all_true(Shape{3})}); },
       {"mean_squared_error: ", "mask is (3,)", "(2,)"}},
      {"categorical",
       {s23, s24},
       [](const Vs& x) { categorical_crossentropy(x[0], x[1]); },
       {"categorical_crossentropy: ", "(2, 4)", "(2, 3)"}},
      {"sparse",
       {s23},
       [](const Vs& x) { sparse_categorical_crossentropy(x[0], ids_of({0})); },
       {"sparse_categorical_crossentropy: ", "labels is (1,)", "(2, 3)"}},
      {"sparse, mask",
       {s23},
       [](const Vs& x) {
         sparse_categorical_crossentropy(x[0], ids_of({0, 1}), {.mask = all_true(Shape{3})});
       },
       {"sparse_categorical_crossentropy: ", "mask is (3,)", "(2,)"}},
  });
  for (const bool logits : {true, false}) {
    refuse<ValueError>(
        {{"label",
          {s23},
          [logits](const Vs& x) {
            sparse_categorical_crossentropy(x[0], ids_of({0, 3}), {.from_logits = logits});
          },
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
  const std::string text =
      error_of<TapeError>([&] { static_cast<void>(tape.backward(sum(second))); });
  CHECK(contains(text, "gelu: no third derivative"));
}

TEST_CASE("ranks that no loop has room for are refused") {
  const Array<double> deep(Shape(17, 1), 1.0);
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(transpose(V(deep))); }),
                 "Var: rank too large: the array is of rank 17, expected at most 16"));
  const V ten(Array<double>(Shape(10, 1), 1.0));
  const std::string text = error_of<ShapeError>(
      [&] { static_cast<void>(einsum("abcdefghij,klmnopqrst->abcdefghijklmnopqrst", ten, ten)); });
  CHECK(contains(text, "einsum: rank too large: the array is of rank 20"));
  CHECK_THROWS_AS(expand_dims(V(Array<double>(Shape(16, 1), 1.0)), 0), ShapeError);
}
