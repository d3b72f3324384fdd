// Weight penalties and penalties of outputs, from the layers to the gradients.

#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;

Dense<double>::Options regularized() {
  return {.units = 2,
          .bias_initializer = "ones",
          .kernel_regularizer = "l2",
          .bias_regularizer = regularizers::L1{.l1 = 0.5}};
}
double squares(const Array<double>& a) { return sum(square(V(a))).item(); }

}  // namespace

TEST_CASE("the penalties of weights are one scalar each, not divided by the batch") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "d", regularized());
  const Dense<double> plain(params.scope() / "plain", {.units = 2});
  const Dense<double> later(params.scope() / "later", regularized());  // not built: no penalty yet
  Tape<double> tape;
  const V loss = mean(plain(dense(tape.input(random_array<double>({5, 3}, 1)))));
  const V penalties = tape.penalties(params);
  const Array<double> kernel = dense.kernel().value();
  CHECK(penalties.item() == Approx(0.01 * squares(kernel) + 0.5 * 2));
  CHECK(params.penalties(V(0.0)).item() == penalties.item());  // also without a tape
  CHECK_FALSE(params.penalties(V(0.0)).has_context());
  const auto g = tape.backward(loss + penalties);
  Tape<double> again;
  const auto without = [&] {
    const V l = mean(plain(dense(again.input(random_array<double>({5, 3}, 1)))));
    static_cast<void>(again.penalties(params));  // not wanted
    return again.backward(l);
  }();
  const Array<double> difference_of = g.at("d/kernel").value() - without.at("d/kernel").value();
  CHECK(difference(difference_of, Array<double>(0.02 * kernel)) < 1e-15);
  CHECK(g.at("d/bias").value()(0) - without.at("d/bias").value()(0) == Approx(0.5));
}

TEST_CASE("frozen weights have no penalty") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "d", regularized());
  dense.build({1, 3});
  CHECK(params.penalties(V(0.0)).item() > 1.0);
  params.set_trainable("d/kernel", false);
  CHECK(params.penalties(V(0.0)).item() == 1.0);
  params.set_trainable("d", false);
  CHECK(params.penalties(V(0.0)).item() == 0.0);
  Tape<double> tape;
  const V x = tape.watch(random_array<double>({5, 3}, 1));
  CHECK(tape.backward(sum(dense(x))).size() == 1);  // and backward asks for none
}

TEST_CASE("backward insists on the penalties of the weights") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "d", regularized());
  Tape<double> tape;
  const V x = tape.input(random_array<double>({5, 3}, 1));
  SECTION("naming a parameter") {
    const V loss = sum(dense(x));
    const std::string text = error_of<TapeError>([&] { static_cast<void>(tape.backward(loss)); });
    CHECK(contains(text, "parameter 'd/bias'"));
    CHECK(contains(text, "tape.penalties(params)"));
    CHECK(tape.size() > 0);  // nothing is lost
    CHECK(tape.backward(loss + tape.penalties(params)).size() == 2);
    CHECK(tape.size() == 0);
  }
  SECTION("tape.penalties() alone is not them") {
    const V loss = sum(dense(x));
    CHECK_THROWS_AS(tape.backward(loss + tape.penalties()), TapeError);
  }
  SECTION("another model's neither") {
    Params<double> other;
    const V loss = sum(dense(x));
    CHECK_THROWS_AS(tape.backward(loss + tape.penalties(other)), TapeError);
  }
  SECTION("nor those asked for before there was a parameter") {
    const V early = tape.penalties(params);
    CHECK(early.item() == 0.0);
    const V loss = sum(dense(x)) + early;
    CHECK_THROWS_AS(tape.backward(loss), TapeError);
  }
  SECTION("before the call is fine when there are parameters") {
    dense.build({5, 3});
    const V early = tape.penalties(params);
    CHECK(tape.backward(sum(dense(x)) + early).size() == 2);
  }
  SECTION("not when the parameter is not used") {
    dense.build({5, 3});
    const V w = tape.watch(random_array<double>({2}, 1));
    CHECK(tape.backward(sum(w)).size() == 1);
  }
  SECTION("not after clear() or rewind()") {
    const V w = tape.watch(random_array<double>({2}, 1));
    const auto mark = tape.mark();
    static_cast<void>(dense(x));
    tape.rewind(mark);
    CHECK(tape.backward(sum(w)).size() == 1);
  }
  SECTION("also of those that a checkpoint hides") {
    const V u = tape.watch(random_array<double>({5, 3}, 1));
    const auto mark = tape.mark();
    const auto hidden = [&](const V& v) { return dense(v); };
    const V loss = sum(checkpoint(hidden, u));
    CHECK(contains(error_of<TapeError>([&] { static_cast<void>(tape.backward(loss)); }), "'d/"));
    const V total = loss + tape.penalties(params);
    CHECK(tape.backward(total, {.retain = true}).size() == 3);
    CHECK(tape.backward(total, {.retain = true}).size() == 3);
    tape.rewind(mark);
    CHECK(tape.backward(sum(u)).size() == 1);
  }
}

