// Arguments refuse a mask of floats, a fraction as an extent, and an array of another scalar type.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <type_traits>

using namespace xtape;
using namespace xtape::test;

namespace {

using Floats = Array<float>;
using Doubles = Array<double>;
using Ids = Array<std::int64_t>;
using Bools = Array<bool>;
using Attention = MultiHeadAttention<float>;

template <class From, class To>
constexpr bool converts = std::is_convertible_v<From, To>&& std::is_constructible_v<To, From>;
template <class From, class To>
constexpr bool refused = !std::is_convertible_v<From, To> && !std::is_constructible_v<To, From>;

// Masks take bool alone.
using AnyMask = decltype(Attention::CallOptions::attention_mask);
static_assert(converts<Bools, AnyMask> && converts<xt::xarray<bool>, AnyMask>);
static_assert(refused<Floats, AnyMask> && refused<Doubles, AnyMask> && refused<Ids, AnyMask>);
static_assert(refused<xt::xarray<float>, AnyMask> && refused<xt::xarray<int>, AnyMask>);
template <class M> constexpr bool is_mask = std::is_same_v<M, AnyMask>;
static_assert(is_mask<decltype(Attention::CallOptions::query_mask)>);
static_assert(is_mask<decltype(Attention::CallOptions::value_mask)>);
static_assert(is_mask<decltype(Attention::CallOptions::key_mask)>);
static_assert(is_mask<decltype(TransformerEncoder<float>::CallOptions::padding_mask)>);
static_assert(is_mask<decltype(TransformerEncoder<float>::CallOptions::attention_mask)>);
static_assert(is_mask<decltype(TransformerDecoder<float>::CallOptions::decoder_padding_mask)>);
static_assert(is_mask<decltype(TransformerDecoder<float>::CallOptions::decoder_attention_mask)>);
static_assert(is_mask<decltype(TransformerDecoder<float>::CallOptions::encoder_padding_mask)>);
static_assert(is_mask<decltype(TransformerDecoder<float>::CallOptions::encoder_attention_mask)>);
static_assert(is_mask<decltype(LossOptions::mask)> && is_mask<decltype(MetricOptions::mask)>);

// Functions that take a mask, a condition, labels or ids.
#define CALLS(name, call)                             \
  template <class A>                                  \
  concept name = requires(const Var<float>& x, A a) { \
    call;                                             \
  }
CALLS(Padding, Mask::padding(a));
CALLS(Queries, Mask::queries(a));
CALLS(Pairwise, Mask::pairwise(a));
CALLS(And, logical_and(a, a));
CALLS(Softmax, softmax(x, {-1}, a));
CALLS(LogSoftmax, log_softmax(x, {-1}, a));
CALLS(Where, where(a, x, x));
CALLS(Take, take(x, a));
CALLS(TakeAlong, take_along_axis(x, a));
CALLS(Labels, sparse_categorical_crossentropy(x, a));
CALLS(SoftLabels, sparse_softmax_cross_entropy(x, a));
CALLS(Ctc, ctc(x, a));
#undef CALLS
#define TAKES_BOOL(name)                                                        \
  static_assert(name<Bools> && !name<Floats> && !name<Doubles> && !name<Ids> && \
                !name<xt::xarray<float>>)
TAKES_BOOL(Padding);
TAKES_BOOL(Queries);
TAKES_BOOL(Pairwise);
TAKES_BOOL(And);
TAKES_BOOL(Softmax);
TAKES_BOOL(LogSoftmax);
TAKES_BOOL(Where);
#undef TAKES_BOOL
#define TAKES_INTEGERS(name)                                                             \
  static_assert(name<Ids> && name<xt::xarray<int>> && !name<Floats> && !name<Doubles> && \
                !name<Bools>)
TAKES_INTEGERS(Take);
TAKES_INTEGERS(TakeAlong);
TAKES_INTEGERS(Labels);
TAKES_INTEGERS(SoftLabels);
TAKES_INTEGERS(Ctc);
#undef TAKES_INTEGERS

// Extents are integers.
static_assert(converts<int, Extents> && converts<long, Extents> && converts<std::size_t, Extents>);
static_assert(refused<double, Extents> && refused<float, Extents> && refused<bool, Extents>);

// Arrays of another scalar type need a conversion by name.
static_assert(converts<Floats, Var<float>> && converts<xt::xarray<float>, Var<float>>);
static_assert(refused<Doubles, Var<float>> && refused<Floats, Var<double>>);
static_assert(refused<xt::xarray<double>, Var<float>> && refused<Ids, Var<float>>);
static_assert(refused<Bools, Var<float>>);
static_assert(converts<Ids, Tokens<float>> && converts<xt::xarray<int>, Tokens<float>>);
static_assert(refused<Floats, Tokens<float>> && refused<Bools, Tokens<float>>);
using Slopes = decltype(Attention::CallOptions::alibi_slopes);
static_assert(converts<Floats, Slopes> && refused<Doubles, Slopes> && refused<Ids, Slopes>);

}  // namespace

