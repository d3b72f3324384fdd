#pragma once
/// \file
/// Activation functions with Keras's names and defaults; each comment gives the result. They are
/// elementwise but for glu and sparsemax. The gradient of relu at 0 is 0. Those that a kernel computes, such as
/// gelu and silu, have a first and a second derivative. TapeError for a third.

#include <xtape/tape/var.hpp>

#include <concepts>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>

namespace xtape {

/// x
template <class T> Var<T> linear(const Var<T>& x);

/// Options of relu.
struct ReluOptions {
  double negative_slope = 0.0;                                 ///< slope below the threshold
  double max_value = std::numeric_limits<double>::infinity();  ///< upper limit
  double threshold = 0.0;  ///< elements below it count as negative
};
/// min(x, max_value) where x >= threshold, negative_slope * (x - threshold) elsewhere.
/// ValueError for a negative slope or maximum.
template <class T> Var<T> relu(const Var<T>& x, ReluOptions options = {});
/// x where x >= 0, negative_slope * x elsewhere. ValueError unless negative_slope >= 0.
template <class T> Var<T> leaky_relu(const Var<T>& x, double negative_slope = 0.2);
/// min(max(x, 0), 6)
template <class T> Var<T> relu6(const Var<T>& x);
/// x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2016).
template <class T> Var<T> elu(const Var<T>& x, double alpha = 1.0);
/// 1.0507 * elu(x, 1.6733) (Klambauer et al. 2017).
template <class T> Var<T> selu(const Var<T>& x);
/// x where x > 0, alpha * (exp(x / alpha) - 1) elsewhere. ValueError unless alpha > 0.
template <class T> Var<T> celu(const Var<T>& x, double alpha = 1.0);
/// x * Phi(x) with the normal distribution's Phi (Hendrycks & Gimpel 2016), or its tanh approximation.
template <class T> Var<T> gelu(const Var<T>& x, bool approximate = false);
/// x * sigmoid(x), also known as swish.
template <class T> Var<T> silu(const Var<T>& x);
/// log(1 + exp(x)), without overflow.
template <class T> Var<T> softplus(const Var<T>& x);
/// x / (1 + |x|)
template <class T> Var<T> softsign(const Var<T>& x);
/// x / 6 + 1/2, clipped to [0, 1].
template <class T> Var<T> hard_sigmoid(const Var<T>& x);
/// x * hard_sigmoid(x), also known as hard_swish.
template <class T> Var<T> hard_silu(const Var<T>& x);
/// x clipped to [-1, 1].
template <class T> Var<T> hard_tanh(const Var<T>& x);
/// x where |x| > threshold, 0 elsewhere.
template <class T> Var<T> hard_shrink(const Var<T>& x, double threshold = 0.5);
/// sign(x) * max(|x| - threshold, 0)
template <class T> Var<T> soft_shrink(const Var<T>& x, double threshold = 0.5);
/// x - tanh(x)
template <class T> Var<T> tanh_shrink(const Var<T>& x);
/// x * tanh(softplus(x)) (Misra 2019).
template <class T> Var<T> mish(const Var<T>& x);
/// log(sigmoid(x)), without overflow.
template <class T> Var<T> log_sigmoid(const Var<T>& x);
/// 0 where x <= -1, (x + 1)^2 / 4 where -1 < x < 1, x elsewhere.
template <class T> Var<T> sparse_plus(const Var<T>& x);
/// (x + 1) / 2, clipped to [0, 1].
template <class T> Var<T> sparse_sigmoid(const Var<T>& x);
/// (x + sqrt(x^2 + b)) / 2. ValueError unless b >= 0.
template <class T> Var<T> squareplus(const Var<T>& x, double b = 4.0);
/// x where x > threshold, default_value elsewhere.
template <class T> Var<T> threshold(const Var<T>& x, double threshold, double default_value);
/// a * sigmoid(b) of the two halves a and b along `axis`. ShapeError unless the extent is even.
template <class T> Var<T> glu(const Var<T>& x, int axis = -1);
/// The projection of x onto the probability simplex along `axis` (Martins & Astudillo 2016).
/// ShapeError for an empty axis.
template <class T> Var<T> sparsemax(const Var<T>& x, int axis = -1);

/// An activation by Keras's name, or any function from Var to Var. The empty name and "linear" do
/// nothing. Names: relu leaky_relu relu6 elu selu celu gelu silu swish softplus softsign tanh sigmoid
/// hard_sigmoid hard_silu hard_swish hard_tanh hard_shrink soft_shrink tanh_shrink mish exponential
/// log_sigmoid sparse_plus sparse_sigmoid squareplus glu softmax log_softmax sparsemax linear.
template <class T> class Activation {
 public:
  /// A function of an array.
  using Function = std::function<Var<T>(const Var<T>&)>;
  Activation() = default;
  /// Throws ValueError, which lists the names, for another name.
  Activation(const char* name);
  /// ValueError, which lists the names, for another name.
  Activation(const std::string& name) : Activation(name.c_str()) {}
  /// Takes any function of a Var.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Activation> &&
           std::is_invocable_r_v<Var<T>, F&, const Var<T>&>) Activation(F&& function)
      : function_(std::forward<F>(function)) {}
  /// Returns whether there is a function to apply.
  explicit operator bool() const { return static_cast<bool>(function_); }
  /// Returns f(x), or x if there is no function.
  Var<T> operator()(const Var<T>& x) const { return function_ ? function_(x) : x; }

 private:
  Function function_;
};

}  // namespace xtape
