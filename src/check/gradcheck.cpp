#include <xtape/check/gradcheck.hpp>

#include "base/check.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace xtape {
namespace {

using Point = std::vector<Array<double>>;

Array<double> normal_like(const Shape& shape, RandomStream& stream) {
  Array<double> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = stream.normal();
  return a;
}

double inner(const Array<double>& a, const Array<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

double inner(const Point& a, const Point& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += inner(a[i], b[i]);
  return sum;
}

/// A direction in the space of all inputs: along one element, or random.
struct Probe {
  std::size_t part = 0;
  std::size_t index = 0;
  Point direction;  // empty for one element
};

class Checker {
 public:
  Checker(const GradcheckFunction& f, const Point& inputs, const GradcheckOptions& options,
          Params<double>* params)
      : f_(f), options_(options), params_(params), inputs_(inputs.size()), point_(inputs) {
    if (params_ == nullptr) return;
    if (params_->count() == 0) static_cast<void>(evaluate(point_));  // builds the parameters
    for (const Parameter<double>& p : params_->all()) {
      if (!p.built() || !p.trainable()) continue;
      parameters_.push_back(p);
      point_.push_back(p.value());
    }
  }
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;
  ~Checker() { place(point_); }

  GradcheckReport run() {
    detail::check_positive("check_gradients", "eps", options_.eps);
    detail::check_not_negative("check_gradients", "tolerance", options_.tolerance);
    detail::check_not_negative("check_gradients", "second_tolerance", options_.second_tolerance);
    RandomStream stream(options_.seed, stable_hash("check_gradients"));
    const Array<double> y = evaluate(point_);
    const bool tracked = first_order(y, stream);
    if (tracked && options_.second_order && y.size() > 0) second_order(y.shape(), stream);
    return report_;
  }

 private:
  // Sets the parameters to a point's values.
  void place(const Point& point) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      params_->set(parameters_[i].path(), point[inputs_ + i]);
    }
  }

  TapeOptions tape_options(bool record) const {
    return {.record = record, .training = options_.training, .seed = options_.seed};
  }

  Array<double> evaluate(const Point& point) {
    place(point);
    Tape<double> tape(tape_options(false));
    std::vector<Var<double>> x;
    for (std::size_t i = 0; i < inputs_; ++i) x.push_back(tape.input(Var<double>(point[i])));
    return f_(x).value();
  }

  struct Run {
    std::vector<Var<double>> x;
    Var<double> y;
  };
  Run record(Tape<double>& tape, const Point& point) {
    place(point);
    Run run;
    for (std::size_t i = 0; i < inputs_; ++i) run.x.push_back(tape.watch(Var<double>(point[i])));
    run.y = f_(run.x);
    return run;
  }

  // Returns the gradient of a part; no value if none arrived.
  Var<double> gradient(const Run& run, const Gradients<double>& g, std::size_t part) const {
    if (part < inputs_) return g.contains(run.x[part]) ? g[run.x[part]] : Var<double>();
    const Parameter<double>& p = parameters_[part - inputs_];
    return g.contains(p) ? g[p] : Var<double>();
  }

  // Returns the gradients of all parts, with zeros if none arrived.
  Point collect(const Run& run, const Gradients<double>& gradients) const {
    Point out;
    for (std::size_t i = 0; i < point_.size(); ++i) {
      const Var<double> g = gradient(run, gradients, i);
      out.push_back(g.has_value() ? g.value() : detail::full<double>(point_[i].shape(), 0.0));
    }
    return out;
  }

  std::vector<Probe> probes(const Point& point, RandomStream& stream) const {
    std::size_t total = 0;
    for (const Array<double>& part : point) total += part.size();
    std::vector<Probe> out;
    if (total <= options_.all_inputs) {
      for (std::size_t p = 0; p < point.size(); ++p) {
        for (std::size_t i = 0; i < point[p].size(); ++i) out.push_back({p, i, {}});
      }
      return out;
    }
    for (std::size_t k = 0; k < 16; ++k) {
      Probe probe;
      probe.index = k;
      for (const Array<double>& part : point) {
        probe.direction.push_back(normal_like(part.shape(), stream));
      }
      const double length = std::sqrt(inner(probe.direction, probe.direction));
      for (Array<double>& part : probe.direction) part /= length;
      out.push_back(std::move(probe));
    }
    return out;
  }

