#include "support/golden.hpp"
#include "support/models.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

using Model = Seq2Seq<double>;

const IdArray kTarget = array<std::int64_t>({3, 4}, {2, 5, 4, 7, 2, 8, 0, 0, 2, 4, 4, 6});
const IdArray kNext = array<std::int64_t>({3, 4}, {5, 4, 7, 3, 8, 3, 0, 0, 4, 4, 6, 8});

std::size_t parameters(const Seq2SeqOptions& options) {
  Params<float> params({.seed = 1});
  const Seq2Seq<float> model(params.scope(), options);
  CHECK(params.count() == 0);
  model.build();
  return params.count();
}

}  // namespace

TEMPLATE_TEST_CASE("a Seq2Seq agrees with one of PyTorch's layers", "", double, float) {
  using T = TestType;
  const Json cases = golden("seq2seq");
  Errors errors(with_type<T>("seq2seq"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const auto options = Seq2Seq<T>::from_config(c["options"].dump());
    const Seq2Seq<T> model(run.params().scope(), options);
    const auto mask = golden_constant<bool>(c, "mask");
    const Tokens<T> source = run.tape().input(*golden_constant<std::int64_t>(c, "source"));
    const Tokens<T> read = run.tape().input(*golden_constant<std::int64_t>(c, "target_in"));
    const auto written = *golden_constant<std::int64_t>(c, "target_out");
    run.check({{"logits", model.logits(read, model.encode(source, mask), mask)},
               {"loss", model.loss(source, mask, read, written,
                                   {.label_smoothing = c["label_smoothing"].get<double>()})}});
  }
  CHECK(errors.cases() == 4);
}

TEST_CASE("published models have the published numbers of parameters") {
  // bentrevett/pytorch-seq2seq, lesson 6: 7853 German and 5893 English tokens.
  CHECK(parameters({.source_vocabulary = 7853,
                    .target_vocabulary = 5893,
                    .hidden_dim = 256,
                    .num_heads = 8,
                    .intermediate_dim = 512,
                    .encoder_layers = 3,
                    .decoder_layers = 3,
                    .normalize_first = false,
                    .positions = Positions::learned,
                    .max_length = 100,
                    .dropout = 0.1,
                    .embedding_initializer = "glorot_uniform"}) == 9038341);
}

TEST_CASE("each way to share tables") {
  const Seq2SeqOptions o = all_seq2seqs()[0];
  const std::size_t table = 9 * 8;
  Seq2SeqOptions tied = o;
  const std::size_t separate = parameters(o);
  tied.tying = Tying::output;
  CHECK(parameters(tied) == separate - table - 9);  // no kernel, and no bias unless asked for
  tied.output_bias = true;
  CHECK(parameters(tied) == separate - table);
  tied.tying = Tying::all;
  CHECK(parameters(tied) == separate - 2 * table);

  // The gradient of the one table is the sum of those of three, where these have one value.
  Params<double> together({.seed = 1}), apart({.seed = 2});
  Seq2SeqOptions all = o;
  all.tying = Tying::all;
  all.output_bias = true;
  const Model one(together.scope(), all), three(apart.scope(), o);
  one.build();
  three.build();
  const Array<double> shared = together.at("embedding/embeddings").value();
  for (const auto& [path, value] : together.values()) {
    if (apart.contains(path)) apart.set(path, value);
  }
  for (const char* path : {"source_embedding/embeddings", "target_embedding/embeddings"}) {
    apart.set(path, shared);
  }
  apart.set("output/kernel", transpose(Var<double>(shared)).value());
  const Sources s = sources_of({4, 2, 5}, 5, 1);
  Tape<double> tape;
  const auto run = [&](const Model& model) {
    return tape.backward(model.loss(tape.input(s.ids), s.mask, tape.input(kTarget), kNext,
                                    {.label_smoothing = 0.1}));
  };
  const Gradients<double> a = run(one), b = run(three);
  const Var<double> sum = b.at("source_embedding/embeddings") +
                          b.at("target_embedding/embeddings") + transpose(b.at("output/kernel"));
  CHECK(difference(a.at("embedding/embeddings").value(), sum.value()) <= 1e-12);
  CHECK(difference(a.at("output/bias").value(), b.at("output/bias").value()) <= 1e-12);
}

TEST_CASE("the loss is the mean over the tokens that exist") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const Sources s = sources_of({4, 2, 5}, 5, 1);
  const Array<double> p =
      log_softmax(model.logits(kTarget, model.encode(s.ids, s.mask), s.mask)).value();
  double hard = 0, spread = 0;
  int count = 0;
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t t = 0; t < 4; ++t) {
      if (kNext(r, t) == 0) continue;
      ++count;
      hard -= p(r, t, static_cast<std::size_t>(kNext(r, t)));
      for (std::size_t k = 0; k < 9; ++k) spread -= p(r, t, k) / 9;
    }
  }
  CHECK(count == 10);
  const auto loss = [&](const TokenLossOptions& o) {
    return model.loss(s.ids, s.mask, kTarget, kNext, o).item();
  };
  CHECK(loss({}) == Approx(hard / count).epsilon(1e-12));
  CHECK(loss({.label_smoothing = 0.2}) ==
        Approx((0.8 * hard + 0.2 * spread) / count).epsilon(1e-12));
  CHECK(loss({.reduction = Reduction::sum}) == Approx(hard).epsilon(1e-12));
}

