#pragma once
/// \file
/// Sequential: layers one after the other.

#include <xtape/params/params.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

namespace detail {

/// One layer of a Sequential, whatever its type. A function is empty if the layer does not take its input.
template <class T> struct SequentialPart {
  std::string name;
  std::string type;
  std::function<Var<T>(const Var<T>&)> on_array;
  std::function<Var<T>(const Tokens<T>&)> on_ids;
};

/// Returns "Dense" for the signature of type_signature<xtape::Dense<float>>, "Lambda" for that of a
/// function without a name.
std::string layer_type(std::string_view signature);

/// Returns a text that holds the name of F; needs no run-time type information.
template <class F> constexpr std::string_view type_signature() { return __PRETTY_FUNCTION__; }

}  // namespace detail

/// Layers one after the other, each given what the one before returned (Keras's and PyTorch's
/// Sequential). It owns them.
///
///   Sequential<float> model(params.scope());
///   model.add<Dense>({.units = 64, .activation = "relu"}).add<Dropout>({.rate = 0.1});
///   model.add<Dense>({.units = 10}, "head");
template <class T> class Sequential {
 public:
  /// Layers made by add() get scopes below this one.
  explicit Sequential(const Scope<T>& scope) : scope_(scope) {}
  /// Moves. The source must not be used afterwards.
  Sequential(Sequential&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  Sequential& operator=(Sequential&&) noexcept = default;

  /// Makes a layer and puts it last. Its scope is `name`, by default its number from 0 on, as in
  /// PyTorch. ValueError for a name that was used; else what the layer's constructor throws.
  template <template <class> class Layer>
  Sequential& add(typename Layer<T>::Options options, const std::string& name = "") {
    const std::string chosen = choose(name);
    if constexpr (std::is_constructible_v<Layer<T>, const Scope<T>&, typename Layer<T>::Options>) {
      return put(chosen, Layer<T>(scope_ / chosen, std::move(options)));
    } else {
      return put(chosen, Layer<T>(std::move(options)));
    }
  }
  /// Puts a layer that was made elsewhere last, or any function from Var (or Tokens) to Var.
  template <class F>
  requires(std::is_invocable_r_v<Var<T>, const F&, const Var<T>&> ||
           std::is_invocable_r_v<Var<T>, const F&, const Tokens<T>&>)
      Sequential& add(F layer, const std::string& name = "") {
    return put(choose(name), std::move(layer));
  }

  /// Returns the number of layers.
  [[nodiscard]] std::size_t size() const noexcept { return parts_.size(); }
  /// Returns the last layer's result, or x without layers. ValueError when a layer takes only token ids.
  Var<T> operator()(const Var<T>& x) const;
  /// Returns the last layer's result for token ids, which the first layer (an Embedding, say) must take (ValueError).
  Var<T> operator()(const Tokens<T>& ids) const;
  /// Returns the result for an array.
  template <detail::ExpressionOf<T> E> Var<T> operator()(E&& x) const {
    return (*this)(Var<T>(std::forward<E>(x)));
  }
  /// Returns the result for tokens.
  template <detail::XExpression E>
  requires std::integral<typename std::decay_t<E>::value_type> Var<T>
  operator()(E&& ids) const { return (*this)(Tokens<T>(std::forward<E>(ids))); }

 private:
  [[nodiscard]] std::string choose(const std::string& name) const;
  template <class F> Sequential& put(const std::string& name, F layer) {
    constexpr bool kArrays = std::is_invocable_r_v<Var<T>, const F&, const Var<T>&>;
    constexpr bool kIds = std::is_invocable_r_v<Var<T>, const F&, const Tokens<T>&>;
    static_assert(kArrays || kIds, "a layer of a Sequential is called with one Var or Tokens");
    const auto held = std::make_shared<const F>(std::move(layer));
    detail::SequentialPart<T> part{name, detail::layer_type(detail::type_signature<F>()), {}, {}};
    if constexpr (kArrays) part.on_array = [held](const Var<T>& x) { return (*held)(x); };
    if constexpr (kIds) part.on_ids = [held](const Tokens<T>& ids) { return (*held)(ids); };
    parts_.push_back(std::move(part));
    return *this;
  }
  void check() const;
  Var<T> from(std::size_t first, Var<T> x) const;
  [[nodiscard]] std::string path_of(const detail::SequentialPart<T>& part) const;

  Scope<T> scope_;
  std::vector<detail::SequentialPart<T>> parts_;
};

}  // namespace xtape
