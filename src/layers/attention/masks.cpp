#include "layers/attention/masks.hpp"

#include "base/instantiate.hpp"
#include "kernels/memory.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::detail {

/// Adds the conditions of a Mask to a Visibility.
struct MaskReader {
  static void add(const Mask& mask, const std::string& path, const Shape& scores, Visibility& to);
};

namespace {

Array<bool> expanded(const Array<bool>& mask, const Shape& shape) {
  if (mask.shape() == shape) return mask;
  Array<bool> out(shape);
  kernels::copy(make_loop<2>(shape, {broadcast_strides(mask.shape(), shape), strides_of(shape)}),
                mask.data(), out.data());
  return out;
}

void add_to(OptionalArray<bool>& all, Array<bool> mask) {
  all = all ? logical_and(*all, mask) : std::move(mask);
}

void add_queries(Visibility& to, const Array<bool>& keep, const Shape& scores) {
  add_to(to.queries, expanded(keep, Shape{scores[0], scores[scores.size() - 2]}));
}
void add_keys(Visibility& to, const Array<bool>& keep, const Shape& scores) {
  add_to(to.keys, expanded(keep, Shape{scores[0], scores.back()}));
}
void add_range(Visibility& to, Index behind, Index ahead) {
  to.behind = std::min(to.behind, behind);
  to.ahead = std::min(to.ahead, ahead);
}

}  // namespace

void MaskReader::add(const Mask& mask, const std::string& path, const Shape& scores,
                     Visibility& to) {
  for (const Mask::Part& part : mask.parts_) {
    switch (part.kind) {
      case Mask::Kind::causal: add_range(to, Visibility::kAll, part.offset); break;
      case Mask::Kind::window:
        add_range(to, part.window - 1 - part.offset, part.window - 1 + part.offset);
        break;
      case Mask::Kind::padding:
        static_cast<void>(Mask::evaluate(part, path, scores));  // for its errors
        add_keys(to, part.keep, scores);
        break;
      case Mask::Kind::queries:
        static_cast<void>(Mask::evaluate(part, path, scores));
        add_queries(to, part.keep, scores);
        break;
      case Mask::Kind::pairwise: add_to(to.pairs, Mask::evaluate(part, path, scores)); break;
    }
  }
}

std::optional<Shape> with_missing_axes(const Shape& given, std::size_t attended,
                                       const Shape& scores) {
  if (given.size() < 2 * attended || given.size() > scores.size()) return std::nullopt;
  std::vector<std::size_t> full(given.begin(), given.end());
  full.insert(full.end() - static_cast<std::ptrdiff_t>(2 * attended), scores.size() - given.size(),
              1);
  const Shape shape(full.begin(), full.end());
  if (!broadcasts_to(shape, scores)) return std::nullopt;
  return shape;
}

/// Returns the shape of a mask or bias that broadcasts to the scores. Throws ShapeError if there is none.
static Shape fitted(const std::string& path, const char* name, const Shape& given,
                    const AttentionLayout& l, const Shape& scores, const char* rest) {
  const auto full = with_missing_axes(given, l.axes.size(), scores);
  if (!full) {
    fail<ShapeError>(path, name, " does not fit: ", name, " is ", xtape::to_string(given),
                     ", expected ", 2 * l.axes.size(), " to ", scores.size(),
                     " axes, each 1 or that of the scores ", xtape::to_string(scores), rest);
  }
  return *full;
}

