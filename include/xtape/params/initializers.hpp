#pragma once
/// \file
/// Initial values of parameters, by Keras's names or by a function of one's own.

#include <xtape/array/array.hpp>
#include <xtape/base/random.hpp>
#include <xtape/params/description.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>

namespace xtape {

/// How many inputs and outputs an array connects: products of the extents that are contracted, and
/// of those that appear in the output (Keras's rule since 3.15).
struct Fans {
  double in = 1;
  double out = 1;
};

/// Fills an array of a given shape from a random stream. Made from a name, from one of the functions
/// of xtape::initializers, or from any callable (shape, fans, stream) -> Array<double>.
///
/// Names: zeros ones constant (0) identity random_uniform (-0.05, 0.05) random_normal (0, 0.05)
/// truncated_normal (0, 0.05) variance_scaling (1, fan_in, truncated_normal) glorot_uniform
/// glorot_normal he_uniform he_normal lecun_uniform lecun_normal orthogonal; Keras's names of the
/// classes (Zeros, GlorotUniform, ...); and its aliases zero, one, uniform, normal,
/// IdentityInitializer, OrthogonalInitializer.
///
/// Each parameter draws from a stream of its own, so two with one initializer never start equal.
class Initializer {
 public:
  using Function = std::function<Array<double>(const Shape&, Fans, RandomStream&)>;

  /// ValueError listing the known names when this is not one of them.
  Initializer(const char* name);
  Initializer(const std::string& name);
  /// ValueError for an empty std::function.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Initializer> &&
           std::is_invocable_r_v<Array<double>, F&, const Shape&, Fans, RandomStream&>)
      Initializer(F&& function)
      : function_(std::forward<F>(function)) {
    check();
  }

  /// Draws the values. ShapeError when a callable returns another shape.
  [[nodiscard]] Array<double> operator()(const Shape& shape, Fans fans, RandomStream& stream) const;

  /// What it was made from, for configs. Of a function of one's own, and of from_array, nothing.
  [[nodiscard]] const detail::Description& description() const { return description_; }

 private:
  friend struct detail::Describe;
  void check() const;
  Function function_;
  detail::Description description_;
};

namespace initializers {

/// Every element 0.
Initializer zeros();
/// Every element 1.
Initializer ones();
/// Every element `value`.
Initializer constant(double value = 0.0);
/// These very values. ShapeError, when drawn, for a parameter of another shape.
Initializer from_array(Array<double> values);
/// `gain` on the diagonal, zeros elsewhere. ShapeError, when drawn, unless the rank is 2. ValueError
/// unless gain is finite.
Initializer identity(double gain = 1.0);
/// Uniform on [low, high). ValueError unless low <= high, both finite.
Initializer random_uniform(double low = -0.05, double high = 0.05);
/// Normal with this mean and standard deviation. ValueError unless stddev >= 0, both finite.
Initializer random_normal(double mean = 0.0, double stddev = 0.05);
/// Normal, drawn again while farther than two standard deviations from the mean. ValueError unless
/// stddev >= 0, both finite.
Initializer truncated_normal(double mean = 0.0, double stddev = 0.05);

enum class FanMode { in, out, average };
enum class Distribution { truncated_normal, untruncated_normal, uniform };
/// Variance scale / max(1, fan). Truncated normals are widened so that their variance is exact
/// (Glorot & Bengio 2010, He et al. 2015; Keras's VarianceScaling). ValueError unless scale is
/// positive and finite.
Initializer variance_scaling(double scale = 1.0, FanMode mode = FanMode::in,
                             Distribution distribution = Distribution::truncated_normal);
/// The same by Keras's names: mode fan_in, fan_out or fan_avg; distribution truncated_normal (or
/// normal), untruncated_normal or uniform. ValueError listing them for any other.
Initializer variance_scaling(double scale, const std::string& mode,
                             const std::string& distribution);

/// variance_scaling(1, average, uniform)
Initializer glorot_uniform();
/// variance_scaling(1, average, truncated_normal)
Initializer glorot_normal();
/// variance_scaling(2, in, uniform)
Initializer he_uniform();
/// variance_scaling(2, in, truncated_normal)
Initializer he_normal();
/// variance_scaling(1, in, uniform)
Initializer lecun_uniform();
/// variance_scaling(1, in, truncated_normal)
Initializer lecun_normal();

/// An array whose rows or columns, whichever are fewer, are orthogonal and of length `gain`: the
/// shape is flattened to (product of all but the last extent, last extent), and the factor Q of a
/// normal matrix is taken with the signs that make the diagonal of R positive, so that it is
/// uniformly distributed (Saxe et al. 2014; Mezzadri 2007). ShapeError, when drawn, below rank 2;
/// ValueError unless gain is finite. Its last digits are those of the LAPACK in use.
Initializer orthogonal(double gain = 1.0);

/// `initializer` with the fans of a convolution, counted from the shape alone: of (..., m, n) they
/// are m and n times the product of the other extents. That is how Keras before 3.15, and
/// TensorFlow, counted for every array, also for the kernels of attention: of (512, 8, 64) they made
/// glorot_uniform's limit 0.0128, where the true fans, 512 and 512, make it 0.0765.
Initializer with_convolution_fans(Initializer initializer);

}  // namespace initializers
}  // namespace xtape
