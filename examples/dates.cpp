// Learns to rewrite dates: "thursday, june 18th 1987" -> "1987-06-18". An encoder reads the
// characters, a decoder with causal self-attention and cross-attention writes the ISO form. The data
// is made here; --test FILE reads other pairs.

#include "dates_model.hpp"

#include <CLI/CLI.hpp>

#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <fstream>

namespace xp = xtape;
using Clock = std::chrono::steady_clock;

namespace {

struct Settings {
  int epochs = 8;
  int examples = 20000;  // per epoch, new ones in each
  int batch = 64;
  double learning_rate = 3e-3;
  std::uint64_t seed = 1;
  dates::Sizes sizes;
  std::string test;
  std::string picture = "dates_attention.svg";
  bool smoke = false;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Share of texts that are right in every character, in percent.
double exact_match(const std::vector<dates::Translation>& written,
                   const std::vector<dates::Example>& examples) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    right += written[i].text == examples[i].target ? 1 : 0;
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(examples.size());
}

/// Share of written digits whose strongest source character shows the field they belong to.
double right_field(const std::vector<dates::Translation>& written,
                   const std::vector<dates::Example>& examples) {
  const std::string fields = "yyyy mm dd";
  std::size_t digits = 0;
  std::size_t right = 0;
  for (std::size_t e = 0; e < examples.size(); ++e) {
    for (std::size_t i = 0; i < std::min(fields.size(), written[e].text.size()); ++i) {
      if (fields[i] == ' ') continue;
      std::size_t best = 0;
      for (std::size_t j = 1; j < examples[e].source.size(); ++j) {
        if (written[e].attention(i, j) > written[e].attention(i, best)) best = j;
      }
      ++digits;
      right += examples[e].fields[best] == fields[i] ? 1 : 0;
    }
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(std::max<std::size_t>(digits, 1));
}

std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> out;
  for (const char c : text) out.emplace_back(1, c);
  return out;
}

std::vector<dates::Example> draw(const std::vector<dates::Date>& from, std::size_t count,
                                 xp::RandomStream& stream) {
  std::vector<dates::Example> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(dates::write(from[stream.below(from.size())],
                               static_cast<int>(stream.below(dates::kFormats))));
  }
  return out;
}

/// Linear warm-up, then half a cosine down to 2 %.
double learning_rate(const Settings& s, int step, int steps) {
  const int warm = std::max(1, steps / 20);
  if (step < warm) return s.learning_rate * (step + 1) / warm;
  const double t = static_cast<double>(step - warm) / std::max(1, steps - warm);
  return s.learning_rate * (0.02 + 0.98 * 0.5 * (1 + std::cos(3.14159265358979 * t)));
}

struct Progress {
  bool terminal = isatty(STDOUT_FILENO) != 0;
  void show(const Settings& s, int epoch, int step, int steps, double loss, double exact,
            double elapsed, bool epoch_ends) const {
    if (!terminal && !epoch_ends) return;
    const double rate = static_cast<double>(step) * s.batch / elapsed;
    const double left = elapsed / step * (steps - step);
    const int filled = 20 * step / steps;
    std::printf(
        "%sepoch %d/%d  step %4d/%d  [%s%s]  loss %.4f  exact %5.1f %%  %5.0f examples/s  %3.0f s "
        "left%s",
        terminal ? "\r" : "", epoch, s.epochs, step, steps,
        std::string(static_cast<std::size_t>(filled), '=').c_str(),
        std::string(static_cast<std::size_t>(20 - filled), '.').c_str(), loss, exact, rate, left,
        epoch_ends ? "\n" : "");
    std::fflush(stdout);
  }
};

/// Trains, showing progress; the seconds it took (without the checks between epochs).
double train(const Settings& s, const dates::Model<float>& model, xp::Params<float>& params,
             const std::vector<dates::Date>& train_dates,
             const std::vector<dates::Example>& validation) {
  xp::Adam<float> adam({.learning_rate = s.learning_rate, .beta_2 = 0.98, .epsilon = 1e-9});
  xp::Tape<float> tape({.training = true, .seed = s.seed});
  xp::RandomStream stream(s.seed, xp::stable_hash("training examples"));
  const int steps_per_epoch = s.examples / s.batch;
  const int steps = s.epochs * steps_per_epoch;
  const Progress progress;
  const Clock::time_point start = Clock::now();
  double checks = 0;
  double exact = 0;
  double mean_loss = 0;
  for (int epoch = 1, step = 0; epoch <= s.epochs; ++epoch) {
    const auto examples =
        draw(train_dates, static_cast<std::size_t>(steps_per_epoch * s.batch), stream);
    for (int i = 0; i < steps_per_epoch; ++i) {
      const auto begin = static_cast<std::size_t>(i * s.batch);
      const dates::Batch batch =
          dates::make_batch(examples, begin, begin + static_cast<std::size_t>(s.batch));
      const auto memory = model.encode(tape.input(batch.source), batch.source_mask);
      const auto logits = model.decode(tape.input(batch.input), memory, batch.source_mask);
      const auto loss = xp::sparse_categorical_crossentropy(
          logits, batch.output, {.from_logits = true, .ignore_class = dates::Characters::kPad});
      auto gradients = tape.backward(loss);
      adam.set_learning_rate(learning_rate(s, step, steps));
      adam.step(params, gradients.clip_global_norm(1.0));
      ++step;
      mean_loss = i == 0 ? loss.item() : 0.98 * mean_loss + 0.02 * loss.item();
      if (step % 10 == 0) {
        progress.show(s, epoch, step, steps, mean_loss, exact, seconds_since(start) - checks,
                      false);
      }
    }
    const Clock::time_point check = Clock::now();
    exact = exact_match(dates::translate(model, validation), validation);
    checks += seconds_since(check);
    progress.show(s, epoch, step, steps, mean_loss, exact, seconds_since(start) - checks, true);
  }
  return seconds_since(start) - checks;
}

