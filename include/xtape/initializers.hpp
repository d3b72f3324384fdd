#pragma once
/// \file
/// Initial values of parameters, by Keras's names or by a function of one's own.

#include <xtape/array.hpp>
#include <xtape/random.hpp>

#include <functional>
#include <string>

namespace xtape {

/// How many inputs and outputs an array connects: products of the extents that are contracted, and
/// of those that appear in the output (Keras's rule since 3.15).
struct Fans {
  double in = 1;
  double out = 1;
};

/// Fills an array of a given shape from a random stream. Made from a name ("glorot_uniform",
/// "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "random_uniform"
/// (-0.05, 0.05), "random_normal" (0, 0.05), "truncated_normal" (0, 0.05), "zeros", "ones"), from
/// one of the functions below, or from any callable (shape, fans, stream) -> Array<double>.
class Initializer {
 public:
  using Function = std::function<Array<double>(const Shape&, Fans, RandomStream&)>;

  /// ValueError listing the known names when this is not one of them.
  Initializer(const char* name);
  Initializer(const std::string& name);
  Initializer(Function function) : function_(std::move(function)) {}

  /// Draws the values. ShapeError when a callable returns another shape.
  [[nodiscard]] Array<double> operator()(const Shape& shape, Fans fans, RandomStream& stream) const;

 private:
  Function function_;
};

namespace initializers {

/// Every element `value`.
Initializer constant(double value);
/// Uniform on [low, high).
Initializer random_uniform(double low = -0.05, double high = 0.05);
/// Normal with this mean and standard deviation.
Initializer random_normal(double mean = 0.0, double stddev = 0.05);
/// Normal, drawn again while farther than two standard deviations from the mean.
Initializer truncated_normal(double mean = 0.0, double stddev = 0.05);

enum class FanMode { in, out, average };
enum class Distribution { truncated_normal, untruncated_normal, uniform };
/// Variance scale / max(1, fan). Truncated normals are widened so that their variance is exact
/// (Glorot & Bengio 2010, He et al. 2015; Keras's VarianceScaling).
Initializer variance_scaling(double scale, FanMode mode, Distribution distribution);

}  // namespace initializers
}  // namespace xtape
