#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

struct Two {
  Params<double> params;
  Parameter<double> a = params.scope().reserve("a");
  Parameter<double> b = params.scope().reserve("b");
  Two() {
    a.build({2}, "ones", {});
    b.build({3}, "ones", {});
  }
  Gradients<double> gradients(bool both = true) {
    Tape<double> tape;
    Var<double> loss = sum(square(a.value_for(tape.context())));
    if (both) loss = loss + sum(b.value_for(tape.context()));
    return tape.backward(loss);
  }
};

/// A formula of one's own: the sign of a sum of gradients.
class Signs final : public Optimizer<double> {
 public:
  explicit Signs(double rate) : Optimizer<double>(rate, 0.0, {}) {}
  [[nodiscard]] const char* name() const noexcept override { return "signs"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override {
    return {{"sum", shape, -3.0}};
  }
  void update(const OptimizerUpdate<double>& u) const noexcept override {
    for (std::size_t i = 0; i < u.n; ++i) {
      double& sum = u.state[0].data()[i];
      sum += u.gradient[i] * u.gradient_scale;
      u.to[i] = u.from[i] - (sum > 0 ? u.rate : -u.rate);
    }
  }
};

}  // namespace

TEST_CASE("a formula of one's own") {
  Two m;
  Signs signs(0.25);
  for (int i = 0; i < 4; ++i) signs.step(m.params, m.gradients());
  CHECK(m.a.value()(0) == 0.5);  // the sums are -1, 1.5, 3.5, 5
  CHECK(m.b.value()(0) == 1.5);  // -2, -1, 0, 1
  const auto state = signs.state();
  CHECK(state.arrays.at("signs/sum/b")(2) == 1.0);
  CHECK(state.scalars.at("signs/steps") == 4);
}

TEST_CASE("a step without some gradients names them and changes nothing") {
  Two m;
  Adam<double> adam;
  const auto g = m.gradients(false);
  const std::string text = error_of<ParameterError>([&] { adam.step(m.params, g); });
  CHECK(contains(text, "'b'"));
  CHECK(contains(text, "allow_missing"));
  CHECK_FALSE(contains(text, "'a'"));
  CHECK(m.a.value()(0) == 1.0);
  CHECK(adam.iterations() == 0);
  adam.step(m.params, g, {.allow_missing = true});
  CHECK(m.a.value()(0) != 1.0);
  CHECK(m.b.value()(0) == 1.0);
  m.params.set_trainable("b", false);
  CHECK_NOTHROW(adam.step(m.params, m.gradients(false)));
  CHECK_THROWS_AS(adam.step(m.params, Gradients<double>(), {.allow_missing = true}),
                  ParameterError);
}

TEST_CASE("a step refuses values that found no layer") {
  Two m;
  m.params.set("lost", Array<double>(Shape{1}, 0.0));
  SGD<double> sgd;
  CHECK(contains(error_of<ParameterError>([&] { sgd.step(m.params, m.gradients()); }), "'lost'"));
}

TEST_CASE("the stored scale of clipped gradients is folded in") {
  Two m;
  Two n;
  SGD<double> sgd({.learning_rate = 0.5});
  auto g = m.gradients();
  g.clip_global_norm(0.1);
  sgd.step(m.params, g);
  auto h = n.gradients();
  const double norm = h.global_norm();
  CHECK(n.a.value()(0) - m.a.value()(0) == Approx(0.5 * 2 * 0.1 / norm));
}

TEST_CASE("updates are copy-on-write") {
  Two m;
  const Var<double> held = m.a.value_for(Var<double>(0.0));
  const double* alone = m.b.value().data();
  SGD<double> sgd;
  sgd.step(m.params, m.gradients());
  CHECK(held.value()(0) == 1.0);
  CHECK(m.a.value()(0) != 1.0);
  CHECK(m.b.value().data() == alone);  // nobody else held it: updated in place
}