TEST_CASE("an argument refers to an array, and evaluates an expression") {
  const Ids ids = array<std::int64_t>({2}, {1, 0});
  const ArrayArg<std::int64_t> same(ids);
  CHECK(same.data() == ids.data());
  CHECK(same.shape() == ids.shape());
  const Var<double> x(array<double>({3}, {1, 2, 3}));
  CHECK(take(x, xt::xarray<int>{2, 0}).value()(0) == 3);
  CHECK(take(x, ids + std::int64_t{1}).value()(1) == 2);
  const Var<float> named(Array<float>(xt::cast<float>(x.value())));
  CHECK(named.value()(2) == 3.0F);
}

TEST_CASE("handles without a value are errors in every use") {
  const std::string part = "no value: the operand is empty or moved-from";
  const auto refuses = [&](const auto& use) {
    const std::string text = error_of<ValueError>(use);
    INFO(text);
    CHECK(contains(text, part));
  };
  const Var<double> full(random_array<double>({3}, 1));
  Var<double> moved(random_array<double>({3}, 1));
  const Var<double> taken = std::move(moved);
  Tape<double> tape;
  for (const Var<double>& x : {Var<double>(), moved}) {
    refuses([&] { static_cast<void>(x + full); });
    refuses([&] { static_cast<void>(full * x); });
    refuses([&] { static_cast<void>(exp(x)); });
    refuses([&] { static_cast<void>(sum(x)); });
    refuses([&] { static_cast<void>(softmax(x)); });
    refuses([&] { static_cast<void>(matmul(x, full)); });
    refuses([&] { static_cast<void>(reshape(x, Shape{3})); });
    refuses([&] { static_cast<void>(concatenate<double>({full, x}, 0)); });
    refuses([&] { static_cast<void>(mean_squared_error(full, x)); });
    refuses([&] { static_cast<void>(x.value()); });
    refuses([&] { static_cast<void>(Var<double>(x).value()); });
    refuses([&] { static_cast<void>(x.item()); });
    refuses([&] { static_cast<void>(x.shape()); });
    refuses([&] { static_cast<void>(x.rank()); });
    refuses([&] { static_cast<void>(x.data()); });
  }
  Tokens<double> ids(array<std::int64_t>({1}, {0}));
  const Tokens<double> kept = std::move(ids);
  refuses([&] { static_cast<void>(ids.shape()); });
  const Var<double> rows(random_array<double>({3, 2}, 1));
  refuses([&] { static_cast<void>(embedding_lookup(rows, ids)); });

  Params<double> params;
  const Params<double> owner = std::move(params);
  refuses([&] { static_cast<void>(params.scope()); });
  refuses([&] { static_cast<void>(params.values()); });
  refuses([&] { static_cast<void>(params.count()); });
  refuses([&] { params.check_pending(); });
  refuses([&] { params.set("a", Array<double>(1.0)); });
  refuses([&] { SGD<double>({.learning_rate = 0.1}).step(params, {}); });
  refuses([&] { static_cast<void>(Parameter<double>().path()); });
  refuses([&] { static_cast<void>(Parameter<double>().value()); });

  const Batches<int> batches(4, {.batch_size = 2, .seed = 1}, [](auto) { return 1; });
  auto epoch = batches.epoch(0);
  const auto used = std::move(epoch);
  refuses([&] { static_cast<void>(epoch.begin()); });
  refuses([&] { static_cast<void>(epoch.size()); });
  auto walked = batches.epoch(0);
  auto it = walked.begin();
  for (int i = 0; i < 5; ++i) ++it;  // past the end is the end
  CHECK(it == walked.end());
  refuses([&] { static_cast<void>(*it); });
  refuses([&] { static_cast<void>(*decltype(it)()); });
}