template <class T>
Visibility visibility(const std::string& path, const AttentionLayout& l, const Shape& scores,
                      std::optional<int> sliding_window,
                      const typename MultiHeadAttention<T>::CallOptions& call,
                      std::ptrdiff_t offset) {
  Visibility seen;
  const std::size_t rank = scores.size();
  if (call.attention_mask) {
    const Array<bool>& mask = *call.attention_mask;
    add_to(seen.pairs,
           reshaped(mask, fitted(path, "attention_mask", mask.shape(), l, scores,
                                 " (missing ones are inserted before the query axes); true means "
                                 "attend")));
  }
  const auto add_padding = [&](const OptionalArray<bool>& m, const char* name, bool of_query) {
    if (!m) return;
    if (rank != 4) {
      fail<ShapeError>(path, name, " needs inputs of rank 3: scores are ", xtape::to_string(scores),
                       ", expected (batch, heads, queries, keys); use attention_mask");
    }
    const Shape expected{scores[0], of_query ? scores[2] : scores[3]};
    if (m->shape() != expected) {
      fail<ShapeError>(path, name, " does not fit: ", name, " is ", xtape::to_string(m->shape()),
                       ", expected ", xtape::to_string(expected), "; true means attend");
    }
    if (of_query) {
      add_queries(seen, *m, scores);
    } else {
      add_keys(seen, *m, scores);
    }
  };
  add_padding(call.query_mask, "query_mask", true);
  add_padding(call.value_mask, "value_mask", false);
  add_padding(call.key_mask, "key_mask", false);
  Mask typed = call.mask;
  if (call.use_causal_mask) typed = typed & Mask::causal(offset);
  if (sliding_window) {
    typed = typed & Mask::sliding_window(static_cast<std::size_t>(*sliding_window), offset);
  }
  if (!typed.empty()) {
    if (l.axes.size() != 1) {
      fail<ShapeError>(path, call.use_causal_mask ? "use_causal_mask" : "mask",
                       " needs one attention axis: there are ", l.axes.size(),
                       ", expected 1; pass an attention_mask");
    }
    MaskReader::add(typed, path, scores, seen);
  }
  return seen;
}
XTAPE_FOR_REALS(visibility);

OptionalArray<bool> evaluate(const Visibility& seen, const Shape& scores) {
  OptionalArray<bool> all = seen.pairs;
  const std::size_t rank = scores.size();
  const auto add_rows = [&](const Array<bool>& keep, std::size_t axis) {
    std::vector<std::size_t> shape(rank, 1);
    shape[0] = keep.shape()[0];
    shape[axis] = keep.shape()[1];
    add_to(all, reshaped(keep, Shape(shape.begin(), shape.end())));
  };
  if (seen.queries) add_rows(*seen.queries, rank - 2);
  if (seen.keys) add_rows(*seen.keys, rank - 1);
  if (seen.behind != Visibility::kAll || seen.ahead != Visibility::kAll) {
    Array<bool> keep(Shape{scores[rank - 2], scores[rank - 1]});
    bool* at = keep.data();
    for (Index i = 0; i < extent(scores, rank - 2); ++i) {
      for (Index j = 0; j < extent(scores, rank - 1); ++j) {
        *at++ = j - i >= -seen.behind && j - i <= seen.ahead;
      }
    }
    add_to(all, std::move(keep));
  }
  return all;
}

template <class T>
void check_biases(const std::string& path, const AttentionLayout& l, const Shape& scores,
                  const typename MultiHeadAttention<T>::CallOptions& call) {
  if (call.attention_bias) {
    static_cast<void>(fitted(path, "attention_bias", call.attention_bias->shape(), l, scores, ""));
  }
  if (call.alibi_slopes) {
    const Shape expected{scores[l.free.size()]};
    if (call.alibi_slopes->shape() != expected || l.axes.size() != 1) {
      fail<ShapeError>(path, "alibi_slopes do not fit: alibi_slopes are ",
                       xtape::to_string(call.alibi_slopes->shape()), " for ", l.axes.size(),
                       " attention axes, expected ", xtape::to_string(expected), " and one axis");
    }
    const T* slopes = call.alibi_slopes->data();
    for (std::size_t h = 0; h < expected[0]; ++h) {
      if (std::isfinite(slopes[h])) continue;
      fail<ValueError>(path, "alibi_slopes out of range: slope ", h, " is ", slopes[h],
                       ", expected finite numbers");
    }
  }
}
XTAPE_FOR_REALS(check_biases);

template <class T>
Array<T> linear_biases(const Array<T>& slopes, const Shape& scores, std::ptrdiff_t position) {
  const std::size_t rank = scores.size();
  Array<T> bias(Shape{scores[rank - 3], scores[rank - 2], scores[rank - 1]});
  T* at = bias.data();
  for (std::size_t h = 0; h < scores[rank - 3]; ++h) {
    for (Index i = 0; i < extent(scores, rank - 2); ++i) {
      for (Index j = 0; j < extent(scores, rank - 1); ++j) {
        const Index distance = i + position - j;
        *at++ = -slopes.data()[h] * static_cast<T>(distance < 0 ? -distance : distance);
      }
    }
  }
  return bias;
}
XTAPE_FOR_REALS(linear_biases);

}  // namespace xtape::detail