TEST_CASE("a target token changes no logit before it, bit for bit") {
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    Params<double> params({.seed = 1});
    const Model model(params.scope(), options);
    const Sources s = sources_of({4, 2, 5}, 5, 1);
    const Var<double> memory = model.encode(s.ids, s.mask);
    CHECK(causal([&](const IdArray& ids) { return model.logits(ids, memory, s.mask).value(); },
                 kTarget, 9));
  }
}

TEST_CASE("what pads a source changes nothing") {
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    Params<double> params({.seed = 1});
    const Model model(params.scope(), options);
    const Sources s = sources_of({4, 2, 5}, 7, 1);
    const Array<double> whole = model.logits(kTarget, model.encode(s.ids, s.mask), s.mask).value();
    for (std::size_t r = 0; r < 3; ++r) {
      const IdArray alone = source_alone(s, r);
      IdArray target(Shape{1, 4});
      for (std::size_t t = 0; t < 4; ++t) target(0, t) = kTarget(r, t);
      const Array<double> one = model.logits(target, model.encode(alone)).value();
      const auto row = static_cast<std::ptrdiff_t>(r);
      const Var<double> same = slice(Var<double>(whole), {Slice::range(row, row + 1)});
      CHECK(difference(one, same.value()) <= 1e-12);
    }
  }
}

TEST_CASE("step by step with caches the logits are those of the whole, and so are the scores") {
  double worst = 0;
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    Params<double> params({.seed = 1});
    const Model model(params.scope(), options);
    const Sources s = sources_of({4, 2, 5}, 5, 1);
    const Var<double> memory = model.encode(s.ids, s.mask);
    const auto whole = model.with_scores(kTarget, memory, s.mask);
    CHECK(difference(whole.logits.value(), model.logits(kTarget, memory, s.mask).value()) == 0);
    REQUIRE(whole.cross_scores.size() == static_cast<std::size_t>(options.decoder_layers));
    auto caches = model.caches(4), silent = model.caches(4);
    for (std::size_t t = 0; t < 4; ++t) {
      const IdArray now = columns(kTarget, t, 1), upto = columns(kTarget, 0, t + 1);
      const Var<double> given = t == 0 ? memory : Var<double>();
      const auto here = model.step_with_scores(now, given, s.mask, caches);
      const auto at = static_cast<std::ptrdiff_t>(t);
      const auto part = [&](const Var<double>& x, std::vector<Slice> index) {
        return slice(x, index).value();
      };
      const Array<double> logits = part(whole.logits, {Slice::all(), Slice::at(at)});
      worst = std::max(worst, difference(here.logits.value(), logits));
      worst = std::max(worst, difference(model.next(upto, memory, s.mask).value(), logits));
      CHECK(difference(model.step(now, given, s.mask, silent).value(), here.logits.value()) == 0);
      for (std::size_t i = 0; i < here.cross_scores.size(); ++i) {
        const Array<double> scores =
            part(whole.cross_scores[i], {Slice::all(), Slice::all(), Slice::range(at, at + 1)});
        worst = std::max(worst, difference(here.cross_scores[i].value(), scores));
      }
    }
  }
  CHECK(worst <= 1e-12);
  std::cout << "seq2seq, cached: worst difference " << worst << '\n';
}

