// Operations that change shapes, and that join and cut arrays.

#include "support/twins.hpp"

namespace xtape::test {
namespace {

Twin same_elements(Shape (*shape)(const Shape&)) {
  return plain([shape](const Arrays& x) {
    Array<double> y = x[0];
    y.reshape(shape(x[0].shape()));
    return y;
  });
}

Shape without_ones(const Shape& s) {
  Index kept;
  for (const std::size_t e : s) {
    if (e != 1) kept.push_back(e);
  }
  return shape_of(kept);
}
Shape inserted(const Shape& s, std::size_t axis) {
  Index out = extents_of(s);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(axis), 1);
  return shape_of(out);
}

void layout_rows(Table& rows) {
  rows.op("reshape to one axis", one(), OP(reshape(x[0], {-1})),
          same_elements([](const Shape& s) { return Shape{size_of(s)}; }));
  rows.op("reshape to a column", one(), OP(reshape(x[0], Shape{x[0].size(), 1})),
          same_elements([](const Shape& s) {
            return Shape{size_of(s), 1};
          }));
  rows.op("reshape to (2, -1)", both(one(), singles("4 2 2x2 6x1 1x2")), OP(reshape(x[0], {2, -1})),
          same_elements([](const Shape& s) {
            return Shape{2, size_of(s) / 2};
          }))
      .refusing(shape_error_when([](const Shape& s) { return size_of(s) % 2 != 0; },
                                 "reshape: sizes differ"));
  rows.op("transpose", both(one(), matrices()), OP(transpose(x[0])),
          moved([](const Shape& s) { return Shape(s.rbegin(), s.rend()); },
                [](const Index& i, const Shape&) { return Index(i.rbegin(), i.rend()); }));
  const std::vector<Shapes> cubes =
      singles("3x2x4 1x2x3 2x2x2 4x1x2 1x1x1 0x2x3 2x3x0 3x3x1 5x1x2 2x4x3");
  rows.op("transpose (1, 2, 0)", both(both(one(), matrices()), cubes),
          OP(transpose(x[0], {1, -1, 0})),
          moved(
              [](const Shape& s) {
                return Shape{s[1], s[2], s[0]};
              },
              [](const Index& i, const Shape&) {
                return Index{i[2], i[0], i[1]};
              }))
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() < 2) return refused("transpose: axis out of range");
        if (s[0].size() == 2) return refused("transpose: axis repeated");
        if (s[0].size() == 3) return std::nullopt;
        return refused("transpose: axes missing");
      });
  rows.op("transpose of large matrices",
          singles("17x16 16x17 20x18 2x16x16 33x16 16x1x16 16x16 15x17 1x40 3x17 31x2 48x3"),
          OP(transpose(x[0])),
          moved([](const Shape& s) { return Shape(s.rbegin(), s.rend()); },
                [](const Index& i, const Shape&) { return Index(i.rbegin(), i.rend()); }));
  rows.op("expand_dims, first", one(), OP(expand_dims(x[0], 0)),
          same_elements([](const Shape& s) { return inserted(s, 0); }));
  rows.op("expand_dims, last", one(), OP(expand_dims(x[0], -1)),
          same_elements([](const Shape& s) { return inserted(s, s.size()); }));
  rows.op("squeeze", one(), OP(squeeze(x[0])), same_elements(without_ones));
  rows.op("squeeze axis 0",
          both(one(), singles("1x1 1x2 1x3 1x2x2 1x0 1x5 1x3x1 1x6 1x2x3 1x7 1x1x4")),
          OP(squeeze(x[0], {0})),
          same_elements([](const Shape& s) { return Shape(s.begin() + 1, s.end()); }))
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("squeeze: axis out of range");
        if (s[0][0] != 1) return refused("squeeze: axis is not 1");
        return std::nullopt;
      });
  // One new leading axis, and every extent of 1 repeated.
  const auto wider = [](const Shape& s) {
    Index out{2};
    for (const std::size_t e : s) out.push_back(e == 1 ? 3 : e);
    return shape_of(out);
  };
  rows.op("broadcast_to", one(), OP(broadcast_to(x[0], wider(x[0].shape()))),
          moved(wider, [](const Index& i, const Shape&) { return i; }));
  std::vector<Shapes> many;  // few shapes fit: each twice, told apart by a second operand
  for (const Shape& s :
       {Shape{}, Shape{1}, Shape{3}, Shape{1, 3}, Shape{1, 1}, Shape{2, 1}, Shape{2, 3}}) {
    many.push_back({s, Shape{2}});
    many.push_back({s, Shape{3}});
  }
  rows.op(
          "broadcast_to (2, 3)", both(two(), many),
          [](const auto& x) {
            const auto wide = broadcast_to(x[0], Shape{2, 3});
            return wide + sum(x[1]);
          },
          plain([](const Arrays& x) {
            double s = 0;
            for (std::size_t i = 0; i < x[1].size(); ++i) s += x[1].data()[i];
            return generate(Shape{2, 3}, [&](const Index& i) { return at(x[0], i) + s; });
          }))
      .refusing(shape_error_when(
          [](const Shape& s) {
            return s.size() > 2 || (s.size() > 0 && s.back() != 1 && s.back() != 3);
          },
          "broadcast_to: shapes do not broadcast"));
  rows.op("flip", one(), OP(flip(x[0])), moved(identity, [](Index i, const Shape& s) {
            for (std::size_t k = 0; k < i.size(); ++k) i[k] = s[k] - 1 - i[k];
            return i;
          }));
  rows.op("flip axis -1", one(), OP(flip(x[0], {-1})),
          moved(identity,
                [](Index i, const Shape& s) {
                  i.back() = s.back() - 1 - i.back();
                  return i;
                }))
      .refusing(below_rank(1, "flip: axis out of range"));
  rows.op(
      "pad", one(),
      [](const auto& x) {
        std::vector<std::pair<std::size_t, std::size_t>> widths;
        for (std::size_t i = 0; i < x[0].rank(); ++i) widths.emplace_back(i % 2, 2 - i % 2);
        return pad(x[0], widths, 0.5);
      },
      plain([](const Arrays& x) {
        Index shape = extents_of(x[0].shape());
        for (std::size_t& e : shape) e += 2;
        return generate(shape_of(shape), [&](Index i) {
          for (std::size_t k = 0; k < i.size(); ++k) {
            if (i[k] < k % 2 || i[k] - k % 2 >= x[0].shape()[k]) return 0.5;
            i[k] -= k % 2;
          }
          return at(x[0], i);
        });
      }));
}

