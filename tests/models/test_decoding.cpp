#include "support/catch.hpp"
#include "support/models.hpp"

#include <map>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

using Model = Seq2Seq<double>;
using Language = LanguageModel<double>;

/// Greedy decoding by the letter: one row, everything computed again for each token.
Hypothesis by_hand(const Model& model, const IdArray& source, const DecodingOptions& o) {
  const Var<double> memory = model.encode(source);
  IdList read{model.options().start_id};
  Hypothesis h;
  while (true) {
    IdArray ids(Shape{1, read.size()});
    std::copy(read.begin(), read.end(), ids.data());
    const Array<double> logits = model.logits(ids, memory).value();
    const std::size_t t = read.size() - 1, vocabulary = logits.shape()[2];
    double total = 0;
    for (std::size_t k = 0; k < vocabulary; ++k) total += std::exp(logits(0, t, k));
    std::optional<std::size_t> best;
    for (std::size_t k = 0; k < vocabulary; ++k) {
      const auto id = static_cast<std::int64_t>(k);
      if (id == model.options().pad_id || id == model.options().start_id) continue;
      if (std::count(o.suppress.begin(), o.suppress.end(), id) > 0) continue;
      if (id == model.options().end_id && t < o.min_length) continue;
      if (!best || logits(0, t, k) > logits(0, t, *best)) best = k;
    }
    h.log_probability += logits(0, t, *best) - std::log(total);
    const auto id = static_cast<std::int64_t>(*best);
    h.ended = id == model.options().end_id;
    if (!h.ended) h.tokens.push_back(id);
    if (h.ended || t + 1 == o.max_length) return h;
    read.push_back(id);
  }
}

void check_same(const Hypothesis& a, const Hypothesis& b, double tolerance) {
  CHECK(a.tokens == b.tokens);
  CHECK(a.ended == b.ended);
  CHECK(std::abs(a.log_probability - b.log_probability) <= tolerance);
  CHECK(std::abs(a.score - b.score) <= tolerance);
  CHECK(difference(a.attention, b.attention) <= tolerance);
}

const std::vector<std::size_t> kLengths{4, 2, 6, 1, 5};

/// Whether texts are of several lengths: else a test of rows that finish says nothing.
std::size_t lengths_among(const std::vector<Hypothesis>& all) {
  std::set<std::size_t> lengths;
  for (const Hypothesis& h : all) lengths.insert(h.tokens.size());
  return lengths.size();
}

}  // namespace

TEST_CASE("greedy decoding takes the most probable token, with caches and without, in any batch") {
  std::size_t different = 0;
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
      Params<double> params({.seed = seed});
      const Model model(params.scope(), options);
      const Sources s = sources_of(kLengths, 7, seed);
      DecodingOptions o{.max_length = 9, .attention = true};
      const auto cached = greedy(model, s.ids, s.mask, o);
      o.use_cache = false;
      const auto whole = greedy(model, s.ids, s.mask, o);
      o.use_cache = true;
      REQUIRE(cached.size() == kLengths.size());
      different += lengths_among(cached) > 1 ? 1 : 0;
      for (std::size_t r = 0; r < kLengths.size(); ++r) {
        check_same(cached[r], whole[r], 1e-12);
        const IdArray alone = source_alone(s, r);
        check_same(cached[r], greedy(model, alone, {}, o)[0], 1e-12);
        const Hypothesis expected = by_hand(model, alone, o);
        CHECK(cached[r].tokens == expected.tokens);
        CHECK(cached[r].ended == expected.ended);
        CHECK(cached[r].log_probability == Approx(expected.log_probability).epsilon(1e-11));
        CHECK(cached[r].score == cached[r].log_probability);
      }
    }
  }
  CHECK(different >= 4);
}

