// Operations that take parts of arrays, running sums and triangles, and picking by integer arrays.

#include "support/twins.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

void slice_rows(Table& rows) {
  rows.op("slice, every second", one(), OP(slice(x[0], {Slice::range({}, {}, 2)})),
          moved(
              [](Shape s) {
                s[0] = (s[0] + 1) / 2;
                return s;
              },
              [](Index i, const Shape&) {
                i[0] *= 2;
                return i;
              }))
      .refusing(below_rank(1, "slice: index does not fit"));
  rows.op("slice, backwards", one(), OP(slice(x[0], {Slice::ellipsis(), Slice::range(-1, {}, -2)})),
          moved(
              [](Shape s) {
                s.back() = (s.back() + 1) / 2;
                return s;
              },
              [](Index i, const Shape& s) {
                i.back() = s.back() - 1 - 2 * i.back();
                return i;
              }))
      .refusing(below_rank(1, "slice: index does not fit"));
  rows.op("slice, a range cut at the ends", one(), OP(slice(x[0], {Slice::range(1, 100)})),
          moved(
              [](Shape s) {
                s[0] = s[0] > 0 ? s[0] - 1 : 0;
                return s;
              },
              [](Index i, const Shape&) {
                ++i[0];
                return i;
              }))
      .refusing(below_rank(1, "slice: index does not fit"));
  rows.op("slice, last position", both(one(), matrices()),
          OP(slice(x[0], {Slice::at(-1), Slice::ellipsis()})),
          moved([](const Shape& s) { return Shape(s.begin() + 1, s.end()); },
                [](Index i, const Shape& s) {
                  i.insert(i.begin(), s[0] - 1);
                  return i;
                }))
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("slice: index does not fit");
        if (s[0][0] == 0) return refused("slice: position out of range");
        return std::nullopt;
      });
  rows.op("slice, ellipsis between", both(one(), matrices()),
          OP(slice(x[0], {Slice::range({}, {}, -1), Slice::ellipsis(), Slice::at(0)})),
          moved([](const Shape& s) { return Shape(s.begin(), s.end() - 1); },
                [](Index i, const Shape& s) {
                  i[0] = s[0] - 1 - i[0];
                  i.push_back(0);
                  return i;
                }))
      .refusing(below_rank(2, "slice: index does not fit"));
  rows.op("slice, nothing named", one(), OP(slice(x[0], {})),
          moved(identity, [](const Index& i, const Shape&) { return i; }));
  for (const bool reverse : {false, true}) {
    rows.op(reverse ? "cumsum, reverse" : "cumsum", one(), OP(cumsum(x[0], -1, reverse)),
            plain([reverse](const Arrays& x) {
              return generate(x[0].shape(), [&](Index i) {
                double sum = 0;
                const std::size_t end = i.back();
                const std::size_t n = x[0].shape().back();
                for (std::size_t k = reverse ? end : 0; k < (reverse ? n : end + 1); ++k) {
                  i.back() = k;
                  sum += at(x[0], i);
                }
                return sum;
              });
            }))
        .refusing(below_rank(1, "cumsum: axis out of range"));
    for (const int diagonal : {0, 1, -1}) {
      rows.op(std::string(reverse ? "triu " : "tril ") + std::to_string(diagonal),
              both(one(), matrices()), OP(reverse ? triu(x[0], diagonal) : tril(x[0], diagonal)),
              plain([reverse, diagonal](const Arrays& x) {
                return generate(x[0].shape(), [&](const Index& i) {
                  const auto r = static_cast<int>(i[i.size() - 2]);
                  const auto c = static_cast<int>(i.back());
                  return (reverse ? c - r >= diagonal : c - r <= diagonal) ? at(x[0], i) : 0.0;
                });
              }))
          .refusing(below_rank(2, reverse ? "triu: not a matrix" : "tril: not a matrix"));
    }
  }
}

Array<std::int64_t> positions(const Shape& shape, std::size_t extent) {
  Array<std::int64_t> ids(shape);
  const auto n = static_cast<std::int64_t>(extent);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids.data()[i] = static_cast<std::int64_t>(i * 5 + 1) % n;
    if (i % 2 == 1) ids.data()[i] -= n;  // counted from the end
  }
  return ids;
}
std::size_t wrapped(std::int64_t id, std::size_t extent) {
  return static_cast<std::size_t>(id < 0 ? id + static_cast<std::int64_t>(extent) : id);
}

