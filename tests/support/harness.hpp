#pragma once
// Drives one row of the operation table over its shapes. Every function returns what is wrong, or
// "", so that a failure names row, shapes and property at once.

#include "support/files.hpp"
#include "support/op_table.hpp"

#include <xtape/check/gradcheck.hpp>

#if __has_include(<xtensor/views/xstrided_view.hpp>)
#include <xtensor/views/xstrided_view.hpp>
#else
#include <xtensor/xstrided_view.hpp>
#endif

#include <cstring>
#include <limits>
#include <memory>
#include <sstream>

namespace xtape::test {

inline std::string describe(const Row& row, const Shapes& shapes) {
  std::string text = row.name + " on";
  for (const Shape& s : shapes) text.append(" ").append(to_string(s));
  return text;
}

inline double to_float(double v) { return static_cast<double>(static_cast<float>(v)); }

/// Operands of a case, from their domains; all exact in float.
inline Arrays sample(const Row& row, const Shapes& shapes, std::uint64_t seed = 0) {
  RandomStream stream(stable_hash(describe(row, shapes)), seed);
  std::size_t all = 0;
  for (const Shape& s : shapes) all += size_of(s);
  std::vector<std::size_t> slots(all);
  for (std::size_t i = 0; i < all; ++i) slots[i] = i;
  for (std::size_t i = all; i > 1; --i) std::swap(slots[i - 1], slots[stream.below(i)]);
  Arrays out;
  std::size_t slot = 0;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const Domain& d = row.domain(k);
    Array<double> a(shapes[k]);
    for (std::size_t i = 0; i < a.size(); ++i, ++slot) {
      const auto draw = [&] {
        // Distinct values: a place of its own for each, and jitter within half of it.
        const double unit = d.distinct
                                ? (static_cast<double>(slots[slot]) + 0.5 * stream.uniform()) /
                                      static_cast<double>(all)
                                : stream.uniform();
        return to_float(d.low + (d.high - d.low) * unit);
      };
      const auto at_kink = [&](double v) {
        return std::any_of(d.avoid.begin(), d.avoid.end(),
                           [v](double kink) { return std::abs(v - kink) < 0.05; });
      };
      double v = draw();
      while (at_kink(v)) v = draw();
      a.data()[i] = v;
    }
    out.push_back(std::move(a));
  }
  return out;
}

template <class T> Array<T> cast(const Array<double>& a) {
  Array<T> out(a.shape());
  for (std::size_t i = 0; i < a.size(); ++i) out.data()[i] = static_cast<T>(a.data()[i]);
  return out;
}

/// A row's function with its parameters, all set to values exact in float.
template <class T> struct Model {
  Params<T> params;
  Function<T> f;

  Model(const Row& row, const Arrays& inputs) : f(row.make(params)) {
    if (!row.layer) return;
    static_cast<void>(value(inputs));
    std::uint64_t seed = 5;
    for (const Parameter<T>& p : params.all()) {
      const Array<double> values = random_array<double>(p.value().shape(), ++seed, -0.9, 0.9);
      params.set(p.path(), cast<T>(cast<double>(values)));
    }
    f = nullptr;  // anything counted inside, as a dropout's calls, begins anew
    Params<T> fresh;
    Function<T> again = row.make(fresh);
    fresh.load(params.values());
    params = std::move(fresh);
    f = std::move(again);
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// The value where no gradient is wanted.
  Array<T> value(const Arrays& inputs) {
    Tape<T> tape({.record = false});
    Vars<T> x;
    for (const Array<double>& a : inputs) x.push_back(tape.input(Var<T>(cast<T>(a))));
    return f(x).value();
  }
  Values values() const {
    Values out;
    for (const auto& [path, v] : params.values()) {
      Array<double> a(v.shape());
      for (std::size_t i = 0; i < v.size(); ++i) a.data()[i] = static_cast<double>(v.data()[i]);
      out.emplace(path, std::move(a));
    }
    return out;
  }
};

constexpr std::size_t kAllTracked = static_cast<std::size_t>(-1);

/// Gradients of <seed, f> for all operands, then all parameters; nothing where none arrived.
template <class T> struct Pass {
  Array<T> y;
  std::vector<std::optional<Array<T>>> g;
};

template <class T>
Pass<T> differentiate(Model<T>& model, const Arrays& inputs, std::size_t untracked = kAllTracked,
                      bool twice_into = false) {
  Tape<T> tape;
  Vars<T> x;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Var<T> v(cast<T>(inputs[i]));
    x.push_back(i == untracked ? tape.input(v) : tape.watch(v));
  }
  const Var<T> y = model.f(x);
  Pass<T> pass;
  pass.y = y.value();
  Gradients<T> g;
  if (y.tracked()) {
    const Array<double> seed = random_array<double>(y.shape(), 99);
    const Var<T> s(cast<T>(cast<double>(seed)));
    if (twice_into) {
      tape.backward(y, {.retain = true, .into = &g, .seed = s});
      tape.backward(y, {.into = &g, .seed = s});
    } else {
      g = tape.backward(y, {.seed = s});
    }
  }
  for (const Var<T>& v : x) {
    pass.g.push_back(g.contains(v) ? std::optional(g[v].value()) : std::nullopt);
  }
  for (const Parameter<T>& p : model.params.all()) {
    pass.g.push_back(g.contains(p) ? std::optional(g[p].value()) : std::nullopt);
  }
  return pass;
}

