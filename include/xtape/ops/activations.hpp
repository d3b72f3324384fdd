#pragma once
/// \file
/// Activation functions, under Keras's names and with its defaults. Elementwise unless said
/// otherwise. Where a function has a kink, the gradient there is that of the side below (0 for relu
/// at 0).

#include <xtape/tape/var.hpp>

#include <concepts>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>

namespace xtape {

/// x
template <class T>
Var<T> linear(const Var<T>& x);

/// Options of relu.
struct ReluOptions {
  double negative_slope = 0.0;  ///< slope below the threshold
  double max_value = std::numeric_limits<double>::infinity();
  double threshold = 0.0;
};
/// x where x >= threshold, at most max_value; negative_slope * (x - threshold) below.
/// ValueError for negative slopes or maxima below 0.
template <class T>
Var<T> relu(const Var<T>& x, ReluOptions options = {});
/// relu with slope 0.2 below 0. ValueError unless negative_slope >= 0.
template <class T>
Var<T> leaky_relu(const Var<T>& x, double negative_slope = 0.2);
/// relu limited to 6.
template <class T>
Var<T> relu6(const Var<T>& x);
/// x, or alpha * (exp(x) - 1) below 0 (Clevert et al. 2016).
template <class T>
Var<T> elu(const Var<T>& x, double alpha = 1.0);
/// Scaled elu with alpha 1.6733 and scale 1.0507 (Klambauer et al. 2017).
template <class T>
Var<T> selu(const Var<T>& x);
/// x, or alpha * (exp(x / alpha) - 1) below 0. ValueError unless alpha > 0.
template <class T>
Var<T> celu(const Var<T>& x, double alpha = 1.0);
/// x * Phi(x) (Hendrycks & Gimpel 2016), or its tanh approximation.
template <class T>
Var<T> gelu(const Var<T>& x, bool approximate = false);
/// x * sigmoid(x), also known as swish.
template <class T>
Var<T> silu(const Var<T>& x);
/// log(1 + exp(x)), without overflow.
template <class T>
Var<T> softplus(const Var<T>& x);
/// x / (1 + |x|)
template <class T>
Var<T> softsign(const Var<T>& x);
/// x / 6 + 1/2, limited to [0, 1].
template <class T>
Var<T> hard_sigmoid(const Var<T>& x);
/// x * hard_sigmoid(x), also known as hard_swish.
template <class T>
Var<T> hard_silu(const Var<T>& x);
/// x limited to [-1, 1].
template <class T>
Var<T> hard_tanh(const Var<T>& x);
/// x where |x| > threshold, otherwise 0.
template <class T>
Var<T> hard_shrink(const Var<T>& x, double threshold = 0.5);
/// x moved towards 0 by threshold, 0 where that would cross it.
template <class T>
Var<T> soft_shrink(const Var<T>& x, double threshold = 0.5);
/// x - tanh(x)
template <class T>
Var<T> tanh_shrink(const Var<T>& x);
/// x * tanh(softplus(x)) (Misra 2019).
template <class T>
Var<T> mish(const Var<T>& x);
/// log(sigmoid(x)), without overflow.
template <class T>
Var<T> log_sigmoid(const Var<T>& x);
/// 0 up to -1, (x + 1)^2 / 4 up to 1, then x.
template <class T>
Var<T> sparse_plus(const Var<T>& x);
/// (x + 1) / 2, limited to [0, 1].
template <class T>
Var<T> sparse_sigmoid(const Var<T>& x);
/// (x + sqrt(x^2 + b)) / 2. ValueError unless b >= 0.
template <class T>
Var<T> squareplus(const Var<T>& x, double b = 4.0);
/// x where x > threshold, otherwise default_value.
template <class T>
Var<T> threshold(const Var<T>& x, double threshold, double default_value);
/// Halves `axis` into a and b: a * sigmoid(b). ShapeError unless the extent is even.
template <class T>
Var<T> glu(const Var<T>& x, int axis = -1);
/// Projection onto the probability simplex along `axis` (Martins & Astudillo 2016). ShapeError for
/// an empty axis.
template <class T>
Var<T> sparsemax(const Var<T>& x, int axis = -1);

/// An activation by Keras's name, or a function of one's own. The empty name and "linear" do
/// nothing. Names: relu leaky_relu relu6 elu selu celu gelu silu swish softplus softsign tanh sigmoid
/// hard_sigmoid hard_silu hard_swish hard_tanh hard_shrink soft_shrink tanh_shrink mish exponential
/// log_sigmoid sparse_plus sparse_sigmoid squareplus glu softmax log_softmax sparsemax linear.
template <class T>
class Activation {
 public:
  using Function = std::function<Var<T>(const Var<T>&)>;
  Activation() = default;
  /// ValueError listing the names when this is not one.
  Activation(const char* name);
  Activation(const std::string& name) : Activation(name.c_str()) {}
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Activation> &&
           std::is_invocable_r_v<Var<T>, F&, const Var<T>&>) Activation(F&& function)
      : function_(std::forward<F>(function)) {}
  /// Whether there is anything to apply.
  explicit operator bool() const { return static_cast<bool>(function_); }
  Var<T> operator()(const Var<T>& x) const { return function_ ? function_(x) : x; }

 private:
  Function function_;
};

}  // namespace xtape
