#pragma once
// A table of operations: one row says what an operation is, on which shapes it runs, which it
// refuses and how, from where its operands are drawn, and what a naive twin gives. The harness and
// the fault test walk over the rows, so that a new operation is tested by adding one.

#include "support/arrays.hpp"

#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace xtape::test {

template <class T> using Vars = std::vector<Var<T>>;
template <class T> using Function = std::function<Var<T>(const Vars<T>&)>;
using Shapes = std::vector<Shape>;
using Arrays = std::vector<Array<double>>;
using Values = std::map<std::string, Array<double>>;
/// The operation again, computed plainly in double from operands and parameters.
using Twin = std::function<Array<double>(const Arrays&, const Values&)>;

/// Where an operand's elements are drawn from. Kinks are avoided by 0.05; `distinct` keeps all
/// elements of a case apart, across operands too, for operations that compare them.
struct Domain {
  double low = -1.5;
  double high = 1.5;
  std::vector<double> avoid = {};
  bool distinct = false;
};

/// The error a row expects for shapes it refuses.
struct Rejection {
  enum class Kind { shape, value };
  Kind kind = Kind::shape;
  std::string part;  // of the message
};
using Rejects = std::function<std::optional<Rejection>(const Shapes&)>;

/// A ShapeError with this in its message.
inline Rejection refused(std::string part) { return {Rejection::Kind::shape, std::move(part)}; }

struct Row {
  std::string name;
  std::vector<Shapes> cases;
  std::function<Function<double>(Params<double>&)> make_double;
  std::function<Function<float>(Params<float>&)> make_float;
  Twin twin;
  std::vector<Domain> domains = {Domain{}};  // the last serves for all further operands
  Rejects rejects = nullptr;
  bool layer = false;        // has parameters, and a layer's float tolerance
  bool same_operand = true;  // may be called with one Var in all places
  double twin_tolerance = 1e-12;

  [[nodiscard]] const Domain& domain(std::size_t operand) const {
    return domains[std::min(operand, domains.size() - 1)];
  }
  [[nodiscard]] std::optional<Rejection> rejection(const Shapes& shapes) const {
    return rejects ? rejects(shapes) : std::nullopt;
  }
  template <class T> [[nodiscard]] Function<T> make(Params<T>& params) const {
    if constexpr (std::is_same_v<T, double>) {
      return make_double(params);
    } else {
      return make_float(params);
    }
  }
  // Setters, for what few rows need.
  Row& on(std::vector<Domain> d) {
    domains = std::move(d);
    return *this;
  }
  Row& refusing(Rejects r) {
    rejects = std::move(r);
    return *this;
  }
  Row& never_the_same_operand() {
    same_operand = false;
    return *this;
  }
  Row& within(double tolerance) {
    twin_tolerance = tolerance;
    return *this;
  }
};

/// Rows. op() and layer() add one and return it, so that its setters can follow.
struct Table : std::vector<Row> {
  /// Adds a layer: `make`, a generic lambda, returns the function for given Params.
  template <class F> Row& layer(std::string name, std::vector<Shapes> cases, F make, Twin twin) {
    Row row;
    row.name = std::move(name);
    row.cases = std::move(cases);
    row.make_double = [make](Params<double>& p) -> Function<double> { return make(p); };
    row.make_float = [make](Params<float>& p) -> Function<float> { return make(p); };
    row.twin = std::move(twin);
    row.layer = true;
    push_back(std::move(row));
    return back();
  }
  /// Adds a function of Vars: a generic lambda, used for double and float.
  template <class F> Row& op(std::string name, std::vector<Shapes> cases, F f, Twin twin) {
    const auto make = [f]<class T>(Params<T>&) -> Function<T> { return f; };
    Row& row = layer(std::move(name), std::move(cases), make, std::move(twin));
    row.layer = false;
    return row;
  }
};

/// A function of the operands x, for Table::op().
#define OP(...) [=](const auto& x) { return __VA_ARGS__; }

/// Cases of one operand from their shapes: singles("() 0 2x3") are a scalar, an empty vector and a matrix.
inline std::vector<Shapes> singles(const std::string& shapes) {
  std::vector<Shapes> all;
  std::istringstream words(shapes);
  for (std::string word; words >> word;) {
    std::vector<std::size_t> extents;
    std::istringstream numbers(word == "()" ? "" : word);
    for (std::string n; std::getline(numbers, n, 'x');) extents.push_back(std::stoul(n));
    all.push_back({Shape(extents.begin(), extents.end())});
  }
  return all;
}

/// The shape classes of one operand: every rank up to 3, empty ones, extents of 1, and a few more.
inline std::vector<Shapes> one() {
  return singles("() 1 0 3 2x3 2x0x3 2x3x4 2x1x3 5 1x4 3x2x2 2x2x1x2 11 4x3");
}

/// Those of two: equal shapes, broadcasting of either, of both, a rank difference, a scalar.
inline std::vector<Shapes> two() {
  std::vector<Shapes> all;
  for (const Shape& s : {Shape{}, Shape{1}, Shape{0}, Shape{3}, Shape{2, 3}, Shape{2, 0, 3},
                         Shape{2, 3, 4}, Shape{2, 1, 3}}) {
    all.push_back({s, s});
  }
  const std::vector<Shapes> broadcast = {{Shape{1, 3}, Shape{2, 3}}, {Shape{2, 3}, Shape{2, 1}},
                                         {Shape{2, 1}, Shape{1, 3}}, {Shape{3}, Shape{2, 3}},
                                         {Shape{2, 3, 2}, Shape{2}}, {Shape{}, Shape{2, 3}},
                                         {Shape{2, 3}, Shape{}},     {Shape{2, 0, 3}, Shape{3}},
                                         {Shape{1}, Shape{0}},       {Shape{2, 1, 3}, Shape{4, 1}}};
  all.insert(all.end(), broadcast.begin(), broadcast.end());
  return all;
}

/// Two lists one after the other.
inline std::vector<Shapes> both(std::vector<Shapes> a, const std::vector<Shapes>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// More shapes with at least two axes, for operations that refuse fewer.
inline std::vector<Shapes> matrices() { return singles("3x3 3x2 2x4 1x1 4x1 3x1x2 1x3x3 2x2x3"); }

/// The operand shapes made from each class of one operand.
template <class F> std::vector<Shapes> derived(const std::vector<Shapes>& classes, F f) {
  std::vector<Shapes> all;
  for (const Shapes& c : classes) all.push_back(f(c[0]));
  return all;
}

/// Refuses a first operand with fewer axes.
inline Rejects below_rank(std::size_t rank, std::string part) {
  return [rank, part](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() < rank) return refused(part);
    return std::nullopt;
  };
}

/// Refuses shapes for which `bad(first operand's shape)` holds.
template <class F> Rejects shape_error_when(F bad, std::string part) {
  return [bad, part](const Shapes& s) -> std::optional<Rejection> {
    if (bad(s[0])) return refused(part);
    return std::nullopt;
  };
}

// The tables, by family.
std::vector<Row> elementwise_rows();
std::vector<Row> activation_rows();
std::vector<Row> reduction_rows();
std::vector<Row> product_rows();
std::vector<Row> shape_rows();
std::vector<Row> indexing_rows();
std::vector<Row> neural_rows();
std::vector<Row> loss_rows();
std::vector<Row> further_loss_rows();  // made of operations: no pullbacks of their own
std::vector<Row> layer_rows();
std::vector<Row> block_rows();

}  // namespace xtape::test
