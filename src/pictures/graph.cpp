#include "array/shapes.hpp"
#include "base/instantiate.hpp"

#include <xtape/params/params.hpp>
#include <xtape/pictures/pictures.hpp>

#include <map>

namespace xtape {
namespace {

/// A node that gradients reach, and the known shapes of its outputs.
struct Reached {
  detail::NodeDescription node;
  std::map<std::size_t, Shape> outputs;  // by number
};

// Escapes a label of DOT: quotes and backslashes would end it.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

template <class T>
std::map<std::size_t, Reached> reach(const detail::TapeState<T>& state, std::size_t result,
                                     const Shape& shape) {
  std::map<std::size_t, Reached> out;
  // The further outputs of an operation have numbers of their own.
  const auto add = [&](std::size_t id, const Shape& of) {
    std::size_t node = id;
    while (state.entries[node].node->outputs == 0) --node;
    out[node].outputs.emplace(id - node, of);
  };
  add(result, shape);
  // Operands have smaller numbers than their users, so the greatest number not yet visited is complete.
  for (auto at = std::prev(out.end());; --at) {
    Reached& reached = at->second;
    state.entries[at->first].node->describe(reached.node);
    for (std::size_t k = 0; k < reached.node.outputs.size(); ++k) {
      reached.outputs.emplace(k, reached.node.outputs[k]);
    }
    for (const auto& input : reached.node.inputs) {
      add(input.node, input.shape ? *input.shape : reached.outputs.begin()->second);
    }
    if (at == out.begin()) return out;
  }
}

}  // namespace

template <class T> std::string graph_dot(const Var<T>& result) {
  if (!result.has_value() || !result.tracked()) {
    detail::fail<TapeError>(
        "graph_dot",
        "result is not tracked: nothing is recorded behind it, expected a value computed from "
        "tape.watch() or a trainable parameter; pass inputs "
        "through tape.input()");
  }
  detail::check_node_ref("graph_dot", result.node_ref());
  const detail::TapeState<T>& state = *result.node_ref().state;
  if (state.in_backward) {
    detail::fail<TapeError>("graph_dot",
                            "called from a pullback: the tape is being taken apart, expected it "
                            "whole; call it before backward");
  }
  const std::size_t last = result.node_ref().node;
  const std::map<std::size_t, Reached> nodes = reach(state, last, result.shape());

  std::string out =
      "digraph step {\n  node [shape=box style=\"rounded,filled\" fillcolor=\"#eef3f8\" "
      "color=\"#5b7fa3\" fontname=\"DejaVu Sans\" fontsize=11]\n  edge [color=\"#5b6b7b\" "
      "arrowsize=0.7]\n";
  for (const auto& [id, reached] : nodes) {
    const detail::Node<T>& node = *state.entries[id].node;
    const bool leaf = dynamic_cast<const detail::Leaf<T>*>(&node) != nullptr;
    std::string label = leaf ? "watched" : quoted(node.name);
    if (reached.node.parameter != nullptr) label = quoted(*reached.node.parameter);
    for (const auto& [k, shape] : reached.outputs) label += "\\n" + to_string(shape);
    out += "  n" + std::to_string(id) + " [label=\"" + label + "\"";
    if (reached.node.parameter != nullptr) {
      out += " style=filled fillcolor=\"#fdf1d6\" color=\"#b98a2b\"";
    } else if (leaf) {
      out += " shape=ellipse style=filled fillcolor=\"#e3f3e4\" color=\"#4d8f55\"";
    }
    // The result has a double border.
    if (last >= id && last - id < node.outputs) out += " peripheries=2";
    out += "]\n";
  }
  for (const auto& [id, reached] : nodes) {
    for (const auto& input : reached.node.inputs) {
      std::size_t from = input.node;
      while (state.entries[from].node->outputs == 0) --from;
      out += "  n" + std::to_string(from) + " -> n" + std::to_string(id) + "\n";
    }
  }
  return out + "}\n";
}

XTAPE_FOR_REALS(graph_dot);

}  // namespace xtape