TEST_CASE("repeated backward counts penalties once each time") {
  Params<double> params({.seed = 1});
  auto options = regularized();
  options.activity_regularizer = regularizers::L2{.l2 = 0.3};
  const Dense<double> dense(params.scope() / "d", options);
  Tape<double> tape;
  const V x = tape.watch(random_array<double>({5, 3}, 1));
  const V y = dense(x);  // by itself: C++ may evaluate the other side of a plus first
  const V loss = sum(y) + tape.penalties(params);
  const auto first = tape.backward(loss, {.retain = true});
  const auto second = tape.backward(loss, {.retain = true});
  CHECK(difference(first.at("d/kernel").value(), second.at("d/kernel").value()) == 0.0);
  // The second order counts too, also with an update between.
  const auto graph = tape.backward(loss, {.create_graph = true});
  const auto twice = tape.backward(sum(square(graph[x])), {.retain = true});
  CHECK(twice.contains(dense.kernel()));
  SGD<double> sgd;
  sgd.step(params, first);
  const auto third = tape.backward(loss, {.retain = true});
  CHECK(difference(first.at("d/kernel").value(), third.at("d/kernel").value()) == 0.0);
  // A computation with the new weights needs their penalty.
  static_cast<void>(tape.penalties());
  const V next = sum(dense(x));
  CHECK_THROWS_AS(tape.backward(next), TapeError);
  static_cast<void>(tape.penalties());
  CHECK_THROWS_AS(tape.backward(next), TapeError);
  CHECK(tape.backward(next + tape.penalties(params)).size() == 3);
}

