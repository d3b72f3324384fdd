// A decoder that sees the token it must predict learns nothing, but its teacher-forced accuracy is perfect.
// These tests tell such a decoder from a sound one, and try themselves on models that cheat.
#include "support/catch.hpp"
#include "support/models.hpp"

#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::int64_t kPad = 0, kStart = 2, kEnd = 3, kFirst = 4, kSymbols = 8;
constexpr std::size_t kLongest = 5;

struct Batch {
  IdArray source, target_in, target_out;
  Array<bool> mask;
};

enum class Task { reverse, chance };  // the target: the source backwards, or nothing to do with it

Batch draw(Task task, std::size_t count, RandomStream& stream) {
  const Shape shape{count, kLongest}, longer{count, kLongest + 1};
  Batch b{IdArray(shape, kPad), IdArray(longer, kPad), IdArray(longer, kPad),
          Array<bool>(shape, false)};
  const auto symbol = [&] { return kFirst + static_cast<std::int64_t>(stream.below(kSymbols)); };
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t length = 3 + stream.below(kLongest - 2);
    b.target_in(r, 0) = kStart;
    b.target_out(r, length) = kEnd;
    for (std::size_t i = 0; i < length; ++i) {
      b.source(r, i) = symbol();
      b.mask(r, i) = true;
    }
    for (std::size_t i = 0; i < length; ++i) {
      const std::int64_t y = task == Task::reverse ? b.source(r, length - 1 - i) : symbol();
      b.target_in(r, i + 1) = b.target_out(r, i) = y;
    }
  }
  return b;
}

/// A way to make logits of what the decoder reads, and what it reads when it is trained.
struct Kind {
  const char* name;
  std::function<Var<float>(const Tokens<float>& source, const Array<bool>& mask,
                           const Tokens<float>& target)>
      logits;
  bool shifted = true;  // else the decoder reads the token that it is to write
};

/// Shares of the symbols that are right.
struct Shares {
  double forced = 0, free = 0;
};

void train(const Kind& kind, Params<float>& params, Task task, int steps) {
  Adam<float> adam({.learning_rate = 5e-3});
  Tape<float> tape({.training = true, .seed = 1});
  RandomStream stream(1, 1);
  for (int step = 0; step < steps; ++step) {
    const Batch b = draw(task, 32, stream);
    const IdArray& read = kind.shifted ? b.target_in : b.target_out;
    const auto loss =
        sparse_categorical_crossentropy(kind.logits(tape.input(b.source), b.mask, tape.input(read)),
                                        b.target_out, {.from_logits = true, .ignore_class = kPad});
    auto gradients = tape.backward(loss);
    adam.step(params, gradients.clip_global_norm(1.0));
  }
}

/// Shares right of the symbols (not of the end) on new data, read as in training, and written by itself.
Shares measure(const Kind& kind, Task task) {
  RandomStream stream(2, 1);
  const Batch b = draw(task, 200, stream);
  const IdArray forced =
      argmax(kind.logits(b.source, b.mask, kind.shifted ? b.target_in : b.target_out));
  IdArray read(Shape{200, 1}, kStart), written(b.target_out.shape());
  for (std::size_t t = 0; t <= kLongest; ++t) {
    const IdArray now = argmax(kind.logits(b.source, b.mask, read));
    IdArray longer(Shape{200, t + 2});
    for (std::size_t r = 0; r < 200; ++r) {
      for (std::size_t u = 0; u <= t; ++u) longer(r, u) = read(r, u);
      longer(r, t + 1) = written(r, t) = now(r, t);
    }
    read = longer;
  }
  Shares a;
  double count = 0;
  for (std::size_t i = 0; i < b.target_out.size(); ++i) {
    const std::int64_t y = b.target_out.data()[i];
    if (y < kFirst) continue;
    ++count;
    a.forced += forced.data()[i] == y ? 1 : 0;
    a.free += written.data()[i] == y ? 1 : 0;
  }
  a.forced /= count;
  a.free /= count;
  return a;
}

/// Returns whether accuracy under teacher forcing is higher than in free decoding, or higher than
/// possible on random targets.
bool reads_the_answer(const Shares& reverse, const Shares& chance) {
  return reverse.forced > reverse.free + 0.1 || chance.forced > 2.0 / kSymbols;
}

