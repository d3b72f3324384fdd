#include "support/models.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using Model = Seq2Seq<double>;

}  // namespace

TEST_CASE("options of a Seq2Seq as text and back") {
  std::vector<Seq2SeqOptions> all = all_seq2seqs();
  Seq2SeqOptions o{.source_vocabulary = 5, .target_vocabulary = 6};
  o.embedding_dropout = 0.1;
  o.attention_dropout = 0.2;
  o.activation_dropout = 0.3;
  o.output_bias = false;
  o.position_initializer = initializers::RandomUniform{.minval = -0.1, .maxval = 0.1};
  o.output_initializer = "zeros";
  o.epsilon = 1e-6;
  o.pad_id = 1;
  o.start_id = 4;
  o.end_id = 5;
  all.push_back(o);
  for (const Seq2SeqOptions& options : all) {
    Params<double> params({.seed = 3}), again({.seed = 3});
    const Model model(params.scope(), options);
    const std::string text = model.get_config();
    const Model copy(again.scope(), Model::from_config(text));
    CHECK(copy.get_config() == text);
    model.build();
    copy.build();
    const auto values = params.values(), same = again.values();
    REQUIRE(values.size() == same.size());
    for (const auto& [path, value] : values) CHECK(difference(value, same.at(path)) == 0);
  }
  CHECK(Model::from_config(R"({"source_vocabulary": 4})").hidden_dim == 256);
  const auto refused = [](const std::string& text, const std::string& part) {
    const std::string error =
        error_of<ValueError>([&] { static_cast<void>(Model::from_config(text)); });
    INFO(error);
    CHECK(contains(error, part));
    CHECK(contains(error, "Seq2Seq::from_config: "));
  };
  refused("{", "no JSON");
  refused(R"({"width": 4})", "unknown key");
  refused(R"({"dropout": "much"})", "dropout is \"much\", expected a number");
  refused(R"({"positions": "cosine"})", "expected one of sine, learned, rotary, none");
  refused(R"({"tying": 3})", "tying is 3, expected a string");
  refused(R"({"hidden_dim": 2.5})", "hidden_dim is 2.5");
  Params<double> params;
  o.kernel_initializer = [](const Shape& shape, Fans, RandomStream&) {
    return Array<double>(shape, 1.0);
  };
  const Model own(params.scope() / "m", o);
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(own.get_config()); }),
                 "m: get_config: kernel_initializer cannot be written"));
}