TEST_CASE("an activity regularizer penalizes each call, divided by the batch") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "d", {.units = {2, 2}, .activity_regularizer = "l2"});
  Tape<double> tape;
  const V x = tape.input(random_array<double>({5, 4, 3}, 1));
  const V y = dense(x);
  CHECK(tape.penalties().item() == Approx(0.01 * squares(y.value()) / 5));
  const V z = dense(tape.input(random_array<double>({3}, 2)));  // a single example
  CHECK(tape.penalties().item() ==
        Approx(0.01 * squares(y.value()) / 5 + 0.01 * squares(z.value())));
  CHECK(tape.penalties(params).item() == tape.penalties().item());
  static_cast<void>(dense(x));
  CHECK_THROWS_AS(tape.backward(sum(y)), TapeError);  // a third one, not asked for
  SECTION("nothing for an empty batch") {
    const double before = tape.penalties().item();
    static_cast<void>(dense(tape.input(Array<double>(Shape{0, 3}))));
    CHECK(tape.penalties().item() == before);
  }
  SECTION("after rewind() those from before the mark are left") {
    const double before = tape.penalties().item();
    const auto mark = tape.mark();
    static_cast<void>(dense(x));
    CHECK(tape.penalties().item() > before);
    tape.rewind(mark);
    CHECK(tape.penalties().item() == before);
  }
  SECTION("a tape that does not record has the values") {
    Tape<double> evaluation({.record = false});
    static_cast<void>(dense(evaluation.input(x.value())));
    CHECK(evaluation.penalties().item() == Approx(0.01 * squares(y.value()) / 5));
    CHECK(penalties(evaluation.input(V(1.0))).item() == evaluation.penalties().item());
  }
  SECTION("without a tape there are none") {
    CHECK(penalties(V(dense(V(x.value())))).item() == 0.0);
  }
  SECTION("not inside checkpoint(), which would lose it") {
    const V u = tape.watch(x.value());
    const auto hidden = [&](const V& v) { return dense(v); };
    CHECK(contains(error_of<TapeError>([&] { static_cast<void>(checkpoint(hidden, u)); }),
                   "d: penalty inside checkpoint()"));
    const auto mine = [&](const V& v) {
      tape.add_penalty(sum(v));
      return v;
    };
    CHECK_THROWS_AS(checkpoint(mine, u), TapeError);
    CHECK(tape.backward(sum(u) + tape.penalties()).contains(u));  // all is well afterwards
  }
}

TEST_CASE("gradients of penalties, first and second order") {
  Params<double> params({.seed = 1});
  const auto scope = params.scope();
  const Dense<double> dense(
      scope / "d", {.units = 2,
                    .activation = "tanh",
                    .bias_initializer = "random_normal",
                    .kernel_regularizer = regularizers::OrthogonalRegularizer{.factor = 0.5},
                    .bias_regularizer = regularizers::L1L2{.l1 = 0.3, .l2 = 0.2},
                    .activity_regularizer = regularizers::L2{.l2 = 0.7}});
  const LayerNormalization<double> norm(
      scope / "n", {.beta_initializer = "random_normal",
                    .beta_regularizer = regularizers::L2{.l2 = 0.4},
                    .gamma_regularizer = [](const V& w) { return mean(w * w * w); }});
  const auto report = check_gradients(
      [&](const std::vector<V>& x) {
        const V y = norm(dense(x[0]));
        return mean(y * y * y) + penalties(x[0], params);
      },
      {random_array<double>({4, 3}, 1)}, {}, &params);
  INFO(report.message);
  CHECK(report);
}

TEST_CASE("embeddings and normalizations have penalties and constraints too") {
  Params<double> params({.seed = 1});
  const auto scope = params.scope();
  const Embedding<double> table(scope / "e", {.input_dim = 5,
                                              .output_dim = 3,
                                              .embeddings_regularizer = regularizers::L2{.l2 = 2.0},
                                              .embeddings_constraint = constraints::UnitNorm{{1}}});
  const LayerNormalization<double> norm(scope / "n",
                                        {.beta_regularizer = "l1",
                                         .gamma_regularizer = regularizers::L1{.l1 = 0.25},
                                         .beta_constraint = "non_neg",
                                         .gamma_constraint = [](const Array<double>& w) {
                                           return detail::full<double>(w.shape(), 7.0);
                                         }});
  Tape<double> tape;
  Array<std::int64_t> ids(Shape{2}, 1);
  const V y = norm(table(tape.input(Tokens<double>(ids))));
  const double expected = 2.0 * squares(params.at("e/embeddings").value()) + 0.25 * 3;
  const V penalties = tape.penalties(params);
  CHECK(penalties.item() == Approx(expected));
  SGD<double> sgd;
  sgd.step(params, tape.backward(sum(y) + penalties));
  const Array<double> rows = xtape::norm(V(params.at("e/embeddings").value()), {1}).value();
  for (const double r : rows) CHECK(r == Approx(1.0));
  CHECK(params.at("n/beta").value()(0) == 0.0);
  CHECK(params.at("n/gamma").value()(0) == 7.0);
}