TEST_CASE("in float the same sentence gives the same text in any batch") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    Params<float> params({.seed = seed});
    const Seq2Seq<float> model(params.scope(), all_seq2seqs()[0]);
    const Sources s = sources_of(kLengths, 7, seed);
    const auto all = greedy(model, s.ids, s.mask, {.max_length = 12});
    for (std::size_t r = 0; r < kLengths.size(); ++r) {
      check_same(all[r], greedy(model, source_alone(s, r), {}, {.max_length = 12})[0], 1e-5);
    }
  }
}

TEST_CASE("the attention returned is that of the teacher-forced pass") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const Sources s = sources_of(kLengths, 7, 1);
  for (const int layer : {0, 1}) {
    const auto all = greedy(model, s.ids, s.mask,
                            {.max_length = 9, .attention = true, .attention_layer = layer});
    for (std::size_t r = 0; r < kLengths.size(); ++r) {
      const Hypothesis& h = all[r];
      REQUIRE(h.attention.shape() == Shape{h.tokens.size(), kLengths[r]});
      if (h.tokens.empty()) continue;
      IdArray read(Shape{1, h.tokens.size()}, 2);
      std::copy(h.tokens.begin(), h.tokens.end() - 1, read.data() + 1);
      const auto scores = model.with_scores(read, model.encode(source_alone(s, r)));
      const Array<double> expected =
          mean(scores.cross_scores[static_cast<std::size_t>(layer)], {0, 1}).value();
      CHECK(difference(h.attention, expected) <= 1e-12);
    }
  }
  CHECK(greedy(model, s.ids, s.mask, {.max_length = 9})[0].attention.size() <= 1);
}

TEST_CASE("a row that is finished takes no more work, and every token is told") {
  const Sources s = sources_of({4, 2, 6, 1, 5, 3, 2, 6}, 7, 1);
  const auto [options, seed] = uneven(s, 9);
  Params<double> params({.seed = seed});
  const Model model(params.scope(), options);
  std::vector<IdList> told(8);
  std::vector<double> sums(8);
  std::map<std::size_t, std::size_t> computed;  // by position
  const auto all =
      greedy(model, s.ids, s.mask, {.max_length = 9, .on_token = [&](const WrittenToken& w) {
                                      CHECK(w.rank == 0);
                                      CHECK(w.position == told[w.row].size());
                                      told[w.row].push_back(w.token);
                                      sums[w.row] += w.log_probability;
                                      computed[w.position] = w.computed;
                                      return true;
                                    }});
  REQUIRE(lengths_among(all) >= 3);
  std::map<std::size_t, std::size_t> running;
  for (std::size_t r = 0; r < 8; ++r) {
    IdList expected = all[r].tokens;
    if (all[r].ended) expected.push_back(3);
    CHECK(told[r] == expected);
    CHECK(sums[r] == Approx(all[r].log_probability).epsilon(1e-12));
    for (std::size_t t = 0; t < expected.size(); ++t) ++running[t];
  }
  CHECK(computed == running);
}

TEST_CASE("a callback may stop a row, and throw") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const Sources s = sources_of({4, 2}, 7, 1);
  const auto free = greedy(model, s.ids, s.mask, {.max_length = 9, .min_length = 9});
  const auto stopped =
      greedy(model, s.ids, s.mask,
             {.max_length = 9, .min_length = 9, .on_token = [](const WrittenToken& w) {
                return w.row == 1 || w.position < 2;
              }});
  CHECK(stopped[0].tokens == IdList(free[0].tokens.begin(), free[0].tokens.begin() + 3));
  CHECK(!stopped[0].ended);
  CHECK(stopped[1].tokens == free[1].tokens);
  CHECK_THROWS_AS(
      greedy(model, s.ids, s.mask, {.on_token = [](const WrittenToken&) -> bool { throw 1; }}),
      int);
}

