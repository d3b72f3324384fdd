// Every way to misuse attention, in one table: a typed error that names argument,
// value and rule, before any work.

#include "support/attention_misuse.hpp"

#include <cmath>
#include <iostream>

using namespace xtape;
using namespace xtape::test;
using namespace xtape::test::misuse;

namespace {

std::vector<Misuse> options() {
  using O = Mha::Options;
  return {
      option("no heads", [](O& o) { o.num_heads = 0; }, {"num_heads is 0", "positive integer"}),
      option("negative heads", [](O& o) { o.num_heads = -2; }, {"num_heads is -2", "positive"}),
      option("no key_dim", [](O& o) { o.key_dim = 0; }, {"key_dim is 0", "positive integer"}),
      option("negative key_dim", [](O& o) { o.key_dim = -3; }, {"key_dim is -3", "positive"}),
      option("value_dim", [](O& o) { o.value_dim = -1; }, {"value_dim is -1", "positive integer"}),
      option("negative dropout", [](O& o) { o.dropout = -0.1; }, {"rate is -0.1", "0 to 1"}),
      option("dropout above 1", [](O& o) { o.dropout = 1.5; }, {"rate is 1.5", "0 to 1"}),
      option("dropout NaN", [](O& o) { o.dropout = std::nan(""); }, {"rate is nan", "0 to 1"}),
      option("output_shape 0",
             [](O& o) {
               o.output_shape = {3, 0};
             },
             {"output_shape", "0", "positive"}),
      option("output_shape -1", [](O& o) { o.output_shape = -1; },
             {"output_shape", "-1", "positive"}),
      option("no window", [](O& o) { o.sliding_window = 0; }, {"sliding_window is 0", "positive"}),
      option("negative window", [](O& o) { o.sliding_window = -4; },
             {"sliding_window is -4", "positive"}),
      option("no key heads", [](O& o) { o.num_key_value_heads = 0; },
             {"num_key_value_heads is 0", "positive"}),
      option("key heads that do not divide",
             [](O& o) {
               o.num_heads = 6;
               o.num_key_value_heads = 4;
             },
             {"num_heads is 6", "num_key_value_heads is 4", "divisible"}),
      option("more key heads", [](O& o) { o.num_key_value_heads = 4; },
             {"num_key_value_heads is 4", "divisible"}),
      option("odd key_dim with rotary",
             [](O& o) {
               o.key_dim = 3;
               o.rotary = RotaryOptions{};
             },
             {"key_dim is 3", "even", "rotary"}),
      option("rotary wavelength", [](O& o) { o.rotary = RotaryOptions{.max_wavelength = 0}; },
             {"max_wavelength is 0", "positive"}),
      name("kernel_initializer", [](O& o) { o.kernel_initializer = "glorot"; },
           {"initializer is 'glorot'", "expected one of", "glorot_uniform"}),
      name("bias_initializer", [](O& o) { o.bias_initializer = ""; },
           {"initializer is ''", "expected one of", "zeros"}),
      name("kernel_regularizer", [](O& o) { o.kernel_regularizer = "l3"; },
           {"regularizer is 'l3'", "expected one of", "l2"}),
      name("bias_regularizer", [](O& o) { o.bias_regularizer = "l1_l2"; },
           {"regularizer is 'l1_l2'", "expected one of", "L1L2{.l1 = ..., .l2 = ...}"}),
      name("activity_regularizer",
           [](O& o) {
             o.activity_regularizer = regularizers::L1L2{-1, 0};
           },
           {"l1 is -1", "0 or more"}),
      name("kernel_constraint", [](O& o) { o.kernel_constraint = "maxnorm"; },
           {"constraint is 'maxnorm'", "expected one of", "max_norm"}),
      name("bias_constraint", [](O& o) { o.bias_constraint = constraints::MaxNorm{-2}; },
           {"max_value is -2", "0 or more"}),
      {"a path twice",
       typeid(ParameterError),
       [](World& w) {
         Params<double> params;
         const Mha first(params.scope() / "mha", with([](O&) {}));
         static_cast<void>(w);
         Mha(params.scope() / "mha", with([](O&) {}));
       },
       {"mha/query/kernel", "taken", "reuse"}},
  };
}

std::vector<Misuse> input_shapes() {
  return {
      shapes("rank 2", {2, 4}, {2, 4},
             {"query is (2, 4)", "expected (batch, positions..., features)"}),
      shapes("rank 0", {}, {}, {"query is ()", "expected (batch"}),
      shapes("a value of another rank", {2, 3, 4}, {2, 5, 1, 4},
             {"value is (2, 5, 1, 4)", "equal ranks"}),
      shapes("a key of another rank", {2, 3, 4}, {2, 5, 4}, {"key is (2, 5)", "equal ranks"},
             Shape{2, 5}),
      shapes("another batch", {2, 3, 4}, {3, 5, 4},
             {"value is (3, 5, 4)", "query is (2, 3, 4)", "equal"}),
      shapes("a batch of 1", {2, 3, 4}, {1, 5, 4},
             {"value is (1, 5, 4)", "equal extents on axis 0"}),
      shapes("a longer key", {2, 3, 4}, {2, 5, 4},
             {"key is (2, 6, 4)", "value is (2, 5, 4)", "equal"}, Shape{2, 6, 4}),
      shapes("a key of another batch", {2, 3, 4}, {2, 5, 4}, {"key is (1, 5, 4)", "equal"},
             Shape{1, 5, 4}),
      shapes("free axes that differ", {2, 3, 4, 5}, {2, 2, 6, 5},
             {"value is (2, 2, 6, 5)", "equal extents on axis 1", "not attended"}, {},
             [](Mha::Options& o) { o.attention_axes = {2}; }),
      axes("the batch", {0}, {"attention_axes", "axis 0", "batch"}),
      axes("the batch, counted from the end", {-4}, {"attention_axes", "axis 0", "batch"}),
      axes("the features", {3}, {"attention_axes", "axis 3", "features"}),
      axes("the features, counted from the end", {-1}, {"attention_axes", "axis 3", "features"}),
      axes("an axis too many", {4}, {"attention_axes", "axis is 4", "-4 to 3"}),
      axes("an axis too few", {1, -5}, {"attention_axes", "axis is -5", "-4 to 3"}),
      axes("an axis twice", {1, 1}, {"attention_axes", "repeated", "distinct"}),
      axes("an axis twice, counted otherwise", {2, -2}, {"attention_axes", "repeated", "distinct"}),
      shapes("a window over two axes", {2, 3, 4, 5}, {2, 3, 4, 5},
             {"sliding_window", "there are 2", "expected 1"}, {},
             [](Mha::Options& o) { o.sliding_window = 2; }),
      shapes("rotary positions over two axes", {2, 3, 4, 5}, {2, 3, 4, 5},
             {"rotary", "there are 2", "expected 1"}, {},
             [](Mha::Options& o) { o.rotary = RotaryOptions{}; }),
      {"another width than before",
       typeid(ShapeError),
       [](World&) {
         Params<double> params;
         const Mha layer(params.scope() / "mha", with([](Mha::Options&) {}));
         layer.build({2, 3, 4}, {2, 5, 6});
         layer.build({2, 3, 4}, {2, 5, 7});
       },
       {"mha/key", "(2, 5, 7)", "expected", "6"}},
      {"an initializer for matrices",
       typeid(ShapeError),
       [](World&) {
         Params<double> params;
         const Mha layer(params.scope() / "mha",
                         with([](Mha::Options& o) { o.kernel_initializer = "identity"; }));
         layer.build({2, 3, 4}, {2, 5, 4});
       },
       {"identity", "(4, 2, 2)", "rank 2"}},
  };
}

std::vector<Misuse> masks() {
  const Shape image{2, 3, 4, 5};
  const Shape five{2, 5, 3, 4, 6}, other{2, 5, 3, 2, 6};
  using C = Mha::CallOptions;
  return {
      mask("(S,)", {5}, {"is (5,)", "expected 2 to 4 axes"}),
      mask("()", {}, {"is ()", "expected 2 to 4 axes"}),
      mask("(T, T)", {3, 3}, {"is (3, 3)", "(2, 2, 3, 5)"}),
      mask("(S, T)", {5, 3}, {"is (5, 3)", "(2, 2, 3, 5)"}),
      mask("(B, S)", {2, 5}, {"is (2, 5)", "(2, 2, 3, 5)"}),
      mask("another batch", {3, 3, 5}, {"is (3, 3, 5)", "(2, 2, 3, 5)"}),
      mask("other heads", {2, 3, 3, 5}, {"is (2, 3, 3, 5)", "(2, 2, 3, 5)"}),
      mask("an axis too many", {1, 2, 2, 3, 5}, {"is (1, 2, 2, 3, 5)", "expected 2 to 4 axes"}),
      mask("rank 5, two axes", {3, 2}, {"is (3, 2)", "expected 4 to 7 axes"}, five, other, {2, 3}),
      mask("rank 5, three axes", {4, 3, 2}, {"is (4, 3, 2)", "expected 4 to 7"}, five, other,
           {2, 3}),
      mask("rank 5, heads in place of the free axis", {2, 2, 3, 4, 3, 2},
           {"is (2, 2, 3, 4, 3, 2)", "(2, 5, 2, 3, 4, 3, 2)"}, five, other, {2, 3}),
      call("query_mask of the keys",
           [](World&) {
             return C{.query_mask = all({2, 5})};
           },
           {"query_mask is (2, 5)", "expected (2, 3)", "true means attend"}),
      call("query_mask with an axis too many",
           [](World&) {
             return C{.query_mask = all({2, 3, 1})};
           },
           {"query_mask is (2, 3, 1)", "expected (2, 3)"}),
      call("value_mask of the queries",
           [](World&) {
             return C{.value_mask = all({2, 3})};
           },
           {"value_mask is (2, 3)", "expected (2, 5)"}),
      call("value_mask of a batch of 1",
           [](World&) {
             return C{.value_mask = all({1, 5})};
           },
           {"value_mask is (1, 5)", "expected (2, 5)"}),
      call("key_mask without batch", [](World&) { return C{.key_mask = all({5})}; },
           {"key_mask is (5,)", "expected (2, 5)"}),
      call(
          "padding on images",
          [](World&) {
            return C{.value_mask = all({2, 3})};
          },
          {"value_mask", "(2, 2, 3, 4, 3, 4)", "rank 3", "attention_mask"}, typeid(ShapeError),
          image, image),
      call("query_mask with another axis attended",
           [](World&) {
             return C{.query_mask = all({2, 4})};
           },
           {"query_mask", "rank 3"}, typeid(ShapeError), image, image, {2}),
      call(
          "causal over two axes", [](World&) { return C{.use_causal_mask = true}; },
          {"use_causal_mask", "there are 2", "expected 1"}, typeid(ShapeError), image, image),
      call(
          "Mask over two axes", [](World&) { return C{.mask = Mask::sliding_window(2)}; },
          {"mask needs one attention axis", "there are 2"}, typeid(ShapeError), image, image),
      call("Mask::padding of another length",
           [](World&) {
             return C{.mask = Mask::padding({1, 2}, 4)};
           },
           {"padding mask", "(2, 4)", "(2, 2, 3, 5)"}),
      call("Mask::queries of the keys",
           [](World&) {
             return C{.mask = Mask::queries(all({2, 5}))};
           },
           {"query mask", "(2, 5)", "(2, 2, 3, 5)"}),
      call("Mask::pairwise of another shape",
           [](World&) {
             return C{.mask = Mask::causal() & Mask::pairwise(all({5, 3}))};
           },
           {"pairwise mask", "(5, 3)", "(2, 2, 3, 5)"}),
      {"Mask::padding of rank 1",
       typeid(ShapeError),
       [](World&) { Mask::padding(all({5})); },
       {"Mask::padding", "mask is (5,)", "(batch, keys)"}},
      {"Mask::queries of rank 3",
       typeid(ShapeError),
       [](World&) {
         Mask::queries(all({2, 3, 1}));
       },
       {"Mask::queries", "mask is (2, 3, 1)", "(batch, queries)"}},
      {"Mask::pairwise of rank 5",
       typeid(ShapeError),
       [](World&) {
         Mask::pairwise(all({1, 1, 1, 1, 1}));
       },
       {"Mask::pairwise", "mask is (1, 1, 1, 1, 1)", "(batch, heads, queries, keys)"}},
      {"Mask::padding with a length too large",
       typeid(ValueError),
       [](World&) {
         Mask::padding({3, 6}, 5);
       },
       {"Mask::padding", "length 1 is 6", "0 to 5"}},
      {"Mask::sliding_window of 0",
       typeid(ValueError),
       [](World&) { Mask::sliding_window(0); },
       {"Mask::sliding_window", "window is 0", "at least 1"}},
  };
}

std::vector<Misuse> calls() {
  using C = Mha::CallOptions;
  const Shape image{2, 3, 4, 5};
  return {
      call("a bias of (T,)", [](World& w) { return C{.attention_bias = w.input({3})}; },
           {"attention_bias is (3,)", "expected 2 to 4 axes"}),
      call("a bias of other keys",
           [](World& w) {
             return C{.attention_bias = w.input({3, 4})};
           },
           {"attention_bias is (3, 4)", "(2, 2, 3, 5)"}),
      call("slopes of other heads",
           [](World&) {
             return C{.alibi_slopes = array<double>({3}, {1, 2, 3})};
           },
           {"alibi_slopes are (3,)", "expected (2,)"}),
      call(
          "slopes over two axes",
          [](World&) {
            return C{.alibi_slopes = array<double>({2}, {1, 2})};
          },
          {"alibi_slopes", "2 attention axes", "one axis"}, typeid(ShapeError), image, image),
      call(
          "slopes that are not finite",
          [](World&) {
            return C{.alibi_slopes = array<double>({2}, {1, std::nan("")})};
          },
          {"alibi_slopes", "slope 1 is nan", "finite"}, typeid(ValueError)),
      call(
          "reading no cache", [](World&) { return C{.cache_read_only = true}; },
          {"cache_read_only", "cache is null", "to read"}, typeid(ValueError)),
      call(
          "a key without a value", [](World&) { return C{.key = V()}; },
          {"key is a Var without a value", "expected an array"}, typeid(ValueError)),
      call(
          "a bias without a value", [](World&) { return C{.attention_bias = V()}; },
          {"attention_bias is a Var without a value", "expected an array"}, typeid(ValueError)),
      {"a query without a value",
       typeid(ValueError),
       [](World& w) {
         const Mha layer((w.params.scope() / "mha").reuse(), with([](Mha::Options&) {}));
         static_cast<void>(layer(V(), w.input({2, 5, 4})));
       },
       {"mha", "query is a Var without a value", "expected an array"}},
      {"an unknown extent of -2",
       typeid(ShapeError),
       [](World& w) {
         const Mha layer((w.params.scope() / "mha").reuse(), with([](Mha::Options&) {}));
         static_cast<void>(layer.compute_output_shape({-1, 3, 4}, {-2, 5, 4}));
       },
       {"mha", "value is (-2, 5, 4)", "-1"}},
      call(
          "a cache on images", [](World& w) { return C{.cache = &w.empty}; },
          {"cache", "query is (2, 3, 4, 5)", "rank 3"}, typeid(ShapeError), image, image),
      call(
          "a cache without room", [](World& w) { return C{.cache = &w.empty}; },
          {"no room", "5", "at most 4"}, typeid(ValueError)),
      call("a cache of another batch", [](World& w) { return C{.cache = &w.held}; },
           {"(3, 1, 2, 2)", "(2, 4, 2, 2)", "clear()"}, typeid(ShapeError), {3, 1, 4}, {3, 1, 4}),
      call("reading a cache of another batch",
           [](World& w) { return C{.cache = &w.held, .cache_read_only = true}; },
           {"(2, 4, 2, 2)", "(3, 2, 2, 2)"}, typeid(ShapeError), {3, 1, 4}, {3, 1, 4}),
      call(
          "reading an empty cache",
          [](World& w) { return C{.cache = &w.empty, .cache_read_only = true}; },
          {"empty", "at least one"}, typeid(ValueError)),
      {"a cache on a recording tape",
       typeid(TapeError),
       [](World& w) {
         const Mha layer((w.params.scope() / "mha").reuse(), with([](Mha::Options&) {}));
         const V x = w.input({2, 1, 4});
         static_cast<void>(layer(x, x, {.cache = &w.held}));
       },
       {"recording tape", "inference", "record = false"}},
      {"training without a tape or a seed",
       typeid(TapeError),
       [](World& w) {
         const Mha layer((w.params.scope() / "mha").reuse(),
                         with([](Mha::Options& o) { o.dropout = 0.5; }));
         const V x(random_array<double>({2, 3, 4}, 1));
         static_cast<void>(layer(x, x, {.training = true}));
       },
       {"mha/dropout", "training without a tape", "seed"}},
      {"inputs of two tapes",
       typeid(TapeError),
       [](World& w) {
         const Mha layer((w.params.scope() / "mha").reuse(), with([](Mha::Options&) {}));
         Tape<double> other;
         static_cast<void>(
             layer(w.input({2, 3, 4}), other.input(random_array<double>({2, 5, 4}, 1))));
       },
       {"tape"}},
      {"a cache of nothing",
       typeid(ValueError),
       [](World&) { KeyValueCache<double>(0); },
       {"capacity is 0", "at least 1"}},
      {"beams in two axes",
       typeid(ShapeError),
       [](World& w) {
         w.held.reorder(array<std::int64_t>({2, 1}, {0, 1}));
       },
       {"rows are (2, 1)", "(rows,)"}},
      {"a beam from nowhere",
       typeid(ValueError),
       [](World& w) {
         w.held.reorder(array<std::int64_t>({2}, {0, 2}));
       },
       {"row 1 is 2", "0 to 1"}},
  };
}

}  // namespace

TEST_CASE("every misuse of attention is a typed error that names argument, value and rule") {
  int count = 0;
  for (const auto& table : {options(), input_shapes(), masks(), calls()}) count += check(table);
  std::cout << "misuses of attention: " << count << '\n';
  CHECK(count >= 95);
}