TEST_CASE("many parameters side by side get what each alone would", "[threads]") {
  const std::size_t before = num_threads();
  set_num_threads(3);
  // Small ones, more than one thread does together, and a large one between them.
  const auto size = [](std::size_t i) { return i == 7 ? std::size_t{20000} : 500 + 13 * i; };
  const auto step = [&](Params<double>& params, Adam<double>& adam) {
    Tape<double> tape;
    Var<double> loss(0.0);
    for (const Parameter<double>& p : params.all()) {
      loss = loss + sum(square(p.value_for(tape.context()) - 0.3));
    }
    adam.step(params, tape.backward(loss));
  };
  const auto add = [&](Params<double>& params, std::size_t i) {
    params.scope()
        .reserve("p" + std::to_string(i))
        .build(Shape{size(i)}, i % 2 == 0 ? "ones" : "zeros", {});
  };
  const OptimizerOptions averaged{.use_ema = true, .ema_momentum = 0.9};
  Params<double> all;
  Adam<double> adam({}, averaged);
  constexpr std::size_t kCount = 60;
  for (std::size_t i = 0; i < kCount; ++i) add(all, i);
  for (int k = 0; k < 3; ++k) step(all, adam);
  for (std::size_t i = 0; i < kCount; ++i) {
    Params<double> one;
    Adam<double> own({}, averaged);
    add(one, i);
    for (int k = 0; k < 3; ++k) step(one, own);
    const std::string path = "p" + std::to_string(i);
    CHECK((one.at(path).value() == all.at(path).value()));
    for (const char* slot : {"adam/m/", "adam/v/"}) {
      CHECK((own.state().arrays.at(slot + path) == adam.state().arrays.at(slot + path)));
    }
  }
  set_num_threads(before);
}

TEST_CASE("options out of range") {
  const auto refused = [](const char* part, auto make) {
    const std::string text = error_of<ValueError>(make);
    INFO(text);
    CHECK(contains(text, part));
  };
  for (const double rate : {0.0, -1.0, HUGE_VAL, std::nan("")}) {
    refused("learning_rate is", [&] { SGD<float>({.learning_rate = rate}); });
    refused("learning_rate is", [&] { Adafactor<float>({.learning_rate = rate}); });
  }
  for (const double bad : {-0.1, 1.5, std::nan("")}) {
    refused("momentum is", [&] { SGD<float>({.momentum = bad}); });
    refused("momentum is", [&] { RMSprop<float>({.momentum = bad}); });
    refused("rho is", [&] { RMSprop<float>({.rho = bad}); });
    refused("rho is", [&] { Adadelta<float>({.rho = bad}); });
    refused("Adam: beta_1 out of range", [&] { Adam<float>({.beta_1 = bad}); });
    refused("Adamax: beta_1 out of range", [&] { Adamax<float>({.beta_1 = bad}); });
    refused("Nadam: beta_2 out of range", [&] { Nadam<float>({.beta_2 = bad}); });
    refused("Lamb: beta_2 out of range", [&] { Lamb<float>({.beta_2 = bad}); });
    refused("Lion: beta_1 out of range", [&] { Lion<float>({.beta_1 = bad}); });
    refused("Lion: beta_2 out of range", [&] { Lion<float>({.beta_2 = bad}); });
    refused("ema_momentum is", [&] { SGD<float>({}, {.ema_momentum = bad}); });
  }
  refused("Lion: beta_1", [] { Lion<float>({.beta_1 = 0}); });
  refused("below 1", [] { Adam<float>({.beta_1 = 1.0}); });
  refused("initial_accumulator_value", [] { Adagrad<float>({.initial_accumulator_value = -1}); });
  refused("beta_2_decay", [] { Adafactor<float>({.beta_2_decay = 0}); });
  refused("clip_threshold", [] { Adafactor<float>({.clip_threshold = 0}); });
  refused("epsilon_2", [] { Adafactor<float>({.epsilon_2 = -1}); });
  for (const double epsilon : {0.0, -1.0, HUGE_VAL, 1e-60}) {  // the last is 0 as a float
    refused("epsilon is", [&] { Adam<float>({.epsilon = epsilon}); });
    refused("epsilon is", [&] { Adagrad<float>({.epsilon = epsilon}); });
    refused("epsilon is", [&] { Adadelta<float>({.epsilon = epsilon}); });
    refused("epsilon is", [&] { RMSprop<float>({.epsilon = epsilon}); });
    refused("epsilon_1 is", [&] { Adafactor<float>({.epsilon_1 = epsilon}); });
  }
  CHECK_NOTHROW(Adam<double>({.epsilon = 1e-60}));
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    refused("clipnorm is", [&] { SGD<float>({}, {.clipnorm = bad}); });
    refused("clipvalue is", [&] { SGD<float>({}, {.clipvalue = bad}); });
    refused("global_clipnorm is", [&] { SGD<float>({}, {.global_clipnorm = bad}); });
  }
  refused("clipped twice", [] { SGD<float>({}, {.clipnorm = 1.0, .clipvalue = 1.0}); });
  refused("weight_decay is", [] { SGD<float>({.weight_decay = -0.1}); });
  refused("ema_overwrite_frequency", [] { SGD<float>({}, {.ema_overwrite_frequency = -1}); });
  refused("gradient_accumulation_steps is 0",
          [] { SGD<float>({}, {.gradient_accumulation_steps = 0}); });
  refused("holds '['", [] { SGD<float>({}, {.exclude_from_weight_decay = {"["}}); });
}

