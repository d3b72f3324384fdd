#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

/// The models of tests/golden/make/summary.py.
Sequential<double> sequential(Params<double>& params) {
  Sequential<double> model(params.scope());
  model.add<Dense>({.units = 64}, "dense").add<Dropout>({.rate = 0.1}, "dropout");
  model.add<Dense>({.units = 10}, "a_rather_long_name_that_needs_wrapping_somewhere");
  return model;
}
Sequential<double> net(Params<double>& params) {
  const Scope<double> root = params.scope();
  Sequential<double> inner(root / "block" / "inner");
  inner.add<Dense>({.units = 2000}, "up").add<Dense>({.units = 16}, "down");
  Sequential<double> block(root / "block");
  block.add(std::move(inner), "inner").add<LayerNormalization>({}, "norm");
  Sequential<double> model(root);
  model.add<Dense>({.units = 64, .trainable = false}, "dense").add(std::move(block), "block");
  model.add<Dense>({.units = 10, .use_bias = false}, "last");
  return model;
}

std::size_t lines_with(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("summaries are Keras's, letter by letter") {
  const Json cases = golden("summary");
  for (const Json& c : cases) {
    const std::string name = c["name"].get<std::string>();
    Params<double> params({.seed = 1});
    const Sequential<double> model = name == "net" ? net(params) : sequential(params);
    const std::string text = summary(params,
                                     [&](Tape<double>& tape) {
                                       model(tape.input(Array<double>(Shape{4, 8}, 0.5)));
                                     },
                                     {.name = name,
                                      .expand_nested = c["expand_nested"].get<bool>(),
                                      .show_trainable = c["show_trainable"].get<bool>(),
                                      .line_length = c["line_length"].get<std::size_t>()});
    CHECK(text == c["text"].get<std::string>());
  }
  CHECK(cases.size() == 14);
}

TEST_CASE("a summary of a struct of layers") {
  Params<float> params({.seed = 1});
  const Scope<float> s = params.scope();
  const Embedding<float> table(s / "tokens", {.input_dim = 11, .output_dim = 8});
  const TransformerEncoder<float> block(s / "encoder" / "0",
                                        {.hidden_dim = 8, .num_heads = 2, .intermediate_dim = 5});
  const Dense<float> unused(s / "unused", {.units = 3});
  const Parameter<float> own = s.reserve("own");
  own.build({7}, "zeros", {});
  const auto run = [&](Tape<float>& tape) {
    const auto ids = tape.input(Array<std::int64_t>(Shape{2, 3}, 1));
    static_cast<void>(table.attend(block(table(ids))));
  };
  const std::string flat = summary(params, run);
  CHECK(contains(flat,
                 "│ tokens (Embedding)              │ (2, 3, 8)              │            88 │"));
  CHECK(contains(flat, "│ encoder/0 (TransformerEncoder)  │ (2, 3, 8)"));
  CHECK(contains(flat,
                 "│ unused                          │ ?                      │   0 (unbuilt) │"));
  CHECK(contains(flat,
                 "│ own                             │ ?                      │             7 │"));
  CHECK(contains(flat, "Total params: " + std::to_string(params.count()) + " ("));
  CHECK(lines_with(flat, "├") == 3);
  CHECK(flat.find("tokens") < flat.find("encoder"));
  const std::string nested = summary(params, run, {.expand_nested = true});
  CHECK(contains(nested, "│    └ self_attention             │ (2, 3, 8)"));
  CHECK(contains(nested, "│ (MultiHeadAttention)            │"));
  CHECK(contains(nested, "│       └ query (Dense)           │ (2, 3, 2, 4)"));
  CHECK(contains(nested, "└ feed_forward (FeedForward)"));
  const std::string part = summary(params, run, {.name = "part", .scope = "encoder/0"});
  CHECK(contains(part, "Model: \"part\""));
  CHECK(contains(part, "│ self_attention                  │"));
  CHECK_FALSE(contains(part, "tokens"));
  const std::string without = summary(params);
  CHECK(contains(without, "│ encoder/0/self_attention/query  │ ?"));
  CHECK(contains(without,
                 "│ tokens                          │ ?                      │            88 │"));
}

TEST_CASE("what a summary refuses; the tape it used tells nobody afterwards") {
  Params<float> params({.seed = 1});
  const Dense<float> dense(params.scope() / "d", {.units = 3});
  CHECK(contains(
      error_of<ValueError>([&] { static_cast<void>(summary(params, {.line_length = 10})); }),
      "line_length is 10"));
  CHECK(contains(
      error_of<ParameterError>([&] { static_cast<void>(summary(params, {.scope = "e"})); }),
      "below 'e'"));
  const auto fails = [&](Tape<float>& tape) {
    static_cast<void>(dense(tape.input(Array<float>(Shape{2, 3}, 1.F))));
    throw std::runtime_error("stop");
  };
  CHECK_THROWS_AS(summary(params, fails), std::runtime_error);
  Tape<float> tape;  // perhaps of the same state
  CHECK_NOTHROW(dense(tape.input(Array<float>(Shape{2, 3}, 1.F))));
}