TEST_CASE("a step that fails leaves the caches as they were") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const Sources s = sources_of({4, 2, 5}, 5, 1);
  const Var<double> memory = model.encode(s.ids, s.mask);
  const IdArray start(Shape{3, 1}, 2);
  const Array<double> expected = model.next(start, memory, s.mask).value();
  // The last layer's result is not finite: the first layers have been through.
  const auto break_last = [&](double value) {
    Array<double> bias = params.at("decoder/1/feed_forward/output/bias").value();
    bias(0) = value;
    params.set("decoder/1/feed_forward/output/bias", bias);
  };
  const double whole = params.at("decoder/1/feed_forward/output/bias").value()(0);
  Tape<double> tape({.record = false, .check_finite = true});
  auto caches = model.caches(2);
  for (const std::size_t held : {0U, 1U}) {
    break_last(NAN);
    CHECK_THROWS_AS(model.step(tape.input(start), tape.input(memory), s.mask, caches),
                    NonFiniteError);
    break_last(whole);
    for (auto& cache : caches) CHECK(cache.length() == held);
    const Array<double> logits = model.step(start, memory, s.mask, caches).value();
    if (held == 0) CHECK(difference(logits, expected) <= 1e-12);
  }
}

TEST_CASE("gradients of a Seq2Seq are those of its differences") {
  const Sources s = sources_of({3, 2}, 3, 1);
  const IdArray read = array<std::int64_t>({2, 3}, {2, 5, 4, 2, 8, 0});
  const IdArray written = array<std::int64_t>({2, 3}, {5, 4, 3, 8, 3, 0});
  for (Seq2SeqOptions options : all_seq2seqs()) {
    options.encoder_layers = options.decoder_layers = 1;
    check_model_gradients<Model>(options, [&](const Model& model, const auto& node) {
      return model.loss(Tokens<double>(s.ids, node), s.mask, Tokens<double>(read, node), written,
                        {.label_smoothing = 0.1});
    });
  }
}

