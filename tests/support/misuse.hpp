#pragma once
// Calls that must be refused, as a list: what, on which shapes, and the parts of the error's text.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>

namespace xtape::test {

using V = Var<double>;
using Vs = std::vector<V>;
using Ids = Array<std::int64_t>;

struct Misuse {
  const char* what;
  std::vector<Shape> shapes;
  std::function<void(const Vs&)> call;
  std::vector<const char*> parts;
};

template <class E> void refuse(const std::vector<Misuse>& all) {
  for (const Misuse& m : all) {
    INFO(m.what);
    Tape<double> tape;
    Vs x;
    for (const Shape& s : m.shapes) x.push_back(tape.watch(V(random_array<double>(s, 1, 0.1, 1))));
    const std::size_t before = tape.size();
    std::string text;
    try {
      m.call(x);
    } catch (const E& e) {
      text = e.what();
    }
    INFO("it says: " << text);
    CHECK(!text.empty());
    for (const char* part : m.parts) {
      INFO("expected part: " << part);
      CHECK(contains(text, part));
    }
    CHECK(tape.size() == before);
  }
}

inline const Shape s23{2, 3};
inline const Shape s24{2, 4};
inline const Shape s3{3};
inline const Shape scalar{};

inline Ids ids_of(std::initializer_list<std::int64_t> values) {
  return array<std::int64_t>(Shape{values.size()}, values);
}

// Not inlined: with the extents known, g++ 12 warns about the unused rest of xtensor's short
// vector.
[[gnu::noinline]] inline Array<bool> all_true(const Shape& shape) {
  return detail::full<bool>(shape, true);
}

template <class F> Misuse broadcast_error(const char* op, F f) {
  return {op,
          {s23, s24},
          [f](const Vs& x) { static_cast<void>(f(x)); },
          {op, "shapes do not broadcast", "(2, 3)", "(2, 4)", "expected equal sizes or 1",
           "axis -1", "reshape"}};
}

template <class F> void axis_errors(const char* op, F f) {
  refuse<ShapeError>({
      {op,
       {s23},
       [f](const Vs& x) { f(x[0], 2); },
       {op, "axis out of range", "axis is 2", "-2 to 1", "rank 2"}},
      {op, {s23}, [f](const Vs& x) { f(x[0], -3); }, {op, "axis out of range", "axis is -3"}},
      {op, {scalar}, [f](const Vs& x) { f(x[0], 0); }, {op, "axis out of range", "rank 0"}},
  });
}

template <class F> void repeated_axis_errors(const char* op, F f) {
  refuse<ShapeError>({{op,
                       {s23},
                       [f](const Vs& x) {
                         f(x[0], Axes{0, -2});
                       },
                       {op, "axis repeated", "distinct", "once"}}});
}

}  // namespace xtape::test