TEST_CASE("limits of length, and tokens that are not to be written") {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    Params<double> params({.seed = seed});
    const Model model(params.scope(), all_seq2seqs()[0]);
    const Sources s = sources_of(kLengths, 7, seed);
    const DecodingOptions all[] = {{.max_length = 3},
                                   {.max_length = 8, .min_length = 5},
                                   {.max_length = 8, .min_length = 8},
                                   {.max_length = 8, .suppress = {1, 5, 5, 8}},
                                   {.max_length = 8, .suppress = {3}}};
    for (const DecodingOptions& o : all) {
      const auto written = greedy(model, s.ids, s.mask, o);
      for (std::size_t r = 0; r < kLengths.size(); ++r) {
        const Hypothesis& h = written[r];
        CHECK(h.tokens.size() + (h.ended ? 1 : 0) <= o.max_length);
        CHECK((h.ended || h.tokens.size() == o.max_length));
        CHECK(h.tokens.size() >= o.min_length);
        for (const std::int64_t id : h.tokens) {
          CHECK((id != 0 && id != 2));
          CHECK(std::count(o.suppress.begin(), o.suppress.end(), id) == 0);
        }
        const Hypothesis expected = by_hand(model, source_alone(s, r), o);
        CHECK(h.tokens == expected.tokens);
        CHECK(h.log_probability == Approx(expected.log_probability).epsilon(1e-11));
      }
    }
  }
}

TEST_CASE("no source, no text") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const Language language(params.scope() / "lm", all_language_models()[0]);
  CHECK(greedy(model, IdArray(Shape{0, 4})).empty());
  CHECK(greedy(language, {}, {.max_length = 9}).empty());
  CHECK(beam_search(language, {}, {}, {.max_length = 9}).empty());
}

TEST_CASE("a language model goes on with prompts of any length") {
  const std::vector<IdList> prompts{{5, 4}, {4}, {6, 7, 8, 1, 4}, {8, 8, 8}};
  for (const LanguageModelOptions& options : all_language_models()) {
    for (const std::uint64_t seed : {1U, 2U}) {
      Params<double> params({.seed = seed});
      const Language model(params.scope(), options);
      DecodingOptions o{.max_length = 10};
      const auto cached = greedy(model, prompts, o);
      const auto drawn = sample(model, prompts, {.top_k = 4, .seed = 3}, o);
      o.use_cache = false;
      const auto whole = greedy(model, prompts, o);
      const auto drawn_whole = sample(model, prompts, {.top_k = 4, .seed = 3}, o);
      for (std::size_t r = 0; r < prompts.size(); ++r) {
        check_same(cached[r], whole[r], 1e-12);
        check_same(drawn[r], drawn_whole[r], 1e-12);
        check_same(cached[r], greedy(model, {prompts[r]}, {.max_length = 10})[0], 1e-12);
        check_same(drawn[r],
                   sample(model, {prompts[r]}, {.top_k = 4, .seed = 3, .first_stream = r},
                          {.max_length = 10})[0],
                   1e-12);
        if (!options.end_id) CHECK(cached[r].tokens.size() == 10);
      }
      // The first token is the best of the prompt's logits.
      const IdArray ids = array<std::int64_t>({1, 2}, {5, 4});
      Array<double> logits = model.next(ids).value();
      if (options.pad_id) logits(0, 0) = -HUGE_VAL;
      const std::int64_t best = argmax(Var<double>(logits))(0);
      CHECK((cached[0].tokens.empty() ? 3 : cached[0].tokens[0]) == best);
    }
  }
}

