// Numbers at the ends of the range, in every operation, loss, layer and block of the tables: float gives what double
// gives, rounded, forward and backward; and a NaN reaches exactly what depends on it.

#include "support/catch.hpp"
#include "support/harness.hpp"

#include <iostream>
#include <set>
#include <sstream>

using namespace xtape;
using namespace xtape::test;

namespace {

using Limits = std::numeric_limits<float>;

const std::vector<double> kValues = {static_cast<double>(Limits::max()),
                                     -static_cast<double>(Limits::max()),
                                     to_float(1e20),
                                     to_float(-1e20),
                                     static_cast<double>(Limits::min()),
                                     -static_cast<double>(Limits::min()),
                                     static_cast<double>(Limits::denorm_min()),
                                     -static_cast<double>(Limits::denorm_min()),
                                     to_float(1e-30),
                                     std::numeric_limits<double>::infinity(),
                                     -std::numeric_limits<double>::infinity(),
                                     std::numeric_limits<double>::quiet_NaN()};

/// Small cases of a row that are not refused, those of six elements and more first.
std::vector<Shapes> small_cases(const Row& row, std::size_t most) {
  std::vector<Shapes> cases;
  for (const Shapes& shapes : row.cases) {
    std::size_t n = 0;
    for (const Shape& s : shapes) n = size_of(s) == 0 ? 1000 : n + size_of(s);
    if (n <= 48 && !row.rejection(shapes)) cases.push_back(shapes);
  }
  std::stable_sort(cases.begin(), cases.end(), [](const Shapes& a, const Shapes& b) {
    const bool u = size_of(a[0]) >= 6, v = size_of(b[0]) >= 6;
    return u != v ? u : size_of(a[0]) < size_of(b[0]);
  });
  if (cases.size() > most) cases.resize(most);
  return cases;
}

/// Values and gradients as one list.
template <class T> std::vector<Array<double>> results(Model<T>& model, const Arrays& inputs) {
  const Pass<T> pass = differentiate(model, inputs);
  const auto widened = [](const Array<T>& a) {
    Array<double> wide(a.shape());
    std::copy(a.data(), a.data() + a.size(), wide.data());
    return wide;
  };
  std::vector<Array<double>> out{widened(pass.y)};
  for (const auto& g : pass.g) out.push_back(g ? widened(*g) : Array<double>(Shape{0}));
  return out;
}

/// Returns 2 for NaN, 1 and -1 for what is infinite in float, and 0 for other numbers.
int kind(double v) {
  const double largest = static_cast<double>(Limits::max());
  if (std::isnan(v)) return 2;
  return v > largest ? 1 : v < -largest ? -1 : 0;
}

/// Rows for which float cannot give what double gives, from this magnitude of an operand on.
struct Exception {
  const char* prefix;
  double from;
  const char* reason;
  std::size_t used = 0;
};
std::vector<Exception> exceptions = {
    {"matmul", 1e38, "a partial sum of the products overflows, as in BLAS"},
    {"einsum", 1e38, "likewise"},
    {"outer", 1e38, "likewise, in the gradient"},
    {"Dense", 1e38, "likewise"},
    {"divide", 1e38, "the gradient -g y / b multiplies first, as PyTorch's and Keras's"},
    {"norm", 1e38, "the norm itself overflows, and the gradient is x / norm"},
    {"squareplus", 1e20, "x * x overflows, as in Keras"},
    {"activation 'squareplus'", 1e20, "likewise"},
    {"log_cosh", 1e38, "2 x overflows, as in Keras"},
    {"hinge", 1e38, "the product with the target overflows, as in Keras"},
    {"poisson", 1e38, "likewise"},
    {"categorical_hinge", 0, "rounding of the smallest numbers decides which class is the worst"},
    {"cosine_similarity", 1e20, "the norm overflows, and the gradient is what does not cancel"},
    {"squared_hinge", 1e20, "the sum of the squares overflows, as in Keras"},
    {"categorical_crossentropy", 0,
     "probabilities are limited to 1e-7 ... 1 - 1e-7, rounded, and their sum overflows, as in "
     "Keras"},
    {"sparse_categorical_crossentropy", 0, "likewise"},
    {"categorical_focal_crossentropy", 0, "likewise"},
    {"binary_crossentropy", 0, "likewise"},
    {"binary_focal_crossentropy", 0, "likewise"},
    {"dice", 1e20, "the sums overflow, as in Keras"},
    {"tversky", 1e20, "likewise"},
    {"MultiHeadAttention", 1e20,
     "scores beyond 2^31 are not exact to a few units, and their products overflow"},
    {"Transformer", 1e20, "likewise"},
};

struct Count {
  std::size_t cases = 0, numbers = 0, excused = 0;
} count;

bool excused(const Row& row, double value) {
  for (Exception& e : exceptions) {
    if (!row.name.starts_with(e.prefix) || !(std::abs(value) >= e.from)) continue;
    ++e.used;
    ++count.excused;
    return true;
  }
  return false;
}

std::string where(std::size_t part, std::size_t operands) {
  return part == 0 ? "value" : "gradient of " + test::part(part - 1, operands);
}

/// Compares float with double. Double at inputs changed by a few units in float's last place tells how
/// exact a result can be.
std::string compare(Model<float>& rough, Model<double>& exact, const Arrays& inputs, double floor) {
  const auto f = results(rough, inputs);
  const auto d = results(exact, inputs);
  std::vector<std::vector<Array<double>>> near;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Arrays moved = inputs;
    RandomStream stream(seed, 5);
    for (Array<double>& a : moved) {
      for (auto& v : a) {
        v += v * (stream.uniform() - 0.5) * 0x1p-22;
        v += (stream.uniform() - 0.5) * static_cast<double>(Limits::denorm_min());
      }
    }
    near.push_back(results(exact, moved));
  }
  for (std::size_t p = 0; p < d.size(); ++p) {
    for (std::size_t i = 0; i < d[p].size(); ++i) {
      ++count.numbers;
      const double u = f[p].data()[i], v = d[p].data()[i];
      double spread = std::abs(v) * 0x1p-21;
      bool alike = kind(u) == kind(v);
      for (const auto& n : near) {
        const double w = n[p].data()[i];
        spread = std::max(spread, std::abs(w - v));
        alike = alike || kind(u) == kind(w);
      }
      const double error = kind(u) == 0 && kind(v) == 0 ? std::abs(u - v) : 0;
      if (alike && !(error > 32 * spread + floor)) continue;
      std::ostringstream text;
      text << where(p, inputs.size()) << " " << i << ": float " << u << ", double " << v;
      return text.str();
    }
  }
  return "";
}