TEST_CASE("the learning rate is a number or a schedule") {
  Adam<float> adam;
  CHECK_THROWS_AS(adam.set_learning_rate(std::nan("")), ValueError);
  CHECK(adam.learning_rate() == 0.001);
  adam.set_learning_rate(0.5);
  CHECK(adam.learning_rate() == 0.5);
  Two m;
  SGD<double> sgd({.learning_rate = [](std::int64_t step) { return step == 0 ? 0.0 : -1.0; }});
  CHECK(sgd.step(m.params, m.gradients()));
  CHECK(m.a.value()(0) == 1.0);  // a rate of 0 is what a warm-up may begin with
  CHECK(contains(error_of<ValueError>([&] { sgd.step(m.params, m.gradients()); }),
                 "sgd: learning_rate out of range: learning_rate is -1"));
  CHECK(sgd.iterations() == 1);
  CHECK_THROWS_AS(sgd.set_learning_rate(0.1), ValueError);
  sgd.set_learning_rate(schedules::Constant{.learning_rate = 0.1});
  CHECK(sgd.learning_rate() == 0.1);
}

TEST_CASE("a norm that is not finite is an error, not NaN in the weights") {
  for (const OptimizerOptions& common :
       {OptimizerOptions{.clipnorm = 1.0}, OptimizerOptions{.global_clipnorm = 1.0}}) {
    Two m;
    SGD<double> sgd({}, common);
    Tape<double> tape;
    const auto g = tape.backward(sum(m.a.value_for(tape.context())) * HUGE_VAL +
                                 sum(m.b.value_for(tape.context())));
    CHECK(contains(error_of<NonFiniteError>([&] { sgd.step(m.params, g); }), "gradient of 'a'"));
    CHECK(m.a.value()(0) == 1.0);
    CHECK(sgd.iterations() == 0);
    CHECK(sgd.state().arrays.empty());
  }
}

TEST_CASE("gradients that are accumulated may miss some of the times") {
  Two m;
  SGD<double> sgd({.learning_rate = 1.0}, {.gradient_accumulation_steps = 2});
  CHECK_FALSE(sgd.step(m.params, m.gradients()));
  CHECK(m.b.value()(0) == 1.0);
  CHECK(sgd.step(m.params, m.gradients(false), {.allow_missing = true}));
  CHECK(m.a.value()(0) == -1.0);  // 1 - (2 + 2) / 2
  CHECK(m.b.value()(0) == 0.5);   // 1 - (1 + 0) / 2
  CHECK(sgd.iterations() == 1);
}