void joining_rows(Table& rows) {
  const auto three = derived(one(), [](const Shape& s) { return Shapes{s, s, s}; });
  for (const int axis : {0, -1}) {
    // Parts of unequal extent too.
    std::vector<Shapes> cases = three;
    cases.push_back(axis == 0 ? Shapes{Shape{1, 2}, Shape{3, 2}, Shape{2, 2}}
                              : Shapes{Shape{2, 1}, Shape{2, 3}, Shape{2, 2}});
    cases.push_back({Shape{2}, Shape{0}, Shape{3}});
    cases.push_back({Shape{4}, Shape{1}, Shape{2}});
    rows.op("concatenate, axis " + std::to_string(axis), cases, OP(concatenate(x, axis)),
            plain([axis](const Arrays& x) {
              const std::size_t k = axis < 0 ? x[0].dimension() - 1 : 0;
              Index shape = extents_of(x[0].shape());
              shape[k] = 0;
              for (const auto& part : x) shape[k] += part.shape()[k];
              return generate(shape_of(shape), [&](Index i) {
                std::size_t p = 0;
                while (i[k] >= x[p].shape()[k]) i[k] -= x[p++].shape()[k];
                // An extent of 1 does not broadcast here, and at() reads element 0 for index 0.
                return at(x[p], i);
              });
            }))
        .refusing(below_rank(1, "concatenate: axis out of range"));
    rows.op("stack, axis " + std::to_string(axis), three, OP(stack(x, axis)),
            plain([axis](const Arrays& x) {
              Index shape = extents_of(x[0].shape());
              const std::size_t k = axis < 0 ? shape.size() : 0;
              shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(k), 3);
              return generate(shape_of(shape), [&](Index i) {
                const std::size_t p = i[k];
                i.erase(i.begin() + static_cast<std::ptrdiff_t>(k));
                return at(x[p], i);
              });
            }));
  }
  const std::vector<Shapes> even = singles("2 4 6 2x2 4x3 2x1 6x2 0x2 2x2x2 4x4");
  const auto product = [](const Arrays& x, const std::vector<std::size_t>& begins,
                          std::size_t length) {
    Index shape = extents_of(x[0].shape());
    shape[0] = length;
    return generate(shape_of(shape), [&](Index i) {
      double y = 1;
      const std::size_t base = i[0];
      for (const std::size_t b : begins) {
        i[0] = base + b;
        // at() would broadcast an extent of 1.
        y *= at(x[0], i);
      }
      return y;
    });
  };
  rows.op(
          "split in two", both(one(), even),
          [](const auto& x) {
            const auto parts = split(x[0], 2, 0);
            return parts[0] * parts[1];
          },
          plain([product](const Arrays& x) {
            const std::size_t half = x[0].shape()[0] / 2;
            return product(x, {0, half}, half);
          }))
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("split: axis out of range");
        if (s[0][0] % 2 != 0) return refused("split: axis does not divide");
        return std::nullopt;
      });
  const std::vector<Shapes> fours = singles("4x1 4x2 4 4x3x1 4x0 4x2x2 4x5 4x4 4x1x1 4x1x2 4x6");
  rows.op(
          "split by sizes", both(one(), fours),
          [](const auto& x) {
            const auto parts = split(x[0], std::vector<std::size_t>{1, 0, 2, 1}, 0);
            return parts[0] * parts[2] + parts[3] + sum(parts[1]);
          },
          plain([](const Arrays& x) {
            Index shape = extents_of(x[0].shape());
            shape[0] = 2;
            return generate(shape_of(shape), [&](Index i) {
              Index a = i, b = i, c = i;
              a[0] = 0;
              b[0] = 1 + i[0];
              c[0] = 3;
              return at(x[0], a) * at(x[0], b) + at(x[0], c);
            });
          }))
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        if (s[0].size() == 0) return refused("split: axis out of range");
        if (s[0][0] != 4) return refused("split: sizes do not add up");
        return std::nullopt;
      });
}

}  // namespace

std::vector<Row> shape_rows() {
  Table rows;
  layout_rows(rows);
  joining_rows(rows);
  return rows;
}

}  // namespace xtape::test
