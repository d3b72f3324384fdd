// Logs and History.
#include "support/catch.hpp"

#include <sstream>
#include "support/training.hpp"

using namespace xtape;
using namespace xtape::test;

TEST_CASE("logs print as the progress bar does") {
  std::ostringstream out;
  out << Logs{{"loss", 0.25}, {"rate", 1e-5}};
  CHECK(out.str() == "loss: 0.2500 - rate: 1.0000e-05");
}

TEST_CASE("logs keep their order and say what there is") {
  Logs logs{{"loss", 1.0}, {"b", 2.0}};
  logs.set("a", 3.0);
  logs.set("loss", 4.0);
  CHECK(logs.names() == "loss,b,a");
  CHECK(logs.at("loss") == 4.0);
  CHECK(logs.find("c") == nullptr);
  CHECK(error_of<ValueError>([&] { static_cast<void>(logs.at("c")); }) ==
        "Logs: no such number: name is 'c', expected one of: loss,b,a");
}

TEST_CASE("a history comes back from a checkpoint's progress bit by bit") {
  History history;
  history.add(3, {{"loss", 0.1}, {"a b\"c", -0.0}});
  history.add(4, {{"loss", 1e-310}, {"a b\"c", std::nan("")}, {"val_loss", HUGE_VAL}});
  CHECK(history["val_loss"].size() == 1);
  TrainingProgress progress;
  history.save(progress);
  History loaded;
  loaded.load(progress);
  CHECK(loaded.epochs() == history.epochs());
  CHECK(loaded["loss"] == history["loss"]);
  CHECK(std::signbit(loaded["a b\"c"][0]));
  CHECK(std::isnan(loaded["a b\"c"][1]));
  CHECK(loaded["val_loss"][0] == HUGE_VAL);
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(loaded["none"]); }),
                 "History: no such list: name is 'none', expected one of: loss,a b\"c,val_loss"));
  // A wrong text changes nothing.
  progress.texts["history/columns/loss"] = "0.1 x";
  CHECK(contains(error_of<ValueError>([&] { loaded.load(progress); }), "no list of numbers"));
  progress.texts.erase("history/columns/loss");
  CHECK(contains(error_of<ValueError>([&] { loaded.load(progress); }), "list missing"));
  CHECK(loaded["loss"] == history["loss"]);
  loaded.load({});
  CHECK(loaded == History());
}

TEST_CASE("metrics give their state away and take it back") {
  const auto same = [](Metric& a, Metric& b) {
    b.load_state(a.state());
    CHECK(b.result() == a.result());
    CHECK(b.state() == a.state());
    CHECK_THROWS_AS(b.load_state(std::vector<double>(17)), ValueError);
    CHECK(b.state() == a.state());
  };
  const Var<double> p(random_array<double>(Shape{3, 4}, 1, 0.1, 1));
  Array<std::int64_t> labels(Shape{3}, 2);
  Accuracy a, a2;
  a.update(p, labels);
  same(a, a2);
  Perplexity q, q2;
  q.update(p, labels);
  same(q, q2);
  const std::vector<std::string> said{"a", "b", "c", "d", "e"}, meant{"a", "b", "c", "d", "f"};
  EditDistance e, e2;
  e.update(said, {meant});
  same(e, e2);
  CHECK(e2.sequence_error_rate() == 100);
  BLEU b, b2;
  b.update(said, {meant});
  CHECK(b.result() > 0);
  same(b, b2);
  for (const double bad : {-1.0, 0.5, std::nan(""), HUGE_VAL}) {
    std::vector<double> state = e.state();
    state[2] = bad;
    CHECK_THROWS_AS(e2.load_state(state), ValueError);
    CHECK(e2.state() == e.state());
  }
}
