#pragma once
/// \file
/// Initial values of parameters: an entry of the catalogue, by object or by name, or a function.

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
  double in = 1;   ///< inputs of one output
  double out = 1;  ///< outputs of one input
};

/// The catalogue, with Keras's names and defaults. Options are checked where an object becomes an
/// Initializer.
namespace initializers {

/// Every element is 0.
struct Zeros {};
/// Every element is 1.
struct Ones {};
/// Every element is `value`.
struct Constant {
  double value = 0.0;  ///< finite
};
/// The elements are these values. ShapeError, when drawn, for a parameter of another shape.
struct FromArray {
  Array<double> values;  ///< the elements, of the parameter's shape
};
/// `gain` on the diagonal, zeros elsewhere. ShapeError, when drawn, unless the rank is 2.
struct Identity {
  double gain = 1.0;  ///< finite
};
/// Uniform on [minval, maxval).
struct RandomUniform {
  double minval = -0.05;  ///< finite, at most maxval
  double maxval = 0.05;   ///< finite
};
/// Normal with this mean and standard deviation.
struct RandomNormal {
  double mean = 0.0;     ///< finite
  double stddev = 0.05;  ///< finite, 0 or more
};
/// Normal, drawn again while farther than two standard deviations from the mean.
struct TruncatedNormal {
  double mean = 0.0;     ///< finite
  double stddev = 0.05;  ///< finite, 0 or more
};
/// Variance scale / max(1, fan). Truncated normals are widened so that their variance is exact
/// (Glorot & Bengio 2010, He et al. 2015).
struct VarianceScaling {
  double scale = 1.0;           ///< positive
  std::string mode = "fan_in";  ///< fan_in, fan_out or fan_avg
  /// truncated_normal (or normal), untruncated_normal or uniform
  std::string distribution = "truncated_normal";
};
/// VarianceScaling of 1, fan_avg, uniform.
struct GlorotUniform {};
/// VarianceScaling of 1, fan_avg, truncated_normal.
struct GlorotNormal {};
/// VarianceScaling of 2, fan_in, uniform.
struct HeUniform {};
/// VarianceScaling of 2, fan_in, truncated_normal.
struct HeNormal {};
/// VarianceScaling of 1, fan_in, uniform.
struct LecunUniform {};
/// VarianceScaling of 1, fan_in, truncated_normal.
struct LecunNormal {};
/// The shorter of rows and columns are orthogonal and have the length `gain`. The shape is flattened
/// to (product of all but the last extent, last extent). The values are the factor Q of a normal
/// matrix, with the signs that make the diagonal of R positive, so that Q is uniformly distributed
/// (Saxe et al. 2014; Mezzadri 2007). The last digits depend on the LAPACK in use. ShapeError, when
/// drawn, below rank 2.
struct Orthogonal {
  double gain = 1.0;  ///< finite
};
struct WithConvolutionFans;

}  // namespace initializers

/// Fills an array of a given shape from a random stream. Made from a name, from an object of
/// xtape::initializers, or from any callable (shape, fans, stream) -> Array<double>.
///
/// Names: zeros ones constant identity random_uniform random_normal truncated_normal
/// variance_scaling glorot_uniform glorot_normal he_uniform he_normal lecun_uniform lecun_normal
/// orthogonal; Keras's names of the classes (Zeros, GlorotUniform, ...); and its aliases zero, one,
/// uniform, normal, IdentityInitializer, OrthogonalInitializer. A name has the default options.
///
/// Each parameter draws from a stream of its own, so two with one initializer never start equal.
class Initializer {
 public:
  /// A function of the shape, its fans and a stream of random numbers.
  using Function = std::function<Array<double>(const Shape&, Fans, RandomStream&)>;

  /// ValueError listing the known names when this is not one of them.
  Initializer(const char* name) : Initializer(std::string(name)) {}
  /// ValueError, which lists the names, for another name.
  Initializer(const std::string& name);
  /// ValueError for options out of range.
  Initializer(initializers::Zeros);
  /// See initializers::Ones.
  Initializer(initializers::Ones);
  /// See initializers::Constant.
  Initializer(initializers::Constant options);
  /// See initializers::FromArray.
  Initializer(initializers::FromArray options);
  /// See initializers::Identity.
  Initializer(initializers::Identity options);
  /// See initializers::RandomUniform.
  Initializer(initializers::RandomUniform options);
  /// See initializers::RandomNormal.
  Initializer(initializers::RandomNormal options);
  /// See initializers::TruncatedNormal.
  Initializer(initializers::TruncatedNormal options);
  /// See initializers::VarianceScaling.
  Initializer(const initializers::VarianceScaling& options);
  /// See initializers::GlorotUniform.
  Initializer(initializers::GlorotUniform);
  /// See initializers::GlorotNormal.
  Initializer(initializers::GlorotNormal);
  /// See initializers::HeUniform.
  Initializer(initializers::HeUniform);
  /// See initializers::HeNormal.
  Initializer(initializers::HeNormal);
  /// See initializers::LecunUniform.
  Initializer(initializers::LecunUniform);
  /// See initializers::LecunNormal.
  Initializer(initializers::LecunNormal);
  /// See initializers::Orthogonal.
  Initializer(initializers::Orthogonal options);
  /// See initializers::WithConvolutionFans.
  Initializer(initializers::WithConvolutionFans options);
  /// ValueError for an empty std::function.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Initializer> &&
           std::is_invocable_r_v<Array<double>, F&, const Shape&, Fans, RandomStream&>)
      Initializer(F&& function)
      : Initializer(detail::Description{}, std::forward<F>(function)) {}

  /// Draws the values. ShapeError when a callable returns another shape.
  [[nodiscard]] Array<double> operator()(const Shape& shape, Fans fans, RandomStream& stream) const;

  /// The name and options for configs; empty for a function and for FromArray.
  [[nodiscard]] const detail::Description& description() const { return description_; }

 private:
  Initializer(detail::Description description, Function function);
  Initializer(const char* class_name, const initializers::VarianceScaling& options);

  detail::Description description_;
  Function function_;
};

namespace initializers {

/// `initializer` with the fans of a convolution, counted from the shape alone: for (..., m, n) they
/// are m and n times the product of the other extents. Keras before 3.15, and TensorFlow, counted
/// this way for every array. For attention's kernel (512, 8, 64) GlorotUniform then has the limit
/// 0.0128; with the true fans, 512 and 512, it has 0.0765.
struct WithConvolutionFans {
  Initializer initializer;  ///< the initializer that gets these fans
};

}  // namespace initializers
}  // namespace xtape