  static Point moved(const Point& point, const Probe& probe, double by) {
    Point out = point;
    if (probe.direction.empty()) {
      out[probe.part].data()[probe.index] += by;
    } else {
      for (std::size_t p = 0; p < out.size(); ++p) out[p] += by * probe.direction[p];
    }
    return out;
  }

  static double along(const Point& gradient, const Probe& probe) {
    if (probe.direction.empty()) return gradient[probe.part].data()[probe.index];
    return inner(gradient, probe.direction);
  }

  // Compares first derivatives. Returns false when the result depends on nothing.
  bool first_order(const Array<double>& y, RandomStream& stream) {
    std::vector<Array<double>> seeds;
    if (y.size() <= options_.all_outputs) {
      for (std::size_t i = 0; i < y.size(); ++i) {
        seeds.push_back(detail::full<double>(y.shape(), 0.0));
        seeds.back().data()[i] = 1;
      }
    } else {
      for (int i = 0; i < 3; ++i) seeds.push_back(normal_like(y.shape(), stream));
    }
    Tape<double> tape(tape_options(true));
    const Run run = record(tape, point_);
    if (!run.y.tracked()) {
      report_.passed = false;
      report_.message = "check_gradients: result is not tracked: it does not depend on any input";
      return false;
    }
    const auto gradient = [&](const Array<double>& seed) {
      return collect(run, tape.backward(run.y, {.retain = true, .seed = Var<double>(seed)}));
    };
    exactness(y.shape(), gradient, stream);
    std::vector<Point> analytic;
    for (const Array<double>& seed : seeds) analytic.push_back(gradient(seed));
    if (seeds.empty()) return true;  // an empty result: exactness() has seen its zeros
    const double scale = largest(analytic);
    for (const Probe& probe : probes(point_, stream)) {
      const Array<double> up = evaluate(moved(point_, probe, options_.eps));
      const Array<double> down = evaluate(moved(point_, probe, -options_.eps));
      Array<double> slope = (up - down) / (2 * options_.eps);
      for (std::size_t s = 0; s < seeds.size(); ++s) {
        compare(1, point_, probe, along(analytic[s], probe), inner(seeds[s], slope), scale,
                options_.tolerance);
      }
    }
    return true;
  }

