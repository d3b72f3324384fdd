#include "support/catch.hpp"
#include "support/models.hpp"

#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

using Model = Seq2Seq<double>;
using Language = LanguageModel<double>;

/// log(probability) of every token after start and `written`.
std::vector<double> log_probabilities(const Model& model, const Var<double>& memory,
                                      const IdList& written) {
  IdArray read(Shape{1, written.size() + 1}, model.options().start_id);
  std::copy(written.begin(), written.end(), read.data() + 1);
  const Array<double> p = log_softmax(model.next(read, memory)).value();
  return {p.data(), p.data() + p.size()};
}

struct Text {
  IdList tokens;
  double log_probability = 0;
  bool ended = false;
  double score = 0;
};

double score_of(const Text& t, double alpha) {
  return t.log_probability /
         std::pow((5.0 + static_cast<double>(t.tokens.size() + (t.ended ? 1 : 0))) / 6.0, alpha);
}

/// Every text of at most `longest` tokens, the end included.
void all_texts(const Model& model, const Var<double>& memory, std::size_t longest, const Text& from,
               std::vector<Text>& to) {
  const std::vector<double> p = log_probabilities(model, memory, from.tokens);
  for (std::int64_t id = 0; id < model.options().target_vocabulary; ++id) {
    if (id == model.options().pad_id || id == model.options().start_id) continue;
    Text t = from;
    t.log_probability += p[static_cast<std::size_t>(id)];
    t.ended = id == model.options().end_id;
    if (!t.ended) t.tokens.push_back(id);
    if (t.ended || t.tokens.size() == longest) {
      to.push_back(t);
    } else {
      all_texts(model, memory, longest, t, to);
    }
  }
}

/// Beam search by the letter: each hypothesis computed by itself, and never stopped early.
std::vector<Text> by_hand(const Model& model, const IdArray& source, const BeamOptions& o,
                          std::size_t longest) {
  const Var<double> memory = model.encode(source);
  std::vector<Text> beams{Text{}}, done;
  for (std::size_t t = 0; t < longest && !beams.empty(); ++t) {
    std::vector<Text> next;
    for (const Text& b : beams) {
      const std::vector<double> p = log_probabilities(model, memory, b.tokens);
      for (std::int64_t id = 0; id < model.options().target_vocabulary; ++id) {
        if (id == model.options().pad_id || id == model.options().start_id) continue;
        Text n = b;
        n.log_probability += p[static_cast<std::size_t>(id)];
        n.ended = id == model.options().end_id;
        if (!n.ended) n.tokens.push_back(id);
        next.push_back(n);
      }
    }
    std::stable_sort(next.begin(), next.end(), [](const Text& a, const Text& b) {
      return a.log_probability > b.log_probability;
    });
    next.resize(std::min(next.size(), o.width));
    beams.clear();
    for (const Text& n : next) {
      (n.ended || t + 1 == longest ? done : beams).push_back(n);
    }
  }
  for (Text& t : done) t.score = score_of(t, o.length_penalty);
  std::stable_sort(done.begin(), done.end(),
                   [](const Text& a, const Text& b) { return a.score > b.score; });
  done.resize(std::min(done.size(), o.n_best));
  return done;
}

Seq2SeqOptions tiny() {
  Seq2SeqOptions o = all_seq2seqs()[0];
  o.target_vocabulary = 5;
  o.decoder_layers = o.encoder_layers = 1;
  return o;
}

const std::vector<std::size_t> kLengths{4, 2, 6, 1, 5};

void check_same(const std::vector<Hypothesis>& a, const std::vector<Hypothesis>& b,
                double tolerance) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].tokens == b[i].tokens);
    CHECK(a[i].ended == b[i].ended);
    CHECK(std::abs(a[i].log_probability - b[i].log_probability) <= tolerance);
    CHECK(std::abs(a[i].score - b[i].score) <= tolerance);
    CHECK(difference(a[i].attention, b[i].attention) <= tolerance);
  }
}

}  // namespace

TEST_CASE("a beam as wide as the number of sequences equals exhaustive search") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    Params<double> params({.seed = seed});
    const Model model(params.scope(), tiny());
    const Sources s = sources_of({4, 2}, 4, seed);
    for (const double alpha : {0.0, 0.6, 2.0, -1.0}) {
      constexpr std::size_t kLongest = 4, kTexts = 31;  // 1 + 2 + 4 + 8 that end, 16 that do not
      const auto found = beam_search(model, s.ids, s.mask,
                                     {.width = kTexts, .n_best = kTexts, .length_penalty = alpha},
                                     {.max_length = kLongest});
      const auto best =
          beam_search(model, s.ids, s.mask, {.width = kTexts, .length_penalty = alpha},
                      {.max_length = kLongest});
      for (std::size_t r = 0; r < 2; ++r) {
        std::vector<Text> all;
        all_texts(model, model.encode(source_alone(s, r)), kLongest, {}, all);
        REQUIRE(all.size() == kTexts);
        double total = 0;
        for (Text& t : all) {
          t.score = score_of(t, alpha);
          total += std::exp(t.log_probability);
        }
        CHECK(total < 1);  // pad and start have the rest
        std::sort(all.begin(), all.end(),
                  [](const Text& a, const Text& b) { return a.score > b.score; });
        REQUIRE(found[r].size() == kTexts);
        for (std::size_t i = 0; i < kTexts; ++i) {
          CHECK(found[r][i].tokens == all[i].tokens);
          CHECK(found[r][i].ended == all[i].ended);
          CHECK(found[r][i].log_probability == Approx(all[i].log_probability).epsilon(1e-11));
          CHECK(found[r][i].score == Approx(all[i].score).epsilon(1e-11));
        }
        // Also when it stops as soon as nothing can overtake the best.
        CHECK(best[r].size() == 1);
        CHECK(best[r][0].tokens == all[0].tokens);
      }
    }
  }
}