TEST_CASE("samples follow the probabilities") {
  constexpr std::size_t kDraws = 20000;
  Params<double> params({.seed = 1});
  const Language model(params.scope(), all_language_models()[0]);
  const Array<double> logits = model.next(IdArray(Shape{1, 1}, 5)).value();
  const std::vector<IdList> prompts(kDraws, IdList{5});
  std::vector<std::size_t> order(9);
  for (std::size_t k = 0; k < 9; ++k) order[k] = k;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return logits(0, a) > logits(0, b); });

  const auto check = [&](const SamplingOptions& o, const std::vector<double>& p) {
    std::vector<double> count(9);
    for (const Hypothesis& h : sample(model, prompts, o, {.max_length = 1})) {
      ++count[h.ended ? 3 : static_cast<std::size_t>(h.tokens[0])];
    }
    for (std::size_t k = 0; k < 9; ++k) {
      const double sigma = std::sqrt(kDraws * p[k] * (1 - p[k]));
      INFO("token " << k << ": " << count[k] << " of " << kDraws << ", probability " << p[k]);
      CHECK(std::abs(count[k] - kDraws * p[k]) <= 4 * sigma);
    }
  };
  const auto among = [&](double temperature, std::size_t count) {
    std::vector<double> p(9);
    double total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      total += p[order[i]] = std::exp(logits(0, order[i]) / temperature);
    }
    for (double& x : p) x /= total;
    return p;
  };
  check({.seed = 1}, among(1, 9));
  check({.temperature = 2, .seed = 2}, among(2, 9));
  check({.temperature = 0.5, .seed = 3}, among(0.5, 9));
  check({.top_k = 3, .seed = 4}, among(1, 3));
  check({.top_k = 20, .seed = 5}, among(1, 9));
  // The fewest of the most probable that reach top_p.
  const std::vector<double> p = among(1, 9);
  const double two = p[order[0]] + p[order[1]];
  check({.top_p = two - 1e-9, .seed = 6}, among(1, 2));
  check({.top_p = two + 1e-9, .seed = 7}, among(1, 3));
  check({.top_k = 5, .top_p = 1e-6, .seed = 8}, among(1, 1));
  check({.temperature = 1.5, .top_k = 4, .top_p = 0.999999, .seed = 9}, among(1.5, 4));
}

TEST_CASE("draws are a function of seed and stream") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const Sources s = sources_of(kLengths, 7, 1);
  const auto draw = [&](std::uint64_t seed) {
    return sample(model, s.ids, s.mask, {.temperature = 3, .seed = seed}, {.max_length = 9});
  };
  const auto a = draw(1), again = draw(1), other = draw(2);
  bool differ = false;
  for (std::size_t r = 0; r < kLengths.size(); ++r) {
    check_same(a[r], again[r], 0);
    differ = differ || a[r].tokens != other[r].tokens;
    const auto alone = sample(model, source_alone(s, r), {},
                              {.temperature = 3, .seed = 1, .first_stream = r}, {.max_length = 9});
    check_same(a[r], alone[0], 1e-12);
  }
  CHECK(differ);
  // Rows in another order keep their draws with streams of their own.
  std::vector<std::uint64_t> streams;
  for (std::size_t r = 0; r < kLengths.size(); ++r) streams.push_back(kLengths.size() - 1 - r);
  const auto turned = sample(model, s.ids, s.mask,
                             {.temperature = 3, .seed = 1, .streams = streams}, {.max_length = 9});
  for (std::size_t r = 0; r < kLengths.size(); ++r) {
    const auto alone =
        sample(model, source_alone(s, r), {},
               {.temperature = 3, .seed = 1, .first_stream = streams[r]}, {.max_length = 9});
    check_same(turned[r], alone[0], 1e-12);
  }
  streams.pop_back();
  CHECK_THROWS_WITH(sample(model, s.ids, s.mask, {.streams = streams}, {.max_length = 9}),
                    ContainsSubstring("streams out of range"));
  // The only one of one is the best.
  const auto best = greedy(model, s.ids, s.mask, {.max_length = 9});
  const auto one = sample(model, s.ids, s.mask, {.temperature = 5, .top_k = 1}, {.max_length = 9});
  for (std::size_t r = 0; r < kLengths.size(); ++r) check_same(one[r], best[r], 0);
}