inline std::string part(std::size_t k, std::size_t operands) {
  return k < operands ? "operand " + std::to_string(k)
                      : "parameter " + std::to_string(k - operands);
}

struct Worst {
  double error = 0;
  std::string where;
  void see(double e, const std::string& at) {
    if (e > error) {
      error = e;
      where = at;
    }
  }
};

struct Totals {
  std::size_t rows = 0, cases = 0, rejected = 0, properties = 0;
  Worst first, second, rough;
};

/// Float gradients against double ones, relative to the largest entry.
inline std::string check_float(const Row& row, const Shapes& shapes, const Pass<double>& exact,
                               Worst& worst) {
  const Arrays inputs = sample(row, shapes);
  Model<float> model(row, inputs);
  const Pass<float> rough = differentiate(model, inputs);
  double largest = 1e-3;
  for (const auto& g : exact.g) {
    for (std::size_t i = 0; g && i < g->size(); ++i)
      largest = std::max(largest, std::abs(g->data()[i]));
  }
  for (std::size_t k = 0; k < exact.g.size(); ++k) {
    if (exact.g[k].has_value() != rough.g[k].has_value())
      return "float and double differ in " + part(k, inputs.size());
    if (!exact.g[k]) continue;
    const double error = difference(*exact.g[k], *rough.g[k]) / largest;
    worst.see(error, describe(row, shapes));
    if (!(error <= (row.layer ? 1e-4 : 2e-5))) {
      return "float gradient of " + part(k, inputs.size()) + " is off by " + std::to_string(error);
    }
  }
  return "";
}

/// The same elements with NaN between them, as a view of every second one.
template <class F> auto with_gaps(const Array<double>& a, F use) {
  std::vector<std::size_t> extents(a.shape().begin(), a.shape().end());
  if (extents.empty()) extents.push_back(1);
  extents.back() *= 2;
  Array<double> wide(Shape(extents.begin(), extents.end()),
                     std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < a.size(); ++i) wide.data()[2 * i] = a.data()[i];
  if (a.dimension() == 0) return use(xt::strided_view(wide, {0}));
  const auto n = static_cast<std::ptrdiff_t>(extents.back());
  return use(
      xt::strided_view(wide, {xt::ellipsis(), xt::range(std::ptrdiff_t{0}, n, std::ptrdiff_t{2})}));
}

inline std::string check_views(Model<double>& model, const Arrays& inputs, const Array<double>& y) {
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Array<double> value = with_gaps(inputs[k], [&](const auto& view) {
      Tape<double> tape;
      Vars<double> x;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        x.push_back(i == k ? tape.watch(Var<double>(view)) : tape.watch(Var<double>(inputs[i])));
      }
      return Array<double>(model.f(x).value());
    });
    if (!same_bits(value, y))
      return "a view as operand " + std::to_string(k) + " gives another value";
  }
  return "";
}

/// One operand without a gradient: the others' do not change by a bit.
inline std::string check_untracked(Model<double>& model, const Arrays& inputs,
                                   const Pass<double>& all) {
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Pass<double> pass = differentiate(model, inputs, k);
    if (!same_bits(pass.y, all.y)) return "value depends on what is tracked";
    if (pass.g[k]) return "an untracked operand got a gradient";
    for (std::size_t i = 0; i < all.g.size(); ++i) {
      if (i == k || !all.g[i]) continue;
      if (!pass.g[i])
        return "no gradient for " + part(i, inputs.size()) + " when another is untracked";
      if (!same_bits(*pass.g[i], *all.g[i])) {
        return "gradient of " + part(i, inputs.size()) + " depends on whether another is tracked";
      }
    }
  }
  return "";
}

inline std::string check_adding(Model<double>& model, const Arrays& inputs,
                                const Pass<double>& once) {
  const Pass<double> twice = differentiate(model, inputs, kAllTracked, true);
  for (std::size_t k = 0; k < once.g.size(); ++k) {
    if (once.g[k].has_value() != twice.g[k].has_value()) return "adding loses a gradient";
    if (!once.g[k]) continue;
    Array<double> expected = *once.g[k];
    for (std::size_t i = 0; i < expected.size(); ++i) expected.data()[i] += once.g[k]->data()[i];
    if (!same_bits(expected, *twice.g[k])) return "adding into gradients is not adding";
  }
  return "";
}

inline std::string check_without_tape(const Row& row, const Arrays& inputs,
                                      const Array<double>& y) {
  Model<double> model(row, inputs);
  Vars<double> x;
  for (const Array<double>& a : inputs) x.emplace_back(a);
  return same_bits(model.f(x).value(), y) ? "" : "differs";
}

inline std::string check_unrecorded(const Row& row, const Arrays& inputs, const Array<double>& y) {
  return same_bits(Model<double>(row, inputs).value(inputs), y) ? "" : "differs";
}

