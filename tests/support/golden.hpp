#pragma once
// Reads the files of tests/golden (see make.py there) and compares with them.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <type_traits>

namespace xtape::test {

using Json = nlohmann::json;

/// Returns the cases of a file.
Json golden(const std::string& name);

/// An array of a golden file; numbers become T, so integers also serve as masks and labels.
template <class T> Array<T> golden_array(const Json& json);

/// The constant (labels, a mask) of a case, if it has it.
template <class T> std::optional<Array<T>> golden_constant(const Json& c, const std::string& name) {
  if (!c.at("constants").contains(name)) return std::nullopt;
  return golden_array<T>(c["constants"][name]);
}

/// One extent or several.
Extents golden_extents(const Json& json);

/// Errors of a family of cases, relative to what the family's tolerance is relative to.
class Errors {
 public:
  Errors(std::string family, double tolerance);
  ~Errors();
  Errors(const Errors&) = delete;
  Errors& operator=(const Errors&) = delete;

  void begin(const std::string& name);
  void add(const std::string& array, double error);
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
  GoldenRun(const Json& c, Errors& errors, GoldenScale scale = GoldenScale::all);

  [[nodiscard]] Params<T>& params() { return params_; }
  [[nodiscard]] Tape<T>& tape() { return tape_; }
  [[nodiscard]] const Var<T>& input(const std::string& name) const { return inputs_.at(name); }
  [[nodiscard]] bool has_input(const std::string& name) const { return inputs_.count(name) == 1; }

  /// Checks the outputs, then runs backward from the case's loss and checks every gradient.
  void check(const Outputs& outputs);
  void check(const Var<T>& output) { check(Outputs{{"output", output}}); }

 private:
  void compare(const std::string& name, const Array<T>& got, const Json& json);

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
