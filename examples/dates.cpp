// Learns to rewrite dates: "thursday, june 18th 1987" -> "1987-06-18". An encoder reads the
// characters, a decoder writes the ISO form. The program makes its data; --test FILE reads other pairs.
#include "command_line.hpp"
#include "dates_translator.hpp"
#include "ranks.hpp"

#include <chrono>
#include <cstdio>
#include <fstream>

namespace xp = xtape;
using dates::Batch, dates::Example, dates::Translator;

struct Settings {
  std::int64_t epochs = 4;
  std::size_t examples = 40000, batch = 64;
  int layers = 1, width = 64, heads = 4, hidden = 128;
  double learning_rate = 3e-3;
  std::uint64_t seed = 1;
  std::string test, picture = "dates_attention.svg";
  bool smoke = false;
};

/// Prints ten translations, and draws the attention of the decoder in the longest.
void show(const Translator& translator, const std::vector<Example>& test, const std::string& file) {
  const std::vector<Example> ten(test.begin(), test.begin() + 10);
  const auto written = translator.translate(ten, true);
  std::printf("\nten translations of dates it has never seen, written by itself:\n");
  std::size_t longest = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    const std::string text = translator.text(written[i]);
    const std::string note = text == ten[i].target ? "" : "   (expected " + ten[i].target + ")";
    std::printf("  %-34s %s%s\n", ten[i].source.c_str(), text.c_str(), note.c_str());
    if (ten[i].source.size() > ten[longest].source.size()) longest = i;
  }
  const auto characters = [](const std::string& t) {
    return xp::tokenize(t, xp::TokenKind::characters);
  };
  xp::write_text(file, xp::attention_svg(written[longest].attention,
                                         translator.letters.decode(written[longest].tokens),
                                         characters(ten[longest].source),
                                         {.row_title = "written", .column_title = "read"}));
  std::printf("\nattention of \"%s\" written to %s\n", ten[longest].source.c_str(), file.c_str());
}

void run(const Settings& s) {
  const std::vector<Example> given =
      s.test.empty() ? std::vector<Example>{} : dates::read_pairs(s.test);
  std::set<std::string> held_out;
  for (const Example& e : given) held_out.insert(e.target);
  const dates::Data data = dates::make_data(s.seed, s.examples, held_out);
  std::vector<std::vector<std::string>> texts;
  for (const Example& e : data.train) {
    texts.push_back(xp::tokenize(e.source + e.target, xp::TokenKind::characters));
  }
  const auto letters = xp::Vocabulary::build(texts);

  xp::Params<float> params({.seed = s.seed});
  const xp::Seq2Seq<float> model(params.scope(),
                                 {.source_vocabulary = static_cast<int>(letters.size()),
                                  .target_vocabulary = static_cast<int>(letters.size()),
                                  .hidden_dim = s.width,
                                  .num_heads = s.heads,
                                  .intermediate_dim = s.hidden,
                                  .encoder_layers = s.layers,
                                  .decoder_layers = s.layers});
  model.build();
  const Translator translator{letters, model};
  std::printf("%zu weights; %zu examples; %zu dates held out\n", params.count(), data.train.size(),
              data.test.size() + data.validation.size() + held_out.size());

  const auto batches = xp::batches_of(data.train, {.batch_size = s.batch, .seed = s.seed},
                                      [&](const auto& chosen) { return translator.batch(chosen); });
  const std::int64_t steps = s.epochs * static_cast<std::int64_t>(batches.steps(0));
  xp::Adam<float> adam(
      {.learning_rate =
           xp::schedules::LinearWarmup{
               .steps = steps / 20,
               .then = xp::schedules::CosineDecay{.initial_learning_rate = s.learning_rate,
                                                  .decay_steps = steps - steps / 20,
                                                  .alpha = 0.02}},
       .beta_2 = 0.98,
       .epsilon = 1e-9});
  xp::LambdaCallback exact({.on_epoch_end = [&](xp::Run&, std::int64_t, xp::Logs& logs) {
    logs.set("val_exact", translator.exact_match(data.validation));
  }});
  const auto start = std::chrono::steady_clock::now();
  xp::fit(params, adam, batches,
          [&](xp::Tape<float>& tape, const Batch& b) {
            return model.loss(tape.input(b.source.ids), b.source.mask, tape.input(b.input.ids),
                              b.output.ids);
          },
          {.epochs = s.epochs, .callbacks = {&exact}, .clip_norm = 1.0, .seed = s.seed});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  show(translator, data.test, s.picture);
  std::printf("strongest source character in the right field: %.1f %% of the digits written\n",
              translator.right_field(data.test));
  if (!given.empty()) {
    std::printf("exact match %.1f %% of %zu pairs of %s\n", translator.exact_match(given),
                given.size(), s.test.c_str());
  }
  std::printf("exact match %.1f %% of %zu unseen dates after %.1f s of training\n",
              translator.exact_match(data.test), data.test.size(), seconds);
}

int main(int argc, char** argv) {
  Settings s;
  console::open_descriptors();
  CLI::App app("Learns to rewrite dates as ISO 8601, from data it makes itself.", "dates");
  const auto add = [&](const char* name, auto& value, const char* text) {
    return app.add_option(name, value, text)->capture_default_str();
  };
  const console::Whole count(1, 1000000);
  add("--epochs", s.epochs, "how often to go over the examples")->check(count);
  add("--examples", s.examples, "examples to make")->check(count);
  add("--batch", s.batch, "examples per step")->check(count);
  add("--learning-rate", s.learning_rate, "highest learning rate")
      ->check(console::Real(0, std::numeric_limits<double>::max(), true));
  add("--layers", s.layers, "layers of the encoder, and of the decoder")->check(count);
  add("--width", s.width, "width of the vectors, a multiple of --heads")->check(count);
  add("--heads", s.heads, "attention heads")->check(count);
  add("--hidden", s.hidden, "width inside the feed-forward parts")->check(count);
  add("--seed", s.seed, "of data and initial values")->check(console::Whole(0));
  add("--test", s.test, "also test on pairs source<TAB>target from this file (.gz too)");
  add("--picture", s.picture, "where to write the attention picture");
  app.add_flag("--smoke", s.smoke, "one very short run, to see that it works");
  return console::run("dates", [&] {
    if (const auto status = console::parse(app, argc, argv)) return *status;
    console::need_one_process(xp::launched_ranks(), "dates");
    if (s.smoke) s.epochs = 1, s.examples = 320;
    if (!std::ofstream(s.picture, std::ios::app)) {  // fails before the training rather than after
      throw xp::IoError(
          s.picture + ": cannot be written: expected a writable path; name another with --picture");
    }
    run(s);
    return 0;
  });
}
