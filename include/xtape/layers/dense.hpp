#pragma once
/// \file
/// Dense: act(x . kernel + bias), over one or several input and output axes.

#include <xtape/ops/activations.hpp>
#include <xtape/params/params.hpp>

#include <initializer_list>
#include <vector>

namespace xtape {

namespace detail {
template <class T> struct Projection;
}  // namespace detail

/// One extent or several, for options: {.units = 10}, {.units = {8, 64}}.
class Extents {
 public:
  Extents() = default;
  /// One extent.
  template <detail::Integer I> Extents(I extent) : values_{static_cast<std::ptrdiff_t>(extent)} {}
  template <class F>
  requires(std::is_arithmetic_v<F> && !detail::Integer<F>) Extents(F)
  = delete;  // an integer
  /// Several extents.
  Extents(std::initializer_list<std::ptrdiff_t> extents) : values_(extents) {}
  /// Several extents.
  explicit Extents(std::vector<std::ptrdiff_t> extents) : values_(std::move(extents)) {}
  /// The extents of a shape.
  Extents(const Shape& shape) : values_(shape.begin(), shape.end()) {}
  /// Returns whether there are none.
  [[nodiscard]] bool empty() const { return values_.empty(); }
  /// Returns the extents.
  [[nodiscard]] const std::vector<std::ptrdiff_t>& values() const { return values_; }
  /// Returns the extents as a shape. ValueError naming `what` unless every extent is positive.
  [[nodiscard]] Shape shape(const std::string& what) const;

 private:
  std::vector<std::ptrdiff_t> values_;
};

/// Keras's Dense, and with several axes its EinsumDense: the last `axes` axes of x are contracted
/// with the first axes of the kernel, and `units` take their place. kernel (inputs..., units...),
/// bias (units...). Fans are the products of the contracted and of the new extents.
template <class T> class Dense {
 public:
  /// Options, with their defaults.
  struct Options {
    Extents units = {};             ///< extents of the output axes; all positive
    bool units_at_call = false;     ///< units are given with each call instead
    int axes = 1;                   ///< how many input axes are contracted; at least 1
    Activation<T> activation = {};  ///< after the bias
    bool use_bias = true;           ///< whether a bias is added
    Initializer kernel_initializer = "glorot_uniform";  ///< initial values of the kernel
    Initializer bias_initializer = "zeros";             ///< initial values of the bias
    bool trainable = true;                   ///< whether an optimizer updates the parameters
    Regularizer<T> kernel_regularizer = {};  ///< penalty on the kernel
    Regularizer<T> bias_regularizer = {};    ///< penalty on the bias
    /// Penalizes the output of each call on a tape, recording or not; see Tape::penalties. The penalty
    /// is divided by the output's first extent, unless all axes of x are contracted, and 0 for an empty
    /// batch. TapeError inside checkpoint().
    Regularizer<T> activity_regularizer = {};
    Constraint<T> kernel_constraint = {};  ///< limit of the kernel after each update
    Constraint<T> bias_constraint = {};    ///< limit of the bias after each update
  };

  /// Reserves "kernel" and "bias" in the scope. ValueError for options out of range.
  Dense(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  Dense(Dense&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  Dense& operator=(Dense&&) noexcept = default;

  /// x (..., inputs...) -> (..., units...). The first call fixes the extents of the inputs; later
  /// ones must agree (ShapeError naming the path).
  Var<T> operator()(const Var<T>& x) const { return (*this)(x, units_); }
  /// Computes a layer with units_at_call, whose output has another operand's width. The first call
  /// fixes the units too.
  Var<T> operator()(const Var<T>& x, const Shape& units) const;
  /// Makes the parameters for inputs of this shape without computing.
  void build(const Shape& input) const { build(input, units_); }
  /// Makes the parameters of a layer with units_at_call.
  void build(const Shape& input, const Shape& units) const;
  /// Returns the shape of the result for inputs of this shape.
  [[nodiscard]] Shape compute_output_shape(const Shape& input) const {
    return compute_output_shape(input, units_);
  }
  /// Returns the shape of the result of a layer with units_at_call.
  [[nodiscard]] Shape compute_output_shape(const Shape& input, const Shape& units) const;

  /// Returns the results of several layers for x, bit for bit, in one parallel job if that is faster.
  /// ValueError unless all have the same `axes` and none has units_at_call.
  static std::vector<Var<T>> together(const Var<T>& x, std::initializer_list<const Dense*> layers);

  /// Returns the parameter.
  [[nodiscard]] const Parameter<T>& kernel() const { return kernel_; }
  /// Only with use_bias.
  [[nodiscard]] const Parameter<T>& bias() const { return bias_; }
  /// Returns the path in the scope.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void check_input(const Shape& input) const;
  [[nodiscard]] detail::Projection<T> projection(const Var<T>& x, const Shape& units) const;
  [[nodiscard]] Var<T> finish(const Var<T>& x, const Var<T>& projected) const;

  std::string path_;
  Options options_;
  Shape units_;
  Parameter<T> kernel_;
  Parameter<T> bias_;
};

}  // namespace xtape