void drive(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    for (const Shapes& shapes : small_cases(row, 2)) {
      const Arrays base = sample(row, shapes);
      Model<float> rough(row, base);
      Model<double> exact(row, base);
      for (std::size_t k = 0; k < shapes.size(); ++k) {
        for (const double value : kValues) {
          for (const bool all : {false, true}) {
            Arrays inputs = base;
            Array<double>& a = inputs[k];
            if (all) {
              std::fill(a.begin(), a.end(), value);
            } else {
              a.data()[a.size() / 2] = value;
            }
            ++count.cases;
            // Beside ordinary numbers a rounding error is one of theirs.
            const double floor = all && !row.layer ? 0x1p-120 : 0x1p-20;
            const std::string wrong = compare(rough, exact, inputs, floor);
            if (wrong.empty() || excused(row, value)) continue;
            INFO(describe(row, shapes)
                 << ", operand " << k << (all ? ", all " : ", one ") << value);
            CHECK(wrong == "");
          }
        }
      }
    }
  }
}

/// Functions that are linear in pieces have the slope of one piece at NaN, as PyTorch's.
bool is_piecewise(const std::string& name) {
  for (const char* part : {"clip", "maximum", "minimum", "relu", "hard_", "soft_shrink",
                           "sparsemax", "sparse_sigmoid", "threshold"}) {
    if (contains(name, part)) return true;
  }
  return false;
}

/// Checks that a NaN in one element makes NaN of all results that change with the element.
template <class T>
std::string check_reach(const Row& row, Model<T>& model, const Arrays& base, std::size_t k,
                        std::size_t i) {
  const auto plain = results(model, base);
  std::vector<std::vector<Array<double>>> moved;
  const Domain& d = row.domain(k);
  for (const double share : {0.02, 0.31, 0.55, 0.97}) {
    Arrays inputs = base;
    inputs[k].data()[i] = to_float(d.low + (d.high - d.low) * share);
    moved.push_back(results(model, inputs));
  }
  Arrays inputs = base;
  inputs[k].data()[i] = std::numeric_limits<double>::quiet_NaN();
  const auto reached = results(model, inputs);
  for (std::size_t p = 0; p < plain.size(); ++p) {
    for (std::size_t j = 0; j < plain[p].size(); ++j) {
      ++count.numbers;
      bool depends = false;
      for (const auto& m : moved) depends = depends || m[p].data()[j] != plain[p].data()[j];
      if (!depends || std::isnan(reached[p].data()[j]) || (p > 0 && is_piecewise(row.name)))
        continue;
      std::ostringstream text;
      text << where(p, base.size()) << " " << j << " depends on it and is " << reached[p].data()[j];
      return text.str();
    }
  }
  return "";
}

void drive_reach(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    for (const Shapes& shapes : small_cases(row, 2)) {
      const Arrays base = sample(row, shapes);
      Model<float> rough(row, base);
      Model<double> exact(row, base);
      for (std::size_t k = 0; k < shapes.size(); ++k) {
        const std::size_t n = base[k].size();
        for (const std::size_t i : std::set<std::size_t>{0, n / 2, n - 1}) {
          ++count.cases;
          std::string wrong = check_reach(row, rough, base, k, i);
          if (wrong.empty()) wrong = check_reach(row, exact, base, k, i);
          INFO(describe(row, shapes) << ", operand " << k << ", element " << i << " is NaN");
          CHECK(wrong == "");
        }
      }
    }
  }
}

struct Summary {
  ~Summary() {
    std::cout << "extreme numbers: " << count.cases << " cases, " << count.numbers << " numbers, "
              << count.excused << " cases of " << exceptions.size() << " exceptions\n";
  }
} summary;

std::vector<std::vector<Row>> all_rows() {
  return {elementwise_rows(),  activation_rows(), reduction_rows(), product_rows(),
          shape_rows(),        indexing_rows(),   neural_rows(),    loss_rows(),
          further_loss_rows(), layer_rows(),      block_rows()};
}

}  // namespace

TEST_CASE("float gives what double gives, rounded") {
  for (const auto& rows : all_rows()) drive(rows);
  for (const Exception& e : exceptions) {
    INFO(e.prefix << ": " << e.reason);
    CHECK(e.used > 0);
  }
}

TEST_CASE("a NaN reaches what depends on it") {
  for (const auto& rows : all_rows()) drive_reach(rows);
}
