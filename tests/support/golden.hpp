#pragma once
// Reads the files of tests/golden (see make.py there) and compares with them.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace xtape::test {

using Json = nlohmann::json;

inline Json golden(const std::string& name) {
  std::ifstream file(XTAPE_TEST_GOLDEN "/" + name + ".json");
  if (!file) throw std::runtime_error("no golden file " + name + ".json");
  return Json::parse(file).at("cases");
}

/// An array of a golden file; numbers become T, so integers also serve as masks and labels.
template <class T> Array<T> golden_array(const Json& json) {
  const auto shape = json.at("shape").get<std::vector<std::size_t>>();
  Array<T> a(Shape(shape.begin(), shape.end()));
  const Json& data = json.at("data");
  if (data.size() != a.size()) throw std::runtime_error("golden array of another size");
  for (std::size_t i = 0; i < a.size(); ++i) {
    if constexpr (std::is_floating_point_v<T>) {
      a.data()[i] = static_cast<T>(data[i].get<double>());
    } else {
      a.data()[i] = static_cast<T>(data[i].get<std::int64_t>());
    }
  }
  return a;
}

/// The constant (labels, a mask) of a case, if it has it.
template <class T> std::optional<Array<T>> golden_constant(const Json& c, const std::string& name) {
  if (!c.at("constants").contains(name)) return std::nullopt;
  return golden_array<T>(c["constants"][name]);
}

/// One extent or several.
inline Extents golden_extents(const Json& json) {
  const auto values = json.is_array() ? json.get<std::vector<std::size_t>>()
                                      : std::vector<std::size_t>{json.get<std::size_t>()};
  return Shape(values.begin(), values.end());
}

/// Errors of a family of cases, relative to what the family's tolerance is relative to.
class Errors {
 public:
  Errors(std::string family, double tolerance)
      : family_(std::move(family)), tolerance_(tolerance) {}
  ~Errors() {
    std::cout << "golden " << family_ << ": " << cases_ << " cases, " << arrays_
              << " arrays, worst " << worst_ << " in " << where_ << '\n';
  }
  Errors(const Errors&) = delete;
  Errors& operator=(const Errors&) = delete;

  void begin(const std::string& name) {
    case_ = name;
    ++cases_;
  }
  void add(const std::string& array, double error) {
    ++arrays_;
    if (!(error <= worst_)) {
      worst_ = error;
      where_ = "'" + case_ + "' " + array;
    }
    INFO(family_ << ", case '" << case_ << "', " << array);
    CHECK(error <= tolerance_);
  }
  [[nodiscard]] int cases() const { return cases_; }

 private:
  std::string family_, case_, where_ = "none";
  double tolerance_;
  double worst_ = 0;
  int cases_ = 0, arrays_ = 0;
};

/// The scale of errors: the largest entry of the case, the largest of its gradients, or each element by
/// itself (but at least 1).
enum class GoldenScale { all, gradients, element };

/// One layer or function under comparison: runs the case, and checks each output and gradient.
template <class T> class GoldenRun {
 public:
  using Outputs = std::map<std::string, Var<T>>;

  /// The case's inputs are watched and its weights set, for layers made from params().scope().
  GoldenRun(const Json& c, Errors& errors, GoldenScale scale = GoldenScale::all)
      : case_(c), errors_(errors), scale_(scale) {
    errors_.begin(c.at("name").get<std::string>());
    for (const auto& [name, json] : c.at("inputs").items()) {
      inputs_.emplace(name, tape_.watch(golden_array<T>(json)));
    }
    for (const auto& [path, json] : c.at("weights").items()) {
      params_.set(path, golden_array<T>(json));
    }
    for (const char* group : {"outputs", "gradients"}) {
      if (scale_ == GoldenScale::gradients && group == std::string("outputs")) continue;
      for (const auto& [name, json] : c.at(group).items()) {
        const Array<double> a = golden_array<double>(json);
        for (std::size_t i = 0; i < a.size(); ++i) {
          largest_ = std::max(largest_, std::abs(a.data()[i]));
        }
      }
    }
  }

  [[nodiscard]] Params<T>& params() { return params_; }
  [[nodiscard]] Tape<T>& tape() { return tape_; }
  [[nodiscard]] const Var<T>& input(const std::string& name) const { return inputs_.at(name); }
  [[nodiscard]] bool has_input(const std::string& name) const { return inputs_.count(name) == 1; }

  /// Checks the outputs, then runs backward from the case's loss and checks every gradient.
  void check(const Outputs& outputs) {
    params_.check_pending();  // every weight of the case found its layer
    REQUIRE(outputs.size() == case_.at("outputs").size());
    Var<T> loss(T(0));
    for (const auto& [name, output] : outputs) {
      compare(name, output.value(), case_.at("outputs").at(name));
      const Array<T> cotangent = golden_array<T>(case_.at("cotangents").at(name));
      REQUIRE(cotangent.shape() == output.shape());
      loss = loss + sum(output * Var<T>(cotangent));
    }
    const Gradients<T> gradients = tape_.backward(loss);
    const Json& expected = case_.at("gradients");
    REQUIRE(expected.size() == inputs_.size() + params_.paths().size());
    for (const auto& [name, input] : inputs_) {
      compare("gradient of " + name, gradients[input].value(), expected.at(name));
    }
    for (const std::string& path : params_.paths()) {
      compare("gradient of " + path, gradients.at(path).value(), expected.at(path));
    }
  }
  void check(const Var<T>& output) { check(Outputs{{"output", output}}); }

 private:
  void compare(const std::string& name, const Array<T>& got, const Json& json) {
    const Array<double> expected = golden_array<double>(json);
    if (scale_ != GoldenScale::element || got.shape() != expected.shape()) {
      errors_.add(name, difference(got, expected) / largest_);
      return;
    }
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double e = expected.data()[i];
      const double error = std::abs(static_cast<double>(got.data()[i]) - e);
      worst = std::isnan(error) ? HUGE_VAL : std::max(worst, error / std::max(1.0, std::abs(e)));
    }
    errors_.add(name, worst);
  }

  const Json& case_;
  Errors& errors_;
  GoldenScale scale_;
  double largest_ = 1e-300;  // so that a case of zeros is compared exactly
  Tape<T> tape_;
  Params<T> params_;
  std::map<std::string, Var<T>> inputs_;
};

/// "float" or "double", for messages.
template <class T> std::string with_type(const std::string& family) {
  return family + (std::is_same_v<T, float> ? " (float)" : " (double)");
}

/// The tolerance of double and of float against the golden values.
template <class T>
inline constexpr double golden_tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-12;

}  // namespace xtape::test
