// Operations that change shapes, and that join and cut arrays.

#include "support/twins.hpp"

namespace xtape::test {
namespace {

std::optional<Rejection> refused(const char* part) {
  return Rejection{Rejection::Kind::shape, part};
}

/// y[i] = x[where(i)].
template <class S, class W>
Twin moved(S shape, W where_from) {
  return plain([shape, where_from](const Arrays& x) {
    return generate(shape(x[0].shape()),
                    [&](const Index& i) { return at(x[0], where_from(i, x[0].shape())); });
  });
}

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
Shape identity(const Shape& s) { return s; }

void layout_rows(std::vector<Row>& rows) {
  const auto put = [&](Row row) { rows.push_back(std::move(row)); };
  put(op(
      "reshape to one axis", one(), [](const auto& x) { return reshape(x[0], {-1}); },
      same_elements([](const Shape& s) { return Shape{size_of(s)}; })));
  put(op(
      "reshape to a column", one(),
      [](const auto& x) {
        return reshape(x[0], Shape{x[0].size(), 1});
      },
      same_elements([](const Shape& s) {
        return Shape{size_of(s), 1};
      })));
  put(op(
          "reshape to (2, -1)",
          both(one(), {{Shape{4}}, {Shape{2}}, {Shape{2, 2}}, {Shape{6, 1}}, {Shape{1, 2}}}),
          [](const auto& x) {
            return reshape(x[0], {2, -1});
          },
          same_elements([](const Shape& s) {
            return Shape{2, size_of(s) / 2};
          }))
          .refusing(shape_error_when([](const Shape& s) { return size_of(s) % 2 != 0; },
                                     "reshape: sizes differ")));
  put(op(
      "transpose", both(one(), matrices()), [](const auto& x) { return transpose(x[0]); },
      moved([](const Shape& s) { return Shape(s.rbegin(), s.rend()); },
            [](const Index& i, const Shape&) { return Index(i.rbegin(), i.rend()); })));
  const std::vector<Shapes> cubes = {
      {Shape{3, 2, 4}}, {Shape{1, 2, 3}}, {Shape{2, 2, 2}}, {Shape{4, 1, 2}}, {Shape{1, 1, 1}},
      {Shape{0, 2, 3}}, {Shape{2, 3, 0}}, {Shape{3, 3, 1}}, {Shape{5, 1, 2}}, {Shape{2, 4, 3}}};
  put(op(
          "transpose (1, 2, 0)", both(both(one(), matrices()), cubes),
          [](const auto& x) {
            return transpose(x[0], {1, -1, 0});
          },
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
          }));
  put(op(
      "transpose of large matrices",
      {{Shape{17, 16}},
       {Shape{16, 17}},
       {Shape{20, 18}},
       {Shape{2, 16, 16}},
       {Shape{33, 16}},
       {Shape{16, 1, 16}},
       {Shape{16, 16}},
       {Shape{15, 17}},
       {Shape{1, 40}},
       {Shape{3, 17}},
       {Shape{31, 2}},
       {Shape{48, 3}}},
      [](const auto& x) { return transpose(x[0]); },
      moved([](const Shape& s) { return Shape(s.rbegin(), s.rend()); },
            [](const Index& i, const Shape&) { return Index(i.rbegin(), i.rend()); })));
  put(op(
      "expand_dims, first", one(), [](const auto& x) { return expand_dims(x[0], 0); },
      same_elements([](const Shape& s) { return inserted(s, 0); })));
  put(op(
      "expand_dims, last", one(), [](const auto& x) { return expand_dims(x[0], -1); },
      same_elements([](const Shape& s) { return inserted(s, s.size()); })));
  put(op(
      "squeeze", one(), [](const auto& x) { return squeeze(x[0]); }, same_elements(without_ones)));
  put(op(
          "squeeze axis 0",
          both(one(), {{Shape{1, 1}},
                       {Shape{1, 2}},
                       {Shape{1, 3}},
                       {Shape{1, 2, 2}},
                       {Shape{1, 0}},
                       {Shape{1, 5}},
                       {Shape{1, 3, 1}},
                       {Shape{1, 6}},
                       {Shape{1, 2, 3}},
                       {Shape{1, 7}},
                       {Shape{1, 1, 4}}}),
          [](const auto& x) { return squeeze(x[0], {0}); },
          same_elements([](const Shape& s) { return Shape(s.begin() + 1, s.end()); }))
          .refusing([](const Shapes& s) -> std::optional<Rejection> {
            if (s[0].size() == 0) return refused("squeeze: axis out of range");
            if (s[0][0] != 1) return refused("squeeze: axis is not 1");
            return std::nullopt;
          }));
  // One new leading axis, and every extent of 1 repeated.
  const auto wider = [](const Shape& s) {
    Index out{2};
    for (const std::size_t e : s) out.push_back(e == 1 ? 3 : e);
    return shape_of(out);
  };
  put(op(
      "broadcast_to", one(),
      [wider](const auto& x) { return broadcast_to(x[0], wider(x[0].shape())); },
      moved(wider, [](const Index& i, const Shape&) { return i; })));
  std::vector<Shapes> many;  // few shapes fit: each twice, told apart by a second operand
  for (const Shape& s :
       {Shape{}, Shape{1}, Shape{3}, Shape{1, 3}, Shape{1, 1}, Shape{2, 1}, Shape{2, 3}}) {
    many.push_back({s, Shape{2}});
    many.push_back({s, Shape{3}});
  }
  put(op(
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
              "broadcast_to: shapes do not broadcast")));
  put(op(
      "flip", one(), [](const auto& x) { return flip(x[0]); },
      moved(identity, [](Index i, const Shape& s) {
        for (std::size_t k = 0; k < i.size(); ++k) i[k] = s[k] - 1 - i[k];
        return i;
      })));
  put(op(
          "flip axis -1", one(), [](const auto& x) { return flip(x[0], {-1}); },
          moved(identity,
                [](Index i, const Shape& s) {
                  i.back() = s.back() - 1 - i.back();
                  return i;
                }))
          .refusing(below_rank(1, "flip: axis out of range")));
  put(op(
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
      })));
}

