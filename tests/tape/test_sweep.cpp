// Gradients that are used while backward goes on.
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <xtape/tape/recompute.hpp>

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

/// Takes each gradient when it is complete, and counts the nodes before.
struct Taker final : detail::BackwardWatch<double> {
  explicit Taker(const Params<double>& params) {
    for (const auto& p : params.all()) waiting.push_back(p);
  }
  void passed(detail::Sweep<double>& sweep) override {
    ++nodes;
    std::erase_if(waiting, [&](const Parameter<double>& p) {
      if (!sweep.complete(p.slot())) return false;
      taken.emplace(p.path(), sweep.take(p.slot()));
      when.emplace(p.path(), nodes);
      CHECK(!sweep.take(p.slot()).has_value());  // once
      return true;
    });
  }
  int nodes = 0;
  std::vector<Parameter<double>> waiting;
  std::map<std::string, V> taken;
  std::map<std::string, int> when;
};

struct Model {
  Model() {
    for (const char* name : {"first", "inside", "both", "last", "unused", "frozen"}) {
      params.scope().reserve(name).build({3}, "random_normal", {});
    }
    params.set_trainable("frozen", false);
  }
  [[nodiscard]] V times(const char* name, const V& x) const {
    return x * params.at(name).value_for(x);
  }
  [[nodiscard]] V loss(const Tape<double>& tape) const {
    V x = times("first", V(random_array<double>({3}, 5)).in(tape.context()));
    const auto part = [this](const V& u) { return tanh(times("both", times("inside", u))); };
    x = checkpoint([=](const V& u) { return checkpoint(part, u) + u; }, x);
    return sum(times("frozen", times("last", tanh(times("both", times("both", x))))));
  }
  Params<double> params{ParamsOptions{1}};
};

}  // namespace

TEST_CASE("a complete gradient is the one that backward returns") {
  const Model model;
  Tape<double> tape;
  const Gradients<double> whole = tape.backward(model.loss(tape));
  CHECK(whole.size() == 4);
  for (int repeat = 0; repeat < 2; ++repeat) {  // also after clear()
    Taker taker(model.params);
    const Gradients<double> rest = tape.backward(model.loss(tape), {.watch = &taker});
    for (const auto& p : model.params.all()) {
      INFO(p.path());
      CHECK(!rest.contains(p));
      REQUIRE(taker.when.count(p.path()) == 1);
      const V& gradient = taker.taken.at(p.path());
      REQUIRE(gradient.has_value() == whole.contains(p));
      if (gradient.has_value()) CHECK(gradient.value() == whole[p].value());
    }
    CHECK(taker.when.at("unused") == 1);  // nothing reads them
    CHECK(taker.when.at("frozen") == 1);
    CHECK(taker.when.at("last") < taker.when.at("both"));
    CHECK(taker.when.at("both") == taker.when.at("inside"));  // those of the recomputed part
    CHECK(taker.when.at("inside") < taker.when.at("first"));
  }
}

TEST_CASE("what was read before a rewind counts no more") {
  const Model model;
  Tape<double> tape;
  const V x = tape.watch(random_array<double>({3}, 6));
  const auto mark = tape.mark();
  static_cast<void>(model.times("first", model.times("last", x)));
  tape.rewind(mark);
  const V y = model.times("last", tanh(model.times("first", tanh(x))));
  Taker taker(model.params);
  const Gradients<double> rest = tape.backward(sum(y), {.retain = true, .watch = &taker});
  const Gradients<double> whole = tape.backward(sum(y));
  for (const char* name : {"first", "last"}) {
    CHECK(taker.taken.at(name).value() == whole.at(name).value());
    CHECK(!rest.contains(model.params.at(name)));
  }
}