TEST_CASE("arrays and layers that were moved away are errors in every use") {
  const auto refuses = [&](const auto& use) {
    CHECK(contains(error_of<ValueError>(use), "no value: the operand is empty or moved-from"));
  };
  Array<double> array = random_array<double>({2, 2}, 1);
  const Array<double> kept = std::move(array);
  refuses([&] { static_cast<void>(Var<double>(array)); });
  refuses([&] { static_cast<void>(sum(Var<double>(array))); });
  CHECK(to_string(array) == "(no value)");
  CHECK(Var<double>(Array<double>(1.5)).item() == 1.5);
  Array<std::int64_t> numbers = ones<std::int64_t>({2, 2});
  const Array<std::int64_t> others = std::move(numbers);
  refuses([&] { static_cast<void>(Tokens<double>(numbers)); });

  const Var<double> x(random_array<double>({2, 3, 4}, 1));
  SinePositionEncoding<double> sines;
  const auto encoding = std::move(sines);
  refuses([&] { static_cast<void>(sines(x)); });
  Params<double> params;
  Sequential<double> model(params.scope());
  model.add<Dense>({.units = 2});
  const auto owner = std::move(model);
  refuses([&] { static_cast<void>(model(x)); });
  CHECK(owner(x.value()).shape() == Shape{2, 3, 2});

  KeyValueCache<double> cache(8);
  const Var<double> row(random_array<double>({1, 1, 2, 3}, 1));
  cache.append(row, row);
  KeyValueCache<double> taken = std::move(cache);
  refuses([&] { static_cast<void>(cache.keys()); });
  refuses([&] { static_cast<void>(cache.values()); });
  refuses([&] { cache.append(row, row); });
  refuses([&] { cache.reorder(Array<std::int64_t>(Shape{1}, 0)); });
  cache.clear();
  cache.append(row, row);
  taken.append(row, row);
  CHECK(taken.length() == 2);
}

TEST_CASE("layers, scopes, tapes and gradients outlive their Params") {
  const Var<double> x(random_array<double>({2, 3}, 1));
  std::optional<Dense<double>> dense;
  std::optional<Scope<double>> scope;
  Tape<double> tape;
  Var<double> loss;
  {
    Params<double> params({.seed = 1});
    scope = params.scope();
    dense.emplace(params.scope() / "a", Dense<double>::Options{.units = 2});
    loss = sum(square((*dense)(tape.input(x))));
  }
  const Array<double> y = (*dense)(x).value();
  const Dense<double> later(*scope / "b", {.units = 2});
  CHECK(later(x).shape() == Shape{2, 2});
  dense.reset();
  scope.reset();
  const Gradients<double> g = tape.backward(loss);
  CHECK(g.at("a/kernel").shape() == Shape{3, 2});
  CHECK(difference(sum(Var<double>(y) * Var<double>(y)).value(), loss.value()) < 1e-12);
}