  // Fails unless a zero seed gives zeros, and the same seed the same bits twice.
  template <class G> void exactness(const Shape& shape, const G& gradient, RandomStream& stream) {
    for (const Array<double>& part : gradient(detail::full<double>(shape, 0.0))) {
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (part.data()[i] != 0.0) {
          fail("check_gradients: a zero seed gives a gradient of " +
               std::to_string(part.data()[i]));
        }
      }
    }
    const Array<double> seed = normal_like(shape, stream);
    const Point first = gradient(seed);
    const Point second = gradient(seed);
    for (std::size_t p = 0; p < first.size(); ++p) {
      if (first[p].size() > 0 &&
          std::memcmp(first[p].data(), second[p].data(), first[p].size() * sizeof(double)) != 0) {
        fail("check_gradients: a second backward differs for " + name(p));
      }
    }
  }

  // Fails unless both gradients agree. A fused operation has another one in a recorded backward.
  void agreement(const Point& ordinary, const Point& recorded) {
    const double scale = largest({ordinary});
    for (std::size_t p = 0; p < ordinary.size(); ++p) {
      for (std::size_t i = 0; i < ordinary[p].size(); ++i) {
        const double a = ordinary[p].data()[i];
        const double b = recorded[p].data()[i];
        if (std::abs(a - b) / scale <= options_.tolerance) continue;
        fail(detail::message("check_gradients", "a recorded backward differs for ", name(p),
                             ", element ", i, ": it gives ", b, ", the ordinary one ", a));
      }
    }
  }

  // Returns the gradient of <seed, f> along `u`, a scalar function of the point and of the seed.
  double slope(const Point& at, const Point& u) {
    Tape<double> tape(tape_options(true));
    const Point point(at.begin(), at.end() - 1);
    const Run run = record(tape, point);
    return inner(collect(run, tape.backward(run.y, {.seed = Var<double>(at.back())})), u);
  }

  void second_order(const Shape& shape, RandomStream& stream) {
    for (int repeat = 0; repeat < 2; ++repeat) {
      Point at = point_;
      at.push_back(normal_like(shape, stream));
      Point u;
      for (const Array<double>& part : point_) u.push_back(normal_like(part.shape(), stream));

      Point analytic;
      {
        Tape<double> tape(tape_options(true));
        const Run run = record(tape, point_);
        const Var<double> seed = tape.watch(Var<double>(at.back()));
        const Point ordinary =
            collect(run, tape.backward(run.y, {.retain = true, .seed = Var<double>(at.back())}));
        const Gradients<double> g = tape.backward(run.y, {.create_graph = true, .seed = seed});
        agreement(ordinary, collect(run, g));
        Var<double> s = tape.input(Var<double>(0.0));
        for (std::size_t i = 0; i < point_.size(); ++i) {
          const Var<double> part = gradient(run, g, i);
          if (part.has_value()) s = s + sum(part * Var<double>(u[i]));
        }
        if (s.tracked()) {
          const Gradients<double> second = tape.backward(s);
          analytic = collect(run, second);
          analytic.push_back(second.contains(seed) ? second[seed].value()
                                                   : detail::full<double>(shape, 0.0));
        } else {
          for (const Array<double>& part : at) {
            analytic.push_back(detail::full<double>(part.shape(), 0.0));
          }
        }
      }
      const double scale = largest({analytic});
      for (const Probe& probe : probes(at, stream)) {
        const double up = slope(moved(at, probe, options_.eps), u);
        const double down = slope(moved(at, probe, -options_.eps), u);
        compare(2, at, probe, along(analytic, probe), (up - down) / (2 * options_.eps), scale,
                options_.second_tolerance);
      }
    }
  }

  static double largest(const std::vector<Point>& gradients) {
    double most = 1e-3;
    for (const Point& g : gradients) {
      for (const Array<double>& part : g) {
        for (std::size_t i = 0; i < part.size(); ++i)
          most = std::max(most, std::abs(part.data()[i]));
      }
    }
    return most;
  }

  std::string name(std::size_t part) const {
    if (part < inputs_) return "input " + std::to_string(part);
    if (part < point_.size()) return "parameter '" + parameters_[part - inputs_].path() + "'";
    return "the seed gradient";
  }

  void fail(const std::string& text) {
    if (report_.passed) report_.message = text;
    report_.passed = false;
  }

  void compare(int order, const Point& at, const Probe& probe, double analytic, double numeric,
               double scale, double tolerance) {
    const double error = std::abs(analytic - numeric) / scale;
    double& of_order = order == 1 ? report_.worst_first : report_.worst_second;
    of_order = std::max(of_order, error);
    const bool bad = !(error <= tolerance);
    if (!bad && error <= report_.worst) return;
    if (bad && !report_.passed && report_.worst >= error) return;
    report_.worst = error;
    report_.order = order;
    report_.index = probe.index;
    report_.analytic = analytic;
    report_.numeric = numeric;
    if (probe.direction.empty()) {
      report_.where = name(probe.part);
      report_.value = at[probe.part].data()[probe.index];
    } else {
      report_.where = "direction " + std::to_string(probe.index);
      report_.value = 0;
    }
    if (bad) {
      report_.passed = false;
      report_.message = detail::message(
          "check_gradients", "order ", order, " differs: ", report_.where, ", element ",
          report_.index, " (value ", report_.value, "): analytic is ", analytic, ", numeric is ",
          numeric, ", expected a relative error of at most ", tolerance, ", it is ", error);
    }
  }

  const GradcheckFunction& f_;
  GradcheckOptions options_;
  Params<double>* params_;
  std::size_t inputs_;
  std::vector<Parameter<double>> parameters_;
  Point point_;
  GradcheckReport report_;
};

}  // namespace

GradcheckReport check_gradients(const GradcheckFunction& f,
                                const std::vector<Array<double>>& inputs,
                                const GradcheckOptions& options, Params<double>* params) {
  return Checker(f, inputs, options, params).run();
}

}  // namespace xtape
