// Three pictures of a small classifier: its attention, its training curves, and the graph of a step.
// They go to the folder named on the command line, or to a temporary one.

#include <xtape/xtape.hpp>

#include <cstdio>
#include <filesystem>

namespace xp = xtape;

namespace {

const std::vector<std::string> kWords = {"the", "cat", "did", "not", "like", "the", "old", "mat"};

struct Model {
  xp::Embedding<float> embedding;
  xp::SinePositionEncoding<float> positions;
  xp::MultiHeadAttention<float> attention;
  xp::Dense<float> head;

  explicit Model(const xp::Scope<float>& s)
      : embedding(s / "embedding", {.input_dim = 8, .output_dim = 16}),
        attention(s / "attention", {.num_heads = 4, .key_dim = 4}),
        head(s / "head", {.units = 8}) {}

  /// Predicts each word from the words before it; returns the attention scores too.
  std::pair<xp::Var<float>, xp::Var<float>> operator()(const xp::Tokens<float>& ids) const {
    const auto x = embedding(ids);
    const auto [y, scores] = attention.with_scores(x + positions(x), x, {.use_causal_mask = true});
    return {head(y), scores};
  }
};

}  // namespace

int main(int argc, char** argv) try {
  const std::filesystem::path folder =
      argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "xtape_pictures";
  std::filesystem::create_directories(folder);
  const auto file = [&folder](const char* name) { return (folder / name).string(); };

  xp::Array<std::int64_t> ids(xp::Shape{1, kWords.size()});
  xp::Array<std::int64_t> next(ids.shape());
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    ids(0, i) = static_cast<std::int64_t>(i);
    next(0, i) = static_cast<std::int64_t>((i + 1) % kWords.size());
  }
  xp::Params<float> params({.seed = 1});
  const Model model(params.scope());
  xp::Adam<float> adam({.learning_rate = 0.01});
  xp::Tape<float> tape({.training = true});
  std::vector<double> losses;
  std::vector<double> accuracies;
  for (int step = 0; step < 60; ++step) {
    const auto logits = model(tape.input(ids)).first;
    const auto loss = xp::sparse_categorical_crossentropy(logits, next, {.from_logits = true});
    if (step == 0) xp::write_text(file("graph.dot"), xp::graph_dot(loss));
    xp::Accuracy accuracy;
    accuracy.update(logits, next);
    losses.push_back(loss.item());
    accuracies.push_back(accuracy.result());
    adam.step(params, tape.backward(loss));
  }
  const xp::Curves curves{{"loss", losses}, {"accuracy", accuracies}};
  xp::write_text(file("curves.svg"), xp::curves_svg(curves, {.x_title = "step", .log = {"loss"}}));

  // The scores of the only sample: (heads, words, words).
  const auto scores = xp::reshape(model(ids).second, xp::Shape{4, kWords.size(), kWords.size()});
  xp::write_text(file("attention.svg"),
                 xp::attention_svg(scores.value(), kWords, kWords,
                                   {.title = "Attention to the words before"}));
  std::printf("attention.svg, curves.svg and graph.dot are in %s\n", folder.c_str());
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "pictures: %s\n", e.what());
  return 1;
}