void picking_rows(Table& rows) {
  const auto filled = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("take: axis out of range");
    return std::nullopt;
  };
  // From an empty axis only nothing can be taken.
  const auto count = [](std::size_t extent) {
    return extent == 0 ? std::size_t{0} : std::size_t{2};
  };
  rows.op(
          "take", one(),
          [count](const auto& x) {
            const std::size_t n = x[0].rank() == 0 ? 0 : x[0].shape()[0];
            return take(x[0], positions(Shape{count(n), 2}, std::max<std::size_t>(n, 1)));
          },
          plain([count](const Arrays& x) {
            const std::size_t n = x[0].shape()[0];
            const auto ids = positions(Shape{count(n), 2}, n);
            Index shape = extents_of(x[0].shape());
            shape[0] = 2;
            shape.insert(shape.begin(), count(n));
            return generate(shape_of(shape), [&](const Index& i) {
              Index from(i.begin() + 1, i.end());
              from[0] = wrapped(ids.data()[2 * i[0] + i[1]], n);
              return at(x[0], from);
            });
          }))
      .refusing(filled);
  rows.op(
          "take along the last axis", one(),
          [count](const auto& x) {
            const std::size_t n = x[0].rank() == 0 ? 0 : x[0].shape().back();
            return take(x[0], positions(Shape{2 * count(n)}, std::max<std::size_t>(n, 1)), -1);
          },
          plain([count](const Arrays& x) {
            const std::size_t n = x[0].shape().back();
            const auto ids = positions(Shape{2 * count(n)}, n);
            Shape shape = x[0].shape();
            shape.back() = 2 * count(n);
            return generate(shape, [&](Index i) {
              i.back() = wrapped(ids.data()[i.back()], n);
              return at(x[0], i);
            });
          }))
      .refusing(filled);
  for (const bool first : {true, false}) {
    const auto axis_of = [first](const Shape& s) { return first ? std::size_t{0} : s.size() - 1; };
    const auto ids_for = [axis_of, count](const Shape& s) {
      if (s.size() == 0) return Array<std::int64_t>(std::int64_t{0});
      Shape shape = s;
      shape[axis_of(s)] = count(s[axis_of(s)]);
      return positions(shape, std::max<std::size_t>(s[axis_of(s)], 1));
    };
    rows.op(first ? "take_along_axis 0" : "take_along_axis -1", one(),
            OP(take_along_axis(x[0], ids_for(x[0].shape()), first ? 0 : -1)),
            plain([ids_for, axis_of](const Arrays& x) {
              const auto ids = ids_for(x[0].shape());
              const std::size_t k = axis_of(x[0].shape());
              std::size_t n = 0;
              return generate(ids.shape(), [&](Index i) {
                i[k] = wrapped(ids.data()[n++], x[0].shape()[k]);
                return at(x[0], i);
              });
            }))
        .refusing(below_rank(1, "take_along_axis: axis out of range"));
  }
  rows.op(
          "embedding_lookup", both(one(), matrices()),
          []<class T>(const Vars<T>& x) {
            const std::size_t n = x[0].rank() == 2 ? x[0].shape()[0] : 1;
            Array<std::int64_t> ids = positions(Shape{2, 2}, n);
            for (std::size_t i = 0; i < 4; ++i)
              ids.data()[i] = static_cast<std::int64_t>(wrapped(ids.data()[i], n));
            return embedding_lookup(x[0], Tokens<T>(ids));
          },
          plain([](const Arrays& x) {
            const auto ids = positions(Shape{2, 2}, x[0].shape()[0]);
            return generate(Shape{2, 2, x[0].shape()[1]}, [&](const Index& i) {
              return at(x[0], {wrapped(ids.data()[2 * i[0] + i[1]], x[0].shape()[0]), i[2]});
            });
          }))
      .refusing(shape_error_when([](const Shape& s) { return s.size() != 2; },
                                 "embedding_lookup: not a table"));
  rows.back().cases = both(rows.back().cases, singles("5x2 2x5 6x1 2x2 3x4 7x2"));
}

}  // namespace

std::vector<Row> indexing_rows() {
  Table rows;
  slice_rows(rows);
  picking_rows(rows);
  return rows;
}

}  // namespace xtape::test
