// A small Transformer learns to write digits backwards and then decodes: the most probable text, several
// texts, or a random one. The program stores and reads its options and weights. Then a language model
// continues a text.
#include <xtape/xtape.hpp>

#include <cstdio>
#include <string>

namespace xp = xtape;
using Ids = xp::Array<std::int64_t>;

namespace {

constexpr std::int64_t kPad = 0, kStart = 2, kEnd = 3,
                       kDigit = 4;  // digits are kDigit ... kDigit + 9
constexpr std::size_t kLongest = 6;

// Padded texts of different lengths: the source, its mask, the decoder's input (a start and the target)
// and its expected output (the target and an end).
struct Batch {
  Ids source, target_in, target_out;
  xp::Array<bool> mask;
};

Batch draw(std::size_t count, xp::RandomStream& stream) {
  const xp::Shape shape{count, kLongest}, longer{count, kLongest + 1};
  Batch b{Ids(shape, kPad), Ids(longer, kPad), Ids(longer, kPad), xp::Array<bool>(shape, false)};
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t length = 2 + stream.below(kLongest - 1);
    b.target_in(r, 0) = kStart;
    b.target_out(r, length) = kEnd;
    for (std::size_t i = 0; i < length; ++i) {
      const auto digit = kDigit + static_cast<std::int64_t>(stream.below(10));
      b.source(r, i) = digit;
      b.mask(r, i) = true;
      b.target_in(r, length - i) = b.target_out(r, length - 1 - i) = digit;
    }
  }
  return b;
}

std::string text(const std::int64_t* ids, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count && ids[i] >= kDigit; ++i) {
    out += static_cast<char>('0' + ids[i] - kDigit);
  }
  return out;
}
std::string text(const xp::Hypothesis& h) { return text(h.tokens.data(), h.tokens.size()); }

void write_backwards() {
  const xp::Seq2SeqOptions options{.source_vocabulary = 14,
                                   .target_vocabulary = 14,
                                   .hidden_dim = 32,
                                   .num_heads = 4,
                                   .intermediate_dim = 64,
                                   .encoder_layers = 1,
                                   .decoder_layers = 1,
                                   .positions = xp::Positions::learned,
                                   .max_length = 16,
                                   .tying = xp::Tying::all,
                                   .start_id = kStart,
                                   .end_id = kEnd};
  xp::Params<float> params({.seed = 1});
  const xp::Seq2Seq<float> model(params.scope(), options);
  xp::Adam<float> adam({.learning_rate = 5e-3});
  xp::Tape<float> tape({.training = true, .seed = 1});
  xp::RandomStream stream(1, 1);
  float loss = 0;
  for (int step = 0; step < 400; ++step) {
    const Batch b = draw(32, stream);
    const auto l = model.loss(tape.input(b.source), b.mask, tape.input(b.target_in), b.target_out,
                              {.label_smoothing = 0.05});
    auto gradients = tape.backward(l);
    adam.step(params, gradients.clip_global_norm(1.0));
    loss = l.item();
  }
  std::printf("loss %.2f after 400 steps\n", static_cast<double>(loss));

  // Inference without a tape. Finished rows are left out of the computation.
  const Batch b = draw(4, stream);
  const xp::DecodingOptions written{.max_length = kLongest + 1, .attention = true};
  const auto best = xp::greedy(model, b.source, b.mask, written);
  for (std::size_t r = 0; r < best.size(); ++r) {
    std::printf("  %-6s -> %-6s  log-probability %.3f, attention %zu x %zu\n",
                text(&b.source(r, 0), kLongest).c_str(), text(best[r]).c_str(),
                best[r].log_probability, best[r].attention.shape()[0],
                best[r].attention.shape()[1]);
  }
  const auto lists = xp::beam_search(model, b.source, b.mask, {.width = 4, .n_best = 2},
                                     {.max_length = kLongest + 1});
  for (const xp::Hypothesis& h : lists[0]) {
    std::printf("  beam: %-6s  score %.3f\n", text(h).c_str(), h.score);
  }
  const auto drawn =
      xp::sample(model, b.source, b.mask, {.temperature = 0.8, .top_k = 5, .seed = 1},
                 {.max_length = kLongest + 1, .on_token = [](const xp::WrittenToken& t) {
                    if (t.row == 0 && t.token != kEnd)
                      std::printf("  drawn: %s\n", text(&t.token, 1).c_str());
                    return true;  // continue
                  }});

  // Options and weights are the whole model.
  xp::Params<float> again;
  const xp::Seq2Seq<float> copy(again.scope(), xp::Seq2Seq<float>::from_config(model.get_config()));
  const xp::LoadReport report = again.load(params.values());  // strict: nothing is missing
  std::printf("  %zu arrays loaded\n", report.loaded.size());
  const auto same = xp::greedy(copy, b.source, b.mask, written);
  std::printf("  the copy writes %s\n",
              same[0].tokens == best[0].tokens ? "the same" : "something else");
}

void go_on() {
  xp::Params<float> params({.seed = 2});
  const xp::LanguageModel<float> model(params.scope(), {.vocabulary = 14,
                                                        .hidden_dim = 32,
                                                        .num_heads = 4,
                                                        .intermediate_dim = 64,
                                                        .layers = 2,
                                                        .normalization = xp::Normalization::rms,
                                                        .max_length = 32});
  xp::AdamW<float> adam({.learning_rate = 5e-3});
  xp::Tape<float> tape({.training = true, .seed = 1});
  Ids ids(xp::Shape{8, 12}), next(xp::Shape{8, 12});  // counts from different digits
  for (std::size_t r = 0; r < 8; ++r) {
    for (std::size_t i = 0; i < 12; ++i) {
      ids(r, i) = kDigit + static_cast<std::int64_t>((r + i) % 10);
      next(r, i) = kDigit + static_cast<std::int64_t>((r + i + 1) % 10);
    }
  }
  for (int step = 0; step < 100; ++step) {
    auto gradients = tape.backward(model.loss(tape.input(ids), next));
    adam.step(params, gradients);
  }
  const auto texts = xp::greedy(model, {{kDigit + 3}, {kDigit + 8, kDigit + 9}}, {.max_length = 6});
  for (const xp::Hypothesis& h : texts) std::printf("counting on: %s\n", text(h).c_str());
}

}  // namespace

int main() {
  write_backwards();
  go_on();
}
