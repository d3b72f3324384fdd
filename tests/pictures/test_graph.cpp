#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <xtape/xtape.hpp>

#include <map>
#include <regex>
#include <set>

using namespace xtape;
using namespace xtape::test;

namespace {

/// Labels by node, and arrows between labels.
struct Graph {
  std::map<std::string, std::string> labels;
  std::multiset<std::pair<std::string, std::string>> arrows;

  explicit Graph(const std::string& dot) {
    REQUIRE(dot.rfind("digraph step {\n", 0) == 0);
    REQUIRE(dot.substr(dot.size() - 2) == "}\n");
    const std::regex node(R"re(  (n\d+) \[label="((?:[^"\\]|\\.)*)"[^\]]*\])re");
    const std::regex arrow(R"(  (n\d+) -> (n\d+))");
    std::istringstream lines(dot);
    std::string line;
    std::smatch match;
    while (std::getline(lines, line)) {
      if (std::regex_match(line, match, node)) {
        CHECK(labels.emplace(match[1], match[2]).second);
      } else if (std::regex_match(line, match, arrow)) {
        arrows.emplace(labels.at(match[1]), labels.at(match[2]));
      }
    }
  }
  [[nodiscard]] std::multiset<std::string> nodes() const {
    std::multiset<std::string> out;
    for (const auto& [id, text] : labels) out.insert(text);
    return out;
  }
};

using Nodes = std::multiset<std::string>;
using Arrows = std::multiset<std::pair<std::string, std::string>>;

template <class F> std::string refused(F call) {
  try {
    call();
  } catch (const TapeError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the graph of a known step") {
  Params<double> params;
  const Dense<double> dense(params.scope() / "layer" / "dense", {.units = 3});
  Tape<double> tape;
  const auto x = tape.watch(random_array<double>({4, 5}, 1));
  const auto unused = exp(x);  // does not lead to the loss
  const auto y = dense(x);
  const auto loss = sum(y * tanh(y));
  const Graph g(graph_dot(loss));
  const std::string in = R"(watched\n(4, 5))";
  const std::string kernel = R"(layer/dense/kernel\n(5, 3))";
  const std::string bias = R"(layer/dense/bias\n(3,))";
  const std::string out = R"(dense\n(4, 3))";
  const std::string bent = R"(tanh\n(4, 3))";
  const std::string product = R"(multiply\n(4, 3))";
  const std::string total = R"(sum\n())";
  CHECK(g.nodes() == Nodes{in, kernel, bias, out, bent, product, total});
  CHECK(g.arrows == Arrows{{in, out},
                           {kernel, out},
                           {bias, out},
                           {out, bent},
                           {out, product},
                           {bent, product},
                           {product, total}});
  // Looking changes nothing.
  CHECK(tape.backward(loss).size() == 3);
}

TEST_CASE("shapes that the tape does not keep follow from their uses") {
  Tape<float> tape;
  const auto x = tape.watch(random_array<float>({3}, 1));
  const auto y = tape.watch(random_array<float>({2, 1}, 2));
  const auto wide = x + y;  // both are broadcast
  const auto joined = concatenate<float>({wide, wide * 2.0F}, 0);
  const Graph g(graph_dot(joined));
  CHECK(g.nodes() == Nodes{R"(watched\n(3,))", R"(watched\n(2, 1))", R"(add\n(2, 3))",
                           R"(multiply\n(2, 3))", R"(concatenate\n(4, 3))"});
  CHECK(g.arrows.count({R"(add\n(2, 3))", R"(concatenate\n(4, 3))"}) == 1);
}

TEST_CASE("several outputs, checkpoints and shared parameters are one node each") {
  Tape<double> tape;
  const auto x = tape.watch(random_array<double>({2, 4}, 1));
  using Outputs = std::vector<Result<double>>;
  const auto doubled = [](FusedBackward<double>& b, const Outputs&) {
    b.add(0, Array<double>(*b.grad_output(1) * 2.0));
  };
  const auto composed = [](const Var<double>& v) { return std::vector<Var<double>>{v, v * 2.0}; };
  const auto both = record_fused(
      "twins", {Result<double>(x.value()), Result<double>(Array<double>(x.value() * 2.0))}, doubled,
      composed, x);
  const auto inside = checkpoint([](const Var<double>& v) { return sum(exp(v), {1}); }, both[1]);
  const Graph g(graph_dot(inside));
  CHECK(g.nodes() ==
        Nodes{R"(watched\n(2, 4))", R"(twins\n(2, 4)\n(2, 4))", R"(checkpoint\n(2,))"});
  CHECK(g.arrows.size() == 2);
  // The second output itself may be asked for.
  CHECK(contains(graph_dot(both[1]), "peripheries=2"));

  Params<double> params;
  const Embedding<double> table(params.scope() / "odd \"name\\", {.input_dim = 5, .output_dim = 4});
  const auto tied = table.attend(table(tape.input(array<std::int64_t>({2}, {1, 3}))));
  const Graph h(graph_dot(tied));
  const std::string leaf = R"(odd \"name\\/embeddings\n(5, 4))";
  CHECK(h.nodes().count(leaf) == 1);
  const auto from = [&leaf](const auto& arrow) { return arrow.first == leaf; };
  CHECK(std::count_if(h.arrows.begin(), h.arrows.end(), from) == 2);
}

TEST_CASE("every value of a model has its shape") {
  Params<float> params;
  const TransformerDecoder<float> block(
      params.scope() / "block",
      {.hidden_dim = 8, .num_heads = 2, .intermediate_dim = 16, .dropout = 0.1});
  Tape<float> tape({.training = true});
  const auto x = tape.input(random_array<float>({2, 5, 8}, 1));
  const auto [y, self, cross] = block.with_scores(x, x);
  const Graph g(graph_dot(mean(y * y) + mean(cross)));
  for (const auto& [id, label] : g.labels) {
    INFO(label);
    CHECK(contains(label, "\\n("));
  }
  std::size_t parameters = 0;
  for (const std::string& path : params.paths()) {
    const std::string label = path + "\\n" + to_string(params.at(path).value().shape());
    parameters += g.nodes().count(label);
  }
  CHECK(parameters == params.paths().size());
  CHECK(g.labels.size() < tape.size() + 1);
}

TEST_CASE("what has no graph is refused") {
  CHECK(contains(refused([] { graph_dot(Var<double>(1.0)); }), "graph_dot: result is not tracked"));
  CHECK(contains(refused([] { graph_dot(Var<float>()); }), "not tracked"));
  Tape<double> tape;
  const auto x = tape.watch(Var<double>(2.0));
  const auto y = x * x;
  tape.backward(y);
  CHECK(contains(refused([&] { graph_dot(y); }), "stale handle"));
  const auto z = tape.watch(Var<double>(2.0));
  const auto looking = record("looking", Result<double>(Array<double>(z.value())),
                              wrt(z, [&z](const Var<double>& g) {
                                static_cast<void>(graph_dot(z));
                                return g;
                              }));
  CHECK(contains(refused([&] { tape.backward(looking); }), "called from a pullback"));
}
