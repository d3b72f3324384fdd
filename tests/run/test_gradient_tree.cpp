// The tree of additions over shards.
#include "run/gradient_tree.hpp"

#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using detail::GradientTree;

namespace {

/// The sum of a node as a formula, by the definition: the left child has the largest power of two.
std::string formula(std::int64_t begin, std::int64_t end) {
  if (end - begin == 1) return std::to_string(begin);
  std::int64_t half = 1;
  while (2 * half < end - begin) half *= 2;
  return "(" + formula(begin, begin + half) + "+" + formula(begin + half, end) + ")";
}

double value_of(std::int64_t shard) { return std::pow(3.0, static_cast<double>(shard % 37)) / 7; }

double tree_sum(std::int64_t begin, std::int64_t end) {
  if (end - begin == 1) return value_of(begin);
  std::int64_t half = 1;
  while (2 * half < end - begin) half *= 2;
  return tree_sum(begin, begin + half) + tree_sum(begin + half, end);
}

}  // namespace

TEST_CASE("every range of shards makes the nodes of the tree, and they add as it says") {
  CHECK(formula(0, 6) == "(((0+1)+(2+3))+(4+5))");
  Params<double> params;
  const auto w = params.scope().reserve("w");
  w.build({2}, "zeros", {});
  for (const std::int64_t count : {1, 2, 3, 5, 6, 8, 11, 13, 16}) {
    for (std::int64_t begin = 0; begin < count; ++begin) {
      for (std::int64_t end = begin + 1; end <= count; ++end) {
        INFO(count << " shards, " << begin << " to " << end);
        const Shards shards{count, begin, end};
        GradientTree<double> tree(shards);
        for (std::int64_t v = begin; v < end; ++v) {
          Gradients<double> g;
          set_gradient(g, w, Array<double>(Shape{2}, value_of(v)));
          tree.add(v, std::move(g));
        }
        const auto nodes = tree.take();
        const auto expected = detail::cover(shards);
        REQUIRE(nodes.size() == expected.size());
        std::int64_t at = begin;
        for (std::size_t i = 0; i < nodes.size(); ++i) {
          const detail::TreeNode node = nodes[i].shards;
          CHECK((node.begin == at && node.end == expected[i].end));
          at = node.end;
          // It is a node of the tree: its formula is a part of the whole one.
          CHECK(contains(formula(0, count), formula(node.begin, node.end)));
          CHECK((*nodes[i].sum)[w].value()(1) == tree_sum(node.begin, node.end));
        }
        CHECK(at == end);
      }
    }
  }
}

TEST_CASE("an absent gradient adds nothing, not a zero") {
  Params<double> params;
  const auto a = params.scope().reserve("a");
  const auto b = params.scope().reserve("b");
  a.build({1}, "zeros", {});
  b.build({1}, "zeros", {});
  GradientTree<double> tree({4, 0, 4});
  Gradients<double> g;
  set_gradient(g, b, Array<double>(Shape{1}, -0.0));
  tree.add(2, std::move(g));  // shards 0, 1 and 3 are left out
  const auto nodes = tree.take();
  REQUIRE(nodes.size() == 1);
  REQUIRE(nodes[0].sum);
  CHECK(std::signbit((*nodes[0].sum)[b].value()(0)));
  CHECK(!nodes[0].sum->contains(a));
  CHECK(!tree.take()[0].sum);  // nothing came since

  Gradients<double> mixed;
  set_gradient(mixed, b, Array<double>(Shape{1}, 1.0));
  set_gradient(mixed, a, Array<double>(Shape{1}, 2.0));
  mixed.scale(0.5);
  const Gradients<double> ordered = detail::in_order(params, mixed);
  REQUIRE(ordered.size() == 2);
  CHECK(ordered.entries()[0].slot->path == "a");
  CHECK(ordered[a].value()(0) == 1.0);
  CHECK(ordered[b].value()(0) == 0.5);
}