TEST_CASE("beam search finds what it finds by the letter, whenever it stops") {
  std::size_t better = 0, fewer = 0;
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
      Params<double> params({.seed = seed});
      const Model model(params.scope(), options);
      const Sources s = sources_of(kLengths, 7, seed);
      const BeamOptions all[] = {{.width = 2},
                                 {.width = 4, .n_best = 3, .length_penalty = 0},
                                 {.width = 3, .n_best = 2, .length_penalty = 1.5},
                                 {.width = 3, .length_penalty = -0.5}};
      const auto best = greedy(model, s.ids, s.mask, {.max_length = 7});
      for (const BeamOptions& o : all) {
        std::size_t steps = 0;
        const auto found = beam_search(model, s.ids, s.mask, o,
                                       {.max_length = 7, .on_token = [&](const WrittenToken& w) {
                                          if (w.row == 0) steps = std::max(steps, w.position + 1);
                                          return true;
                                        }});
        fewer += steps < 7 ? 1 : 0;
        for (std::size_t r = 0; r < kLengths.size(); ++r) {
          const auto expected = by_hand(model, source_alone(s, r), o, 7);
          REQUIRE(found[r].size() == expected.size());
          REQUIRE(found[r].size() == o.n_best);
          std::set<std::pair<IdList, bool>> distinct;
          for (std::size_t i = 0; i < expected.size(); ++i) {
            CHECK(found[r][i].tokens == expected[i].tokens);
            CHECK(found[r][i].ended == expected[i].ended);
            CHECK(found[r][i].score == Approx(expected[i].score).epsilon(1e-11));
            if (i > 0) CHECK(found[r][i - 1].score >= found[r][i].score);
            distinct.insert({found[r][i].tokens, found[r][i].ended});
            const Hypothesis& h = found[r][i];
            CHECK(h.score == h.log_probability / length_penalty(h.tokens.size() + (h.ended ? 1 : 0),
                                                                o.length_penalty));
          }
          CHECK(distinct.size() == o.n_best);
          better += found[r][0].log_probability > best[r].log_probability + 1e-9 ? 1 : 0;
        }
      }
    }
  }
  CHECK(better > 10);  // than greedy
  CHECK(fewer > 3);    // steps than there might be
}

TEST_CASE("a beam of one is greedy") {
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
      Params<double> params({.seed = seed});
      const Model model(params.scope(), options);
      const Sources s = sources_of(kLengths, 7, seed);
      const DecodingOptions o{.max_length = 9, .min_length = seed, .attention = true};
      const auto best = greedy(model, s.ids, s.mask, o);
      for (const double alpha : {0.0, 0.6, 3.0}) {
        const auto beam =
            beam_search(model, s.ids, s.mask, {.width = 1, .length_penalty = alpha}, o);
        for (std::size_t r = 0; r < kLengths.size(); ++r) {
          REQUIRE(beam[r].size() == 1);
          CHECK(beam[r][0].tokens == best[r].tokens);
          CHECK(beam[r][0].ended == best[r].ended);
          CHECK(std::abs(beam[r][0].log_probability - best[r].log_probability) <= 1e-12);
          CHECK(difference(beam[r][0].attention, best[r].attention) <= 1e-12);
        }
      }
    }
  }
}