void joining_rows(std::vector<Row>& rows) {
  const auto put = [&](Row row) { rows.push_back(std::move(row)); };
  const auto three = derived(one(), [](const Shape& s) { return Shapes{s, s, s}; });
  for (const int axis : {0, -1}) {
    // Parts of unequal extent too.
    std::vector<Shapes> cases = three;
    cases.push_back(axis == 0 ? Shapes{Shape{1, 2}, Shape{3, 2}, Shape{2, 2}}
                              : Shapes{Shape{2, 1}, Shape{2, 3}, Shape{2, 2}});
    cases.push_back({Shape{2}, Shape{0}, Shape{3}});
    cases.push_back({Shape{4}, Shape{1}, Shape{2}});
    put(op(
            "concatenate, axis " + std::to_string(axis), cases,
            [axis](const auto& x) { return concatenate(x, axis); }, plain([axis](const Arrays& x) {
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
            .refusing(below_rank(1, "concatenate: axis out of range")));
    put(op(
        "stack, axis " + std::to_string(axis), three,
        [axis](const auto& x) { return stack(x, axis); }, plain([axis](const Arrays& x) {
          Index shape = extents_of(x[0].shape());
          const std::size_t k = axis < 0 ? shape.size() : 0;
          shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(k), 3);
          return generate(shape_of(shape), [&](Index i) {
            const std::size_t p = i[k];
            i.erase(i.begin() + static_cast<std::ptrdiff_t>(k));
            return at(x[p], i);
          });
        })));
  }
  const std::vector<Shapes> even = {{Shape{2}},       {Shape{4}},    {Shape{6}},    {Shape{2, 2}},
                                    {Shape{4, 3}},    {Shape{2, 1}}, {Shape{6, 2}}, {Shape{0, 2}},
                                    {Shape{2, 2, 2}}, {Shape{4, 4}}};
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
  put(op(
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
          }));
  const std::vector<Shapes> fours = {{Shape{4, 1}},    {Shape{4, 2}}, {Shape{4}},
                                     {Shape{4, 3, 1}}, {Shape{4, 0}}, {Shape{4, 2, 2}},
                                     {Shape{4, 5}},    {Shape{4, 4}}, {Shape{4, 1, 1}},
                                     {Shape{4, 1, 2}}, {Shape{4, 6}}};
  put(op(
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
          }));
}

}  // namespace

std::vector<Row> shape_rows() {
  std::vector<Row> rows;
  layout_rows(rows);
  joining_rows(rows);
  return rows;
}

}  // namespace xtape::test