int run(const Settings& s) {
  const std::vector<dates::Example> given =
      s.test.empty() ? std::vector<dates::Example>{} : dates::read_pairs(s.test);
  // Dates to be tested are taken out of the training: no format of them is ever seen.
  std::set<std::string> held_out;
  for (const auto& e : given) held_out.insert(e.target);
  std::vector<dates::Date> all = dates::shuffled_dates(s.seed);
  std::vector<dates::Example> validation;
  std::vector<dates::Example> test;
  std::vector<dates::Date> rest;
  xp::RandomStream stream(s.seed, xp::stable_hash("test examples"));
  for (const dates::Date& date : all) {
    const int format = static_cast<int>(stream.below(dates::kFormats));
    if (test.size() < 1000) {
      test.push_back(dates::write(date, format));
    } else if (validation.size() < 200) {
      validation.push_back(dates::write(date, format));
    } else if (held_out.count(dates::iso(date)) == 0) {
      rest.push_back(date);
    }
  }

  xp::Params<float> params({.seed = s.seed});
  const dates::Model<float> model(params.scope(), s.sizes);
  static_cast<void>(dates::translate(model, {test[0]}));  // builds the parameters
  std::printf("%zu parameters, %d threads; %d examples per epoch, all new; %zu dates held out\n",
              params.count(), static_cast<int>(xp::num_threads()), s.examples,
              test.size() + validation.size() + held_out.size());
  const double seconds = train(s, model, params, rest, validation);

  const std::vector<dates::Translation> written = dates::translate(model, test);
  std::printf("\nten translations of dates it has never seen, written by itself:\n");
  for (std::size_t i = 0; i < 10; ++i) {
    std::printf(
        "  %-34s %s%s\n", test[i].source.c_str(), written[i].text.c_str(),
        written[i].text == test[i].target ? "" : ("   (expected " + test[i].target + ")").c_str());
  }
  std::size_t shown = 0;  // a long one makes the better picture
  for (std::size_t i = 1; i < 10; ++i) {
    if (test[i].source.size() > test[shown].source.size()) shown = i;
  }
  xp::write_text(s.picture,
                 xp::attention_svg(written[shown].attention, characters(written[shown].text),
                                   characters(test[shown].source),
                                   {.row_title = "written", .column_title = "read"}));
  std::printf("\nattention of \"%s\" written to %s\n", test[shown].source.c_str(),
              s.picture.c_str());
  std::printf("strongest source character in the right field: %.1f %% of the digits written\n",
              right_field(written, test));
  if (!given.empty()) {
    std::printf("exact match %.1f %% of %zu pairs of %s\n",
                exact_match(dates::translate(model, given), given), given.size(), s.test.c_str());
  }
  std::printf("exact match %.1f %% of %zu unseen dates after %.1f s of training\n",
              exact_match(written, test), test.size(), seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Learns to rewrite dates as ISO 8601, from data it makes itself.");
  const CLI::Range count(1, 1000000);
  app.add_option("--epochs", s.epochs, "how often to go over the examples")
      ->check(count)
      ->capture_default_str();
  app.add_option("--examples", s.examples, "examples per epoch")
      ->check(count)
      ->capture_default_str();
  app.add_option("--batch", s.batch, "examples per step")->check(count)->capture_default_str();
  app.add_option("--learning-rate", s.learning_rate, "highest learning rate")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--layers", s.sizes.layers, "layers of the encoder, and of the decoder")
      ->check(count)
      ->capture_default_str();
  app.add_option("--width", s.sizes.width, "width of the vectors")
      ->check(count)
      ->capture_default_str();
  app.add_option("--heads", s.sizes.heads, "attention heads")->check(count)->capture_default_str();
  app.add_option("--hidden", s.sizes.hidden, "width inside the feed-forward parts")
      ->check(count)
      ->capture_default_str();
  app.add_option("--seed", s.seed, "of data and initial values")->capture_default_str();
  app.add_option("--test", s.test, "also test on pairs source<TAB>target from this file (.gz too)");
  app.add_option("--picture", s.picture, "where to write the attention picture")
      ->capture_default_str();
  app.add_flag("--smoke", s.smoke, "one very short run, to see that it works");
  CLI11_PARSE(app, argc, argv);
  if (s.smoke) {
    s.epochs = 1;
    s.examples = 320;
  }
  try {
    if (s.examples < s.batch) {
      throw xp::ValueError("too few examples: --examples is " + std::to_string(s.examples) +
                           ", expected at least one batch of " + std::to_string(s.batch));
    }
    // Found out now rather than after the training.
    if (!std::ofstream(s.picture, std::ios::app)) {
      throw xp::IoError(s.picture +
                        ": cannot be written: expected a writable path; name another "
                        "with --picture");
    }
    return run(s);
  } catch (const xp::Error& e) {
    std::fprintf(stderr, "dates: %s\n", e.what());
    return 1;
  }
}