TEST_CASE("averages also follow weights without a gradient, and end in the weights") {
  Two m;
  SGD<double> sgd({.learning_rate = 0.25}, {.use_ema = true, .ema_momentum = 0.5});
  sgd.step(m.params, m.gradients());  // a: 0.5, b: 0.75, both averages the same
  sgd.step(m.params, m.gradients(false), {.allow_missing = true});
  CHECK(m.a.value()(0) == 0.25);
  CHECK(sgd.state().arrays.at("sgd/average/b")(0) == 0.75);
  sgd.finalize(m.params);
  CHECK(m.a.value()(0) == 0.375);
  CHECK(m.b.value()(0) == 0.75);
}

TEST_CASE("every optimizer is made from nothing, from empty braces, and copied") {
  const auto check = []<class O>(std::in_place_type_t<O>) {
    O plain;
    O braces({});
    O both({}, {});
    const O copy(plain);
    INFO(plain.name());
    CHECK(std::string(braces.name()) == plain.name());
    CHECK(braces.learning_rate() == typename O::Options().learning_rate(0));
    CHECK(both.state().scalars == copy.state().scalars);
  };
  check(std::in_place_type<SGD<float>>);
  check(std::in_place_type<Adam<float>>);
  check(std::in_place_type<AdamW<double>>);
  check(std::in_place_type<Adamax<float>>);
  check(std::in_place_type<Nadam<double>>);
  check(std::in_place_type<Lamb<float>>);
  check(std::in_place_type<Lion<float>>);
  check(std::in_place_type<Adagrad<double>>);
  check(std::in_place_type<Adadelta<float>>);
  check(std::in_place_type<RMSprop<float>>);
  check(std::in_place_type<Adafactor<float>>);
}

TEST_CASE("gradients that were scaled give the step of those that were not") {
  Two m, n;
  SGD<double> a, b;
  a.step(m.params, m.gradients());
  auto g = n.gradients();
  b.step(n.params, g.scale(1024.0).scale(1.0 / 1024.0));
  CHECK((m.a.value() == n.a.value()));
}

TEST_CASE("zero gradients and empty parameters do no harm") {
  const auto check = [](auto&& optimizer) {
    Params<float> params;
    const auto w = params.scope().reserve("w");
    const auto e = params.scope().reserve("e");
    w.build({2, 2}, "zeros", {});
    e.build({0, 3}, "zeros", {});
    for (int i = 0; i < 3; ++i) {
      Tape<float> tape;
      const auto zero = tape.input(Var<float>(0.0F));
      optimizer.step(params, tape.backward(sum(w.value_for(zero) * zero) + sum(e.value_for(zero))));
    }
    INFO(optimizer.name());
    CHECK((w.value() == Array<float>(Shape{2, 2}, 0.0F)));
  };
  check(SGD<float>());
  check(Adam<float>());
  check(Adamax<float>());
  check(Nadam<float>());
  check(Lamb<float>());
  check(Lion<float>());
  check(Adagrad<float>());
  check(Adadelta<float>());
  check(RMSprop<float>({.centered = true}));
  check(Adafactor<float>());
  check(SGD<float>({}, {.clipnorm = 1.0}));
  check(SGD<float>({}, {.global_clipnorm = 1.0}));
}

TEST_CASE("one optimizer belongs to one model") {
  Adam<double> adam;
  Two m;
  adam.step(m.params, m.gradients());
  Params<double> other;
  const auto a = other.scope().reserve("a");
  a.build({5}, "ones", {});
  Tape<double> tape;
  const auto g = tape.backward(sum(a.value_for(tape.context())));
  CHECK_THROWS_AS(adam.step(other, g), ParameterError);
  CHECK(a.value()(0) == 1.0);
}
