// Reductions over all, one, several, negative and no axes, with and without keep_dims.

#include "support/twins.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::test {
namespace {

double spread(const std::vector<double>& v) {
  const double m = mean_of(v);
  double s = 0;
  for (const double x : v) s += (x - m) * (x - m);
  return s / static_cast<double>(v.size());
}
double largest(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }
double smallest(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }
double log_sum(const std::vector<double>& v) {
  double s = 0;
  for (const double x : v) s += std::exp(x);
  return std::log(s);
}
double length(const std::vector<double>& v) {
  double s = 0;
  for (const double x : v) s += x * x;
  return std::sqrt(s);
}

struct Variant {
  const char* name;
  Axes axes;
  bool keep_dims;
  std::size_t rank;  // needed for the axes
};

/// Operands that a reduction refuses: axes out of range, and empty ones unless it takes them.
Rejects refuses(const std::string& name, std::optional<Axes> axes, bool takes_empty) {
  return [=](const Shapes& s) -> std::optional<Rejection> {
    const auto n = static_cast<int>(s[0].size());
    std::size_t count = 1;
    if (axes) {
      for (const int axis : *axes) {
        if (axis < -n || axis >= n) {
          return refused(name + ": axis out of range");
        }
        if (n == 1 && *axes == Axes{-1, 0}) return refused(name + ": axis repeated");
        count *= s[0][static_cast<std::size_t>(axis < 0 ? axis + n : axis)];
      }
    } else {
      count = size_of(s[0]);
    }
    if (count == 0 && !takes_empty) {
      return refused(name + ": nothing to reduce");
    }
    return std::nullopt;
  };
}

template <class All, class Some>
void reduction(Table& rows, const std::string& name, All all, Some some,
               double (*f)(const std::vector<double>&), const Domain& domain,
               bool takes_empty = false) {
  const std::vector<Shapes> cases = both(one(), matrices());
  rows.op(name, cases, all, TWIN(reduced(x[0], every_axis(x[0]), false, f)))
      .on({domain})
      .refusing(refuses(name, std::nullopt, takes_empty));
  for (const Variant& v :
       {Variant{"axis 0", {0}, false, 1}, Variant{"axis -1 kept", {-1}, true, 1},
        Variant{"axes 0 and 1", {0, 1}, false, 2}, Variant{"axes -1 and 0 kept", {-1, 0}, true, 2},
        Variant{"axis -2", {-2}, false, 2}, Variant{"no axes", {}, false, 0}}) {
    if (v.axes.empty() && name != "sum" && name != "mean" && name != "max") continue;
    rows.op(name + ", " + v.name, cases, OP(some(x[0], v.axes, v.keep_dims)),
            TWIN(reduced(x[0], v.axes, v.keep_dims, f)))
        .on({domain})
        .refusing(refuses(name, v.axes, takes_empty));
  }
}

}  // namespace

std::vector<Row> reduction_rows() {
  Table rows;
  const Domain plain_domain;
  const Domain apart{-2, 2, {}, true};
  reduction(
      rows, "sum", OP(sum(x[0])), [](const auto& x, const Axes& a, bool k) { return sum(x, a, k); },
      total, plain_domain, true);
  reduction(
      rows, "mean", OP(mean(x[0])),
      [](const auto& x, const Axes& a, bool k) { return mean(x, a, k); }, mean_of, plain_domain);
  reduction(
      rows, "variance", OP(variance(x[0])),
      [](const auto& x, const Axes& a, bool k) { return variance(x, a, k); }, spread, plain_domain);
  reduction(
      rows, "max", OP(max(x[0])), [](const auto& x, const Axes& a, bool k) { return max(x, a, k); },
      largest, apart);
  reduction(
      rows, "min", OP(min(x[0])), [](const auto& x, const Axes& a, bool k) { return min(x, a, k); },
      smallest, apart);
  reduction(
      rows, "logsumexp", OP(logsumexp(x[0])),
      [](const auto& x, const Axes& a, bool k) { return logsumexp(x, a, k); }, log_sum,
      plain_domain);
  reduction(
      rows, "norm", OP(norm(x[0])),
      [](const auto& x, const Axes& a, bool k) { return norm(x, a, k); }, length, {0.3, 2.0}, true);
  return rows;
}

}  // namespace xtape::test