inline std::string check_twin(const Row& row, const Arrays& inputs, const Array<double>& y) {
  Model<double> model(row, inputs);
  static_cast<void>(model.value(inputs));  // makes the parameters
  const Array<double> twin = row.twin(inputs, model.values());
  double largest = 1;
  for (std::size_t i = 0; i < twin.size(); ++i) {
    if (std::isfinite(twin.data()[i])) largest = std::max(largest, std::abs(twin.data()[i]));
  }
  const double error = difference(twin, y) / largest;
  if (error <= row.twin_tolerance) return "";
  std::ostringstream text;
  text << "off by " << error << ": shape " << to_string(y.shape()) << ", the twin's is "
       << to_string(twin.shape());
  return text.str();
}

/// Checks gradients of f and of f's gradients against differences.
inline std::string check_orders(const Row& row, Model<double>& model, const Shapes& shapes,
                                const Arrays& inputs, Totals& totals) {
  const GradcheckReport report =
      check_gradients(model.f, inputs, {}, row.layer ? &model.params : nullptr);
  if (!report) return report.message;
  totals.first.see(report.worst_first, describe(row, shapes));
  totals.second.see(report.worst_second, describe(row, shapes));
  return "";
}

/// Checks fewer directions of another function of the same parameters.
inline std::string check_cheaply(const Row& row, Model<double>& model, const GradcheckFunction& f,
                                 const Arrays& inputs) {
  const GradcheckReport report =
      check_gradients(f, inputs, {.all_inputs = 40}, row.layer ? &model.params : nullptr);
  return report ? "" : report.message;
}

/// Checks gradients of y + y * y.
inline std::string check_reuse(const Row& row, Model<double>& model, const Arrays& inputs) {
  const auto reused = [&](const Vars<double>& x) {
    const Var<double> y = model.f(x);
    return y + y * y;
  };
  return check_cheaply(row, model, reused, inputs);
}

/// Checks gradients with one Var in every place, where shapes allow it.
inline std::string check_shared(const Row& row, Model<double>& model, const Shapes& shapes,
                                const Arrays& inputs) {
  if (shapes.size() < 2 || !row.same_operand) return "";
  for (const Shape& s : shapes) {
    if (s != shapes[0]) return "";
  }
  const auto shared = [&](const Vars<double>& x) {
    return model.f(Vars<double>(shapes.size(), x[0]));
  };
  return check_cheaply(row, model, shared, {inputs[0]});
}

inline std::string check_rejection(const Row& row, const Shapes& shapes,
                                   const Rejection& expected) {
  const Arrays inputs = sample(row, shapes);
  Params<double> params;
  const Function<double> f = row.make(params);
  Tape<double> tape;
  Vars<double> x;
  for (const Array<double>& a : inputs) x.push_back(tape.watch(Var<double>(a)));
  const std::size_t before = tape.size();
  std::string text;
  if (expected.kind == Rejection::Kind::shape) {
    text = error_of<ShapeError>([&] { static_cast<void>(f(x)); });
  } else {
    text = error_of<ValueError>([&] { static_cast<void>(f(x)); });
  }
  if (text.empty()) return "is not refused";
  if (!contains(text, expected.part)) return "is refused with another message: " + text;
  if (tape.size() != before) return "leaves nodes on the tape after: " + text;
  return "";
}

/// Checks everything about one case. Returns "property: what is wrong" of the first that does not hold, or "".
inline std::string check_case(const Row& row, const Shapes& shapes, Totals& totals) {
  struct Property {
    const char* name;
    std::function<std::string()> check;
  };
  const auto first_wrong = [&totals](const std::vector<Property>& properties) -> std::string {
    for (const Property& p : properties) {
      if (const std::string wrong = p.check(); !wrong.empty()) return p.name + (": " + wrong);
      ++totals.properties;
    }
    return "";
  };
  if (const auto refused = row.rejection(shapes)) {
    ++totals.rejected;
    return first_wrong({{"refusal", [&] { return check_rejection(row, shapes, *refused); }}});
  }
  ++totals.cases;
  const Arrays inputs = sample(row, shapes);
  Model<double> model(row, inputs);
  const Pass<double> pass = differentiate(model, inputs);
  return first_wrong({
      {"value without a tape", [&] { return check_without_tape(row, inputs, pass.y); }},
      {"value without recording", [&] { return check_unrecorded(row, inputs, pass.y); }},
      {"value of the twin", [&] { return check_twin(row, inputs, pass.y); }},
      {"operands that are views", [&] { return check_views(model, inputs, pass.y); }},
      {"untracked operands", [&] { return check_untracked(model, inputs, pass); }},
      {"adding into gradients", [&] { return check_adding(model, inputs, pass); }},
      {"float gradients", [&] { return check_float(row, shapes, pass, totals.rough); }},
      {"gradients", [&] { return check_orders(row, model, shapes, inputs, totals); }},
      {"result used twice", [&] { return check_reuse(row, model, inputs); }},
      {"one operand in all places", [&] { return check_shared(row, model, shapes, inputs); }},
  });
}

}  // namespace xtape::test
