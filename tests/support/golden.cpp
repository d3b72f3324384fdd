#include "support/golden.hpp"

#include "support/files.hpp"

#include <fstream>
#include <iostream>
#include <stdexcept>

namespace xtape::test {

// Many tests need these functions, and only this file compiles them: above all the parser.

Json golden(const std::string& name) {
  std::ifstream file(golden_path(name + ".json"));
  if (!file) throw std::runtime_error("no golden file " + name + ".json");
  return Json::parse(file).at("cases");
}

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
template Array<float> golden_array(const Json&);
template Array<double> golden_array(const Json&);
template Array<bool> golden_array(const Json&);
template Array<std::int64_t> golden_array(const Json&);

Extents golden_extents(const Json& json) {
  const auto values = json.is_array() ? json.get<std::vector<std::size_t>>()
                                      : std::vector<std::size_t>{json.get<std::size_t>()};
  return Shape(values.begin(), values.end());
}

Errors::Errors(std::string family, double tolerance)
    : family_(std::move(family)), tolerance_(tolerance) {}

Errors::~Errors() {
  std::cout << "golden " << family_ << ": " << cases_ << " cases, " << arrays_ << " arrays, worst "
            << worst_ << " in " << where_ << '\n';
}

void Errors::begin(const std::string& name) {
  case_ = name;
  ++cases_;
}

void Errors::add(const std::string& array, double error) {
  ++arrays_;
  if (!(error <= worst_)) {
    worst_ = error;
    where_ = "'" + case_ + "' " + array;
  }
  INFO(family_ << ", case '" << case_ << "', " << array);
  CHECK(error <= tolerance_);
}

template <class T>
GoldenRun<T>::GoldenRun(const Json& c, Errors& errors, GoldenScale scale)
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

template <class T> void GoldenRun<T>::check(const Outputs& outputs) {
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

template <class T>
void GoldenRun<T>::compare(const std::string& name, const Array<T>& got, const Json& json) {
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

template class GoldenRun<float>;
template class GoldenRun<double>;

}  // namespace xtape::test
