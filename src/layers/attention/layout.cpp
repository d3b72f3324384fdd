#include "layers/attention/layout.hpp"

#include <algorithm>

namespace xtape::detail {

std::string to_string(const PartialShape& shape) { return print_extents(shape); }

PartialShape AttentionLayout::scores(std::ptrdiff_t heads) const {
  PartialShape shape = free;
  shape.push_back(heads);
  shape.insert(shape.end(), targets.begin(), targets.end());
  shape.insert(shape.end(), sources.begin(), sources.end());
  return shape;
}

namespace {

// An unknown extent agrees with every other.
bool agree(std::ptrdiff_t a, std::ptrdiff_t b) { return a == b || a < 0 || b < 0; }

std::vector<std::size_t> attended_axes(const std::string& path, const std::vector<int>& wanted,
                                       const PartialShape& query) {
  std::vector<std::size_t> axes;
  if (wanted.empty()) {
    for (std::size_t i = 1; i + 1 < query.size(); ++i) axes.push_back(i);
    return axes;
  }
  axes = normalize_axes(path + ": attention_axes", wanted, query.size());
  for (const std::size_t axis : axes) {
    if (axis == 0 || axis + 1 == query.size()) {
      fail<ShapeError>(path, "attention_axes out of range: axis ", axis, " of query ",
                       to_string(query), " is its ", axis == 0 ? "batch" : "features",
                       ", expected axes between the batch and the features");
    }
  }
  return axes;
}

}  // namespace

AttentionLayout attention_layout(const std::string& path, const std::vector<int>& attention_axes,
                                 bool grouped, const PartialShape& query, const PartialShape& value,
                                 const PartialShape& key) {
  const auto refuse = [&](const char* what, const char* operand, const PartialShape& is,
                          const auto&... rest) {
    fail<ShapeError>(path, what, ": ", operand, " is ", to_string(is), ", query is ",
                     to_string(query), rest...);
  };
  const std::size_t rank = query.size();
  if (rank < 3) {
    fail<ShapeError>(path, "too few axes: query is ", to_string(query),
                     ", expected (batch, positions..., features); add an axis of 1");
  }
  if (value.size() != rank) refuse("ranks differ", "value", value, ", expected equal ranks");
  if (key.size() != rank) refuse("ranks differ", "key", key, ", expected equal ranks");
  for (const auto& [name, shape] : {std::pair{"query", &query}, {"value", &value}, {"key", &key}}) {
    if (std::any_of(shape->begin(), shape->end(), [](std::ptrdiff_t e) { return e < -1; })) {
      fail<ShapeError>(path, "extent out of range: ", name, " is ", to_string(*shape),
                       ", expected extents of 0 or more, or -1 for one not known yet");
    }
  }
  AttentionLayout l;
  l.axes = attended_axes(path, attention_axes, query);
  const auto attends = [&](std::size_t axis) {
    return std::find(l.axes.begin(), l.axes.end(), axis) != l.axes.end();
  };
  // Letters: a, b, ... for the query's axes; A, B, ... in their place for attended axes of keys; u for
  // heads, w for key_dim, v for value_dim, x for key heads, y for the group that shares a key head.
  std::string target, source, free;
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    if (!agree(key[i], value[i])) {
      refuse("key and value differ", "key", key, ", value is ", to_string(value),
             ", expected them equal on all axes but the last");
    }
    if (!attends(i) && !agree(value[i], query[i])) {
      refuse("value does not fit", "value", value, ", expected equal extents on axis ", i,
             ", which is not attended over");
    }
    const char letter = static_cast<char>('a' + i);
    target += letter;
    source += attends(i) ? static_cast<char>('A' + i) : letter;
    if (!attends(i)) {
      free += letter;
      l.free.push_back(query[i] < 0 ? value[i] : query[i]);
    }
  }
  std::string targets, sources;
  for (const std::size_t axis : l.axes) {
    targets += static_cast<char>('a' + axis);
    sources += static_cast<char>('A' + axis);
    l.targets.push_back(query[axis]);
    l.sources.push_back(value[axis]);
  }
  check_rank(path.c_str(), l.free.size() + 2 + l.targets.size() + l.sources.size());
  const std::string heads = grouped ? "xy" : "u";
  const std::string key_heads = grouped ? "x" : "u";
  const std::string scores = free + heads + targets + sources;
  l.products = source + key_heads + "w," + target + heads + "w->" + scores;
  l.combine = scores + "," + source + key_heads + "v->" + target + heads + "v";
  return l;
}

}  // namespace xtape::detail