TEST_CASE("decoding refuses what is out of range, before any work") {
  Params<double> params({.seed = 1});
  Seq2SeqOptions o = all_seq2seqs()[1];
  o.max_length = 10;
  const Model model(params.scope() / "m", o);
  LanguageModelOptions lo = all_language_models()[0];
  lo.max_length = 10;
  const Language language(params.scope() / "l", lo);
  const Sources s = sources_of({4, 2}, 5, 1);
  const auto refused = [&](const DecodingOptions& options, const std::string& part) {
    const std::string error =
        error_of<ValueError>([&] { static_cast<void>(greedy(model, s.ids, s.mask, options)); });
    INFO(error << ", expected: " << part);
    CHECK(contains(error, part));
    CHECK(contains(error, "greedy: "));
    CHECK(params.count() == 0);
  };
  refused({.max_length = 0}, "max_length is 0");
  refused({.max_length = 11},
          "max_length needs more positions than there are: 11, expected at most 10");
  refused({.max_length = 4, .min_length = 5}, "min_length is 5, expected at most 4");
  refused({.max_length = 4, .suppress = {9}}, "suppress is 9, expected 0 to 8");
  refused({.max_length = 4, .suppress = {-1}}, "suppress is -1");
  refused({.max_length = 4, .suppress = {1, 3, 4, 5, 6, 7, 8}}, "nothing may be written");
  refused({.max_length = 4, .min_length = 1, .suppress = {1, 4, 5, 6, 7, 8}},
          "nothing may be written");
  refused({.max_length = 4, .attention = true, .attention_layer = 2},
          "attention_layer is 2, expected 0 to 1");
  refused({.max_length = 4, .attention = true, .attention_layer = -1}, "attention_layer is -1");
  const auto drawn = [&](const SamplingOptions& options, const std::string& part) {
    const std::string error = error_of<ValueError>(
        [&] { static_cast<void>(sample(model, s.ids, s.mask, options, {.max_length = 4})); });
    INFO(error << ", expected: " << part);
    CHECK(contains(error, part));
  };
  drawn({.temperature = 0}, "sample: temperature out of range: temperature is 0");
  drawn({.temperature = HUGE_VAL}, "temperature is inf");
  drawn({.top_p = 0}, "top_p is 0");
  drawn({.top_p = 1.1}, "top_p is 1.1");
  drawn({.top_p = NAN}, "top_p is nan");
  const auto prompted = [&](const std::vector<IdList>& prompts, const DecodingOptions& options,
                            const std::string& part) {
    const std::string error =
        error_of<ValueError>([&] { static_cast<void>(greedy(language, prompts, options)); });
    INFO(error << ", expected: " << part);
    CHECK(contains(error, part));
  };
  prompted({{4}, {}}, {.max_length = 4}, "empty prompt: prompt 1 has no tokens");
  prompted({{4, 9}}, {.max_length = 4}, "a token of a prompt is 9");
  prompted({{4, 4, 4}}, {.max_length = 9}, "11, expected at most 10");
  prompted({{4}}, {.max_length = 4, .attention = true}, "no attention to return");
  CHECK_NOTHROW(greedy(language, {{4, 4, 4}}, {.max_length = 8}));
  CHECK_THROWS_AS(greedy(model, IdArray(Shape{3}), {}, {.max_length = 4}), ShapeError);
  CHECK_THROWS_AS(greedy(model, s.ids, Array<bool>(Shape{2, 4}, true), {.max_length = 4}),
                  ShapeError);
  CHECK_THROWS_AS(greedy(model, IdArray(Shape{1, 2}, 9), {}, {.max_length = 4}), ValueError);
}

TEST_CASE("weights that are not finite are told") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  model.build();
  const Array<double> zero = params.at("output/bias").value();
  for (const double bad : {std::nan(""), HUGE_VAL}) {
    Array<double> bias = zero;
    bias(4) = bad;
    params.set("output/bias", bias);
    CHECK(contains(error_of<NonFiniteError>([&] {
                     static_cast<void>(greedy(model, IdArray(Shape{1, 3}, 4)));
                   }),
                   "greedy: logits are not finite: those of hypothesis 0"));
  }
  params.set("output/bias", Array<double>(zero.shape(), -HUGE_VAL));
  CHECK_THROWS_AS(greedy(model, IdArray(Shape{1, 3}, 4)), NonFiniteError);
}