TEST_CASE("a shared parameter keeps its first rules") {
  Params<double> params({.seed = 1});
  const auto scope = params.scope() / "d";
  const Dense<double> first(scope, {.units = 2, .kernel_regularizer = regularizers::L2{.l2 = 1.0}});
  const Dense<double> second(scope.reuse(), {.units = 2,
                                             .kernel_regularizer = regularizers::L2{.l2 = 5.0},
                                             .bias_regularizer = regularizers::L1{.l1 = 1.0},
                                             .bias_constraint = "non_neg"});
  first.build({1, 3});
  CHECK(params.penalties(V(0.0)).item() == Approx(squares(first.kernel().value())));  // once
  CHECK(params.at("d/bias").regularizer());  // where the first had none
  CHECK(params.at("d/bias").constraint());
  params.at("d/kernel").set_regularizer({});
  CHECK(params.penalties(V(0.0)).item() == 0.0);
}

TEST_CASE("a regularizer that does not fit names its parameter") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "d",
                            {.units = {2, 2}, .kernel_regularizer = "orthogonal_regularizer"});
  dense.build({1, 3});
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(params.penalties(V(0.0))); }),
                 "d/kernel: no orthogonal penalty"));
  params.at("d/kernel").set_regularizer([](const V& w) { return w; });
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(params.penalties(V(0.0))); }),
                 "d/kernel: regularizer is no scalar"));
}

TEMPLATE_TEST_CASE("the losses of a Dense with penalties agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("penalties");
  Errors errors(with_type<T>("penalties"), golden_tolerance<T>);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    Params<T> params;
    const Dense<T> dense(params.scope(),
                         {.units = c["units"].get<int>(),
                          .activation = "tanh",
                          .trainable = !c["frozen"].get<bool>(),
                          .kernel_regularizer = regularizers::L1L2{.l1 = 0.01, .l2 = 0.02},
                          .bias_regularizer = regularizers::L2{.l2 = 0.03},
                          .activity_regularizer = regularizers::L2{.l2 = 0.04}});
    for (const auto& [path, json] : c["weights"].items()) params.set(path, golden_array<T>(json));
    Tape<T> tape;
    const Var<T> x = tape.watch(golden_array<T>(c["inputs"]["x"]));
    const Var<T> y = dense(x);
    const Array<double> losses = golden_array<double>(c["outputs"]["losses"]);
    const Array<T> weight = golden_array<T>(c["cotangents"]["losses"]);
    // Keras's list: the output's, the kernel's, the bias's. Theirs are added; here each by itself.
    Var<T> loss = sum(y * Var<T>(golden_array<T>(c["cotangents"]["output"])));
    const Var<T> activity = tape.penalties();
    errors.add("activity", std::abs(activity.item() - losses(0)));
    loss = loss + activity * weight(0);
    double total = losses(0);
    std::size_t i = 1;
    for (const Parameter<T>& p : {dense.kernel(), dense.bias()}) {
      if (!p.trainable()) continue;
      const Var<T> penalty = p.regularizer()(p.value_for(x));
      errors.add(p.path(), std::abs(penalty.item() - losses(i)));
      loss = loss + penalty * weight(i);
      total += losses(i);
      ++i;
    }
    CHECK(i == losses.size());
    errors.add("sum", std::abs(tape.penalties(params).item() - total));
    const auto gradients = tape.backward(loss);
    CHECK(gradients.size() == c["gradients"].size());
    for (const auto& [name, json] : c["gradients"].items()) {
      const Array<T> g = name == "x" ? gradients[x].value() : gradients.at(name).value();
      errors.add("gradient of " + name, difference(g, golden_array<double>(json)) / 3.0);
    }
  }
  CHECK(errors.cases() == 3);
}