TEST_CASE("a Seq2Seq refuses options out of range, and takes no names") {
  using O = Seq2SeqOptions;
  check_refused<Model, O>(
      all_seq2seqs()[0], "m", "m",
      {
          {[](O& o) { o.source_vocabulary = 0; }, "source_vocabulary is 0"},
          {[](O& o) { o.target_vocabulary = -1; }, "target_vocabulary is -1"},
          {[](O& o) { o.hidden_dim = 0; }, "hidden_dim is 0"},
          {[](O& o) { o.num_heads = 0; }, "num_heads is 0"},
          {[](O& o) { o.num_heads = 3; }, "num_heads does not divide"},
          {[](O& o) { o.intermediate_dim = 0; }, "intermediate_dim is 0"},
          {[](O& o) { o.encoder_layers = 0; }, "encoder_layers is 0"},
          {[](O& o) { o.decoder_layers = 0; }, "decoder_layers is 0"},
          {[](O& o) { o.epsilon = -1; }, "epsilon is -1"},
          {[](O& o) {
             o.positions = Positions::learned;
             o.max_length = 0;
           },
           "max_length is 0"},
          {[](O& o) { o.max_wavelength = 0; }, "max_wavelength is 0"},
          {[](O& o) {
             o.positions = Positions::rotary;
             o.num_heads = 8;
           },
           "width of a head is not even"},
          {[](O& o) { o.activation = "relo"; }, "activation: "},
          {[](O& o) {
             o.activation = "glu";
             o.intermediate_dim = 5;
           },
           "intermediate_dim is not even"},
          {[](O& o) { o.dropout = 1.5; }, "dropout is 1.5"},
          {[](O& o) { o.embedding_dropout = -0.1; }, "embedding_dropout is -0.1"},
          {[](O& o) { o.attention_dropout = NAN; }, "attention_dropout is nan"},
          {[](O& o) { o.activation_dropout = 2; }, "activation_dropout is 2"},
          {[](O& o) {
             o.tying = Tying::all;
             o.source_vocabulary = 8;
           },
           "tables cannot be one: source_vocabulary is 8"},
          {[](O& o) { o.num_key_value_heads = 0; }, "num_key_value_heads is 0"},
          {[](O& o) {
             o.num_heads = 4;
             o.num_key_value_heads = 3;
           },
           "num_key_value_heads does not divide"},
          {[](O& o) { o.pad_id = 9; }, "pad_id is 9, expected 0 to 8"},
          {[](O& o) { o.start_id = -1; }, "start_id is -1"},
          {[](O& o) { o.end_id = 10; }, "end_id is 10"},
          {[](O& o) { o.end_id = o.start_id; }, "ids are not distinct"},
      });
}

TEST_CASE("a Seq2Seq refuses inputs that do not fit") {
  Params<double> params({.seed = 1});
  Seq2SeqOptions o = all_seq2seqs()[1];
  o.max_length = 5;
  const Model model(params.scope(), o);
  const Sources s = sources_of({4, 2, 5}, 5, 1);
  const Var<double> memory = model.encode(s.ids, s.mask);
  const auto says = [](const std::string& error, const std::string& part) {
    INFO(error);
    CHECK(contains(error, part));
  };
  says(error_of<ShapeError>([&] { static_cast<void>(model.encode(IdArray(Shape{3}))); }),
       "Seq2Seq: source does not fit: source is (3,), expected (batch, positions)");
  says(error_of<ShapeError>([&] {
         static_cast<void>(model.encode(s.ids, Array<bool>(Shape{3, 4}, true)));
       }),
       "source mask does not fit: mask is (3, 4), expected (3, 5)");
  says(error_of<ValueError>([&] {
         static_cast<void>(model.encode(IdArray(Shape{1, 2}, 9)));
       }),
       "embedding: id out of range");
  says(error_of<ValueError>([&] {
         static_cast<void>(model.encode(IdArray(Shape{1, 6}, 4)));
       }),
       "source_positions: too many positions");
  says(error_of<ShapeError>([&] {
         static_cast<void>(model.logits(IdArray(Shape{2, 2}, 4), memory, s.mask));
       }),
       "memory does not fit");
  says(error_of<ShapeError>([&] {
         static_cast<void>(model.loss(s.ids, s.mask, kTarget, IdArray(Shape{3, 3}, 4)));
       }),
       "target_out does not fit: target_out is (3, 3), expected (3, 4)");
  says(error_of<ValueError>([&] {
         static_cast<void>(model.loss(s.ids, s.mask, kTarget, kNext, {.label_smoothing = 2}));
       }),
       "label_smoothing is 2");
  auto few = model.caches(2);
  few.pop_back();
  says(error_of<ValueError>([&] {
         static_cast<void>(model.step(IdArray(Shape{3, 1}, 2), memory, s.mask, few));
       }),
       "another number of caches: there are 1, expected 2");
  Tape<double> tape;
  auto caches = model.caches(2);
  says(error_of<TapeError>([&] {
         static_cast<void>(model.step(tape.input(IdArray(Shape{3, 1}, 2)), memory, s.mask, caches));
       }),
       "cache on a recording tape");
  CHECK(caches[0].length() == 0);
}