/// A model of the same size from the blocks, which can be told not to mask.
struct Blocks {
  Embedding<float> source, target;
  PositionEmbedding<float> source_positions, target_positions;
  TransformerEncoder<float> encoder;
  TransformerDecoder<float> decoder;
  Dense<float> head;
  explicit Blocks(const Scope<float>& s)
      : source(s / "source", {.input_dim = 12, .output_dim = 32}),
        target(s / "target", {.input_dim = 12, .output_dim = 32}),
        source_positions(s / "source_positions", {.sequence_length = 8}),
        target_positions(s / "target_positions", {.sequence_length = 8}),
        encoder(s / "encoder", options()),
        decoder(s / "decoder", options()),
        head(s / "head", {.units = 12}) {}
  static TransformerOptions<float> options() {
    return {.hidden_dim = 32, .num_heads = 4, .intermediate_dim = 64};
  }
  Var<float> operator()(const Tokens<float>& ids, const Array<bool>& mask,
                        const Tokens<float>& read, bool causal) const {
    Var<float> x = source(ids);
    const Var<float> memory = encoder(x + source_positions(x), {.padding_mask = mask});
    x = target(read);
    return head(decoder(x + target_positions(x), memory,
                        {.encoder_padding_mask = mask, .use_causal_mask = causal}));
  }
};

}  // namespace

TEST_CASE("teacher-forced accuracy is worth what the model writes by itself") {
  Seq2SeqOptions options = tiny_seq2seq();
  options.positions = Positions::learned;
  const auto run = [&](const std::function<Kind(const Scope<float>&)>& make) {
    Shares all[2] = {};
    const char* name = "";
    for (const Task task : {Task::reverse, Task::chance}) {
      Params<float> params({.seed = 1});
      const Kind kind = make(params.scope());
      name = kind.name;
      train(kind, params, task, task == Task::reverse ? 500 : 150);
      all[static_cast<std::size_t>(task)] = measure(kind, task);
    }
    std::cout << name << ": reversed " << all[0].forced << " read, " << all[0].free
              << " written by itself; chance " << all[1].forced << " read\n";
    return std::pair(all[0], reads_the_answer(all[0], all[1]));
  };
  const auto of = [&](const Scope<float>& scope) {
    return std::make_shared<Seq2Seq<float>>(scope, options);
  };

  const auto [sound, cheats] = run([&](const Scope<float>& scope) -> Kind {
    return {"Seq2Seq", [m = of(scope)](const auto& source, const auto& mask, const auto& read) {
              return m->logits(read, m->encode(source, mask), mask);
            }};
  });
  CHECK(!cheats);
  CHECK(sound.forced > 0.95);
  CHECK(sound.free > 0.95);

  // The same with the target unshifted.
  const auto [unshifted, notices] = run([&](const Scope<float>& scope) -> Kind {
    return {"unshifted",
            [m = of(scope)](const auto& source, const auto& mask, const auto& read) {
              return m->logits(read, m->encode(source, mask), mask);
            },
            false};
  });
  CHECK(notices);
  CHECK(unshifted.forced > 0.95);

  // Blocks with a causal mask, and without: the position sees the next one, which is the answer.
  for (const bool causal : {true, false}) {
    const auto [accuracy, seen] = run([&](const Scope<float>& scope) -> Kind {
      return {causal ? "blocks" : "blocks without a mask",
              [m = std::make_shared<Blocks>(scope), causal](const auto& source, const auto& mask,
                                                            const auto& read) {
                return (*m)(source, mask, read, causal);
              }};
    });
    CHECK(seen == !causal);
    CHECK(accuracy.forced > 0.95);
  }
}

TEST_CASE("greedy decoding is as good as reading, on a task that was learned") {
  Params<float> params({.seed = 1});
  const Seq2Seq<float> model(params.scope(), tiny_seq2seq());
  train(
      {"", [&](const auto& source, const auto& mask,
               const auto& read) { return model.logits(read, model.encode(source, mask), mask); }},
      params, Task::reverse, 500);
  RandomStream stream(3, 1);
  const Batch b = draw(Task::reverse, 200, stream);
  const auto texts = greedy(model, b.source, b.mask, {.max_length = kLongest + 1});
  const auto lists = beam_search(model, b.source, b.mask, {}, {.max_length = kLongest + 1});
  int right = 0, found = 0;
  for (std::size_t r = 0; r < 200; ++r) {
    IdList expected;
    for (std::size_t i = 0; b.target_out(r, i) != kEnd; ++i) expected.push_back(b.target_out(r, i));
    right += texts[r].ended && texts[r].tokens == expected ? 1 : 0;
    found += lists[r][0].ended && lists[r][0].tokens == expected ? 1 : 0;
  }
  CHECK(right >= 180);
  CHECK(found >= right - 2);
  std::cout << "reversed exactly: greedy " << right << ", beam " << found << " of 200\n";
}