TEST_CASE("beams do not depend on caches or on the batch") {
  for (const Seq2SeqOptions& options : all_seq2seqs()) {
    Params<double> params({.seed = 2});
    const Model model(params.scope(), options);
    const Sources s = sources_of(kLengths, 7, 2);
    const BeamOptions beam{.width = 4, .n_best = 4};
    DecodingOptions o{.max_length = 9, .suppress = {1}, .attention = true};
    const auto cached = beam_search(model, s.ids, s.mask, beam, o);
    o.use_cache = false;
    const auto whole = beam_search(model, s.ids, s.mask, beam, o);
    o.use_cache = true;
    for (std::size_t r = 0; r < kLengths.size(); ++r) {
      check_same(cached[r], whole[r], 1e-12);
      check_same(cached[r], beam_search(model, source_alone(s, r), {}, beam, o)[0], 1e-12);
      for (const Hypothesis& h : cached[r]) {
        CHECK(h.attention.shape() == Shape{h.tokens.size(), kLengths[r]});
        CHECK(std::count(h.tokens.begin(), h.tokens.end(), 1) == 0);
        for (std::size_t t = 0; t < h.tokens.size(); ++t) {
          double sum = 0;
          for (std::size_t j = 0; j < kLengths[r]; ++j) sum += h.attention(t, j);
          CHECK(sum == Approx(1).epsilon(1e-12));
        }
      }
    }
  }
  for (const LanguageModelOptions& options : all_language_models()) {
    Params<double> params({.seed = 2});
    const Language model(params.scope(), options);
    const std::vector<IdList> prompts{{5, 4}, {4}, {6, 7, 8, 1, 4}};
    DecodingOptions o{.max_length = 8};
    const auto cached = beam_search(model, prompts, {.width = 3, .n_best = 3}, o);
    const auto best = greedy(model, prompts, o);
    const auto one = beam_search(model, prompts, {.width = 1}, o);
    o.use_cache = false;
    const auto whole = beam_search(model, prompts, {.width = 3, .n_best = 3}, o);
    for (std::size_t r = 0; r < prompts.size(); ++r) {
      check_same(cached[r], whole[r], 1e-12);
      check_same(cached[r],
                 beam_search(model, {prompts[r]}, {.width = 3, .n_best = 3}, {.max_length = 8})[0],
                 1e-12);
      CHECK(one[r][0].tokens == best[r].tokens);
    }
  }
}

TEST_CASE("what is finished takes no more work") {
  const Sources s = sources_of({4, 2, 6, 1, 5, 3}, 7, 1);
  const auto [options, seed] = uneven(s, 12);
  Params<double> params({.seed = seed});
  const Model model(params.scope(), options);
  struct Step {
    std::size_t computed = 0;
    std::set<std::size_t> rows;
  };
  std::vector<Step> steps(12);
  const auto found = beam_search(model, s.ids, s.mask, {.width = 3, .early_stopping = true},
                                 {.max_length = 12, .on_token = [&](const WrittenToken& w) {
                                    steps[w.position].computed = w.computed;
                                    steps[w.position].rows.insert(w.row);
                                    return true;
                                  }});
  CHECK(steps[0].computed == 6);
  CHECK(steps[1].computed <= 18);
  std::size_t last = 6;
  for (std::size_t t = 1; t < 12; ++t) {
    // Only rows that are still written are computed, each with at most its beam.
    CHECK(steps[t].rows.size() <= last);
    CHECK(steps[t].computed <= 3 * steps[t].rows.size());
    CHECK(steps[t].computed >= steps[t].rows.size());
    last = steps[t].rows.size();
  }
  CHECK(last < 6);
  // One that is stopped by the callback leaves as well.
  std::size_t late = 0;
  const auto stopped =
      beam_search(model, s.ids, s.mask, {.width = 3, .n_best = 3},
                  {.max_length = 12, .min_length = 12, .on_token = [&](const WrittenToken& w) {
                     if (w.position > 1) {
                       CHECK(w.row != 2);
                       late = std::max(late, w.computed);
                     }
                     return w.row != 2 || w.position < 1;
                   }});
  CHECK(late == 15);
  REQUIRE(stopped[2].size() == 3);
  for (const Hypothesis& h : stopped[2]) {
    CHECK(h.tokens.size() == 2);
    CHECK(!h.ended);
  }
  CHECK(stopped[1][0].tokens.size() == 12);
}

TEST_CASE("the length penalty is that of Wu et al. 2016") {
  CHECK(length_penalty(1, 0.6) == 1);
  CHECK(length_penalty(7, 1) == 2);
  CHECK(length_penalty(19, 0.5) == 2);
  CHECK(length_penalty(7, 0) == 1);
  CHECK(length_penalty(7, -1) == 0.5);
  CHECK(length_penalty(20, 0.6) == Approx(std::exp(0.6 * std::log(25.0 / 6.0))).epsilon(1e-14));
}

TEST_CASE("beam search refuses what is out of range") {
  Params<double> params({.seed = 1});
  const Model model(params.scope(), all_seq2seqs()[0]);
  const auto refused = [&](const BeamOptions& beam, const DecodingOptions& o,
                           const std::string& part) {
    const std::string error = error_of<ValueError>([&] {
      static_cast<void>(beam_search(model, IdArray(Shape{1, 3}, 4), {}, beam, o));
    });
    INFO(error << ", expected: " << part);
    CHECK(contains(error, "beam_search: " + part));
    CHECK(params.count() == 0);
  };
  refused({.width = 0}, {}, "width out of range: width is 0");
  refused({.n_best = 0}, {}, "n_best out of range: n_best is 0, expected 1 to 5");
  refused({.width = 2, .n_best = 3}, {}, "n_best out of range: n_best is 3, expected 1 to 2");
  refused({.length_penalty = NAN}, {}, "length_penalty out of range: length_penalty is nan");
  refused({}, {.max_length = 0}, "max_length out of range");
}
