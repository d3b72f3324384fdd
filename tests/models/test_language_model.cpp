#include "support/golden.hpp"
#include "support/models.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

using Model = LanguageModel<double>;

const IdArray kIds = array<std::int64_t>({2, 4}, {2, 5, 4, 7, 1, 8, 6, 4});
const IdArray kNext = array<std::int64_t>({2, 4}, {5, 4, 7, 3, 8, 6, 4, 1});

}  // namespace

TEMPLATE_TEST_CASE("a LanguageModel agrees with one of PyTorch's layers", "", double, float) {
  using T = TestType;
  const Json cases = golden("language_model");
  Errors errors(with_type<T>("language model"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const LanguageModel<T> model(run.params().scope(),
                                 LanguageModel<T>::from_config(c["options"].dump()));
    const Tokens<T> ids = run.tape().input(*golden_constant<std::int64_t>(c, "ids"));
    run.check({{"logits", model.logits(ids)},
               {"loss", model.loss(ids, *golden_constant<std::int64_t>(c, "next"),
                                   {.label_smoothing = c["label_smoothing"].get<double>()})}});
  }
  CHECK(errors.cases() == 2);
}

TEST_CASE("a published language model has the published number of parameters") {
  // nanoGPT on characters, on a laptop: 4 layers of 4 heads, width 128, 65 characters, blocks of 64,
  // no biases: 0.80 M, of which 64 x 128 are positions.
  Params<float> params({.seed = 1});
  const LanguageModel<float> model(
      params.scope(), {.vocabulary = 65,
                       .hidden_dim = 128,
                       .num_heads = 4,
                       .intermediate_dim = 512,
                       .layers = 4,
                       .max_length = 64,
                       .use_bias = false,
                       .embedding_initializer = initializers::RandomNormal{.stddev = 0.02},
                       .kernel_initializer = initializers::RandomNormal{.stddev = 0.02}});
  model.build();
  // 4 x (2 norms, 4 projections, 2 layers of 4 x 128), the last norm, tokens, positions.
  CHECK(params.count() ==
        4 * (2 * 128 + 4 * 128 * 128 + 2 * 128 * 512) + 128 + 65 * 128 + 64 * 128);
  // Values as they were asked for: the standard deviation, and tables of one kind.
  const Array<float> table = params.at("embedding/embeddings").value();
  double squares = 0;
  for (const float x : table) squares += static_cast<double>(x) * static_cast<double>(x);
  CHECK(std::sqrt(squares / static_cast<double>(table.size())) == Approx(0.02).epsilon(0.05));
  CHECK(!params.contains("output/kernel"));
}

TEST_CASE("a token changes no logit before it, bit for bit") {
  for (const LanguageModelOptions& options : all_language_models()) {
    Params<double> params({.seed = 1});
    const Model model(params.scope(), options);
    CHECK(causal([&](const IdArray& ids) { return model.logits(ids).value(); }, kIds, 9));
  }
}

TEST_CASE("step by step a LanguageModel's logits are those of the whole") {
  double worst = 0;
  for (const LanguageModelOptions& options : all_language_models()) {
    Params<double> params({.seed = 1});
    const Model model(params.scope(), options);
    const Array<double> whole = model.logits(kIds).value();
    for (const std::size_t step : {1U, 2U, 4U}) {
      auto caches = model.caches(4);
      for (std::size_t t = 0; t < 4; t += step) {
        const IdArray now = columns(kIds, t, step), upto = columns(kIds, 0, t + step);
        const Array<double> logits =
            slice(Var<double>(whole),
                  {Slice::all(), Slice::at(static_cast<std::ptrdiff_t>(t + step - 1))})
                .value();
        worst = std::max(worst, difference(model.step(now, caches).value(), logits));
        worst = std::max(worst, difference(model.next(upto).value(), logits));
      }
      CHECK(caches[0].length() == 4);
    }
  }
  CHECK(worst <= 1e-12);
  std::cout << "language model, cached: worst difference " << worst << '\n';
}

TEST_CASE("gradients of a LanguageModel are those of its differences") {
  for (LanguageModelOptions options : all_language_models()) {
    options.layers = 1;
    check_model_gradients<Model>(options, [](const Model& model, const auto& node) {
      return model.loss(Tokens<double>(kIds, node), kNext, {.label_smoothing = 0.1});
    });
  }
}

TEST_CASE("options of a LanguageModel as text and back") {
  std::vector<LanguageModelOptions> all = all_language_models();
  all.push_back({.vocabulary = 5, .final_norm = false, .embedding_dropout = 0.1, .start_id = 2});
  for (const LanguageModelOptions& options : all) {
    Params<double> params({.seed = 3}), again({.seed = 3});
    const Model model(params.scope(), options);
    const std::string text = model.get_config();
    const Model copy(again.scope(), Model::from_config(text));
    CHECK(copy.get_config() == text);
    CHECK(copy.options().end_id == options.end_id);
    CHECK(copy.options().start_id == options.start_id);
    CHECK(difference(model.logits(kIds % 5).value(), copy.logits(kIds % 5).value()) == 0);
  }
  CHECK(contains(
      error_of<ValueError>([] { static_cast<void>(Model::from_config(R"({"layers": "2"})")); }),
      "LanguageModel::from_config: wrong value: layers is \"2\""));
  CHECK(contains(
      error_of<ValueError>([] { static_cast<void>(Model::from_config(R"({"end_id": 1.5})")); }),
      "end_id is 1.5"));
}

TEST_CASE("a LanguageModel refuses options and inputs out of range") {
  using O = LanguageModelOptions;
  check_refused<Model, O>(all_language_models()[0], "", "LanguageModel",
                          {
                              {[](O& o) { o.vocabulary = 0; }, "vocabulary is 0"},
                              {[](O& o) { o.layers = 0; }, "layers is 0"},
                              {[](O& o) { o.num_heads = 3; }, "num_heads does not divide"},
                              {[](O& o) { o.dropout = -1; }, "dropout is -1"},
                              {[](O& o) { o.tying = Tying::all; }, "tying is Tying::all"},
                              {[](O& o) { o.pad_id = 9; }, "pad_id is 9"},
                              {[](O& o) { o.start_id = 3; }, "ids are not distinct"},
                              {[](O& o) { o.end_id = -1; }, "end_id is -1"},
                          });
  Params<double> params;
  const Model model(params.scope() / "m", all_language_models()[0]);
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(model.logits(IdArray(Shape{3}))); }),
                 "m: ids does not fit: ids is (3,)"));
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(model.loss(kIds, IdArray(Shape{2, 3}, 1)));
                 }),
                 "m: next does not fit: next is (2, 3), expected (2, 4)"));
  CHECK(contains(error_of<ValueError>([&] {
                   static_cast<void>(model.logits(IdArray(Shape{1, 25}, 1)));
                 }),
                 "m/positions: too many positions"));
  auto caches = model.caches(3);
  caches.pop_back();
  CHECK_THROWS_AS(model.step(kIds, caches), ValueError);
}
