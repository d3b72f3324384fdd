#include <xtape/layers/dropout.hpp>

#include "base/check.hpp"
#include "base/instantiate.hpp"

#include <xtape/tape/tape_state.hpp>

namespace xtape {

template <class T> Dropout<T>::Dropout(Options options) : options_(std::move(options)) {
  detail::check_unit(options_.name, "rate", options_.rate, true);
  for (const int extent : options_.noise_shape) {
    if (extent != -1 && extent <= 0) {
      detail::fail<ValueError>(options_.name, "noise_shape out of range: an extent is ", extent,
                               ", expected a positive integer, or -1 for the input's");
    }
  }
}

template <class T>
Dropout<T>::Dropout(Dropout&& other) noexcept
    : options_(std::move(other.options_)), calls_(other.calls_.load()) {}

template <class T> bool Dropout<T>::active(const Var<T>& x, std::optional<bool> training) const {
  const detail::TapeState<T>* state = x.node_ref().state;
  if (state != nullptr) detail::check_node_ref(options_.name.c_str(), x.node_ref());
  if (options_.rate == 0 || !training.value_or(state != nullptr && state->training)) return false;
  if (state == nullptr && !options_.seed) {
    detail::fail<TapeError>(
        options_.name, "training without a tape: input ", to_string(x.shape()),
        " has no context, expected a tape to draw random numbers from; pass inputs "
        "through tape.input(), or give the layer a seed");
  }
  return true;
}

template <class T>
std::optional<RandomKey> Dropout<T>::draw(const Var<T>& x, std::optional<bool> training) const {
  if (!active(x, training)) return std::nullopt;
  if (x.node_ref().state == nullptr) return RandomKey{*options_.seed, calls_.fetch_add(1)};
  RandomKey key = next_random_key(x);
  if (options_.seed) key.seed = *options_.seed;
  return key;
}

template <class T>
Var<T> Dropout<T>::operator()(const Var<T>& x, std::optional<bool> training) const {
  if (!active(x, training)) return x;
  std::optional<Shape> noise;
  if (!options_.noise_shape.empty()) {
    if (options_.noise_shape.size() != x.rank()) {
      detail::fail<ShapeError>(options_.name, "noise_shape does not fit: it has ",
                               options_.noise_shape.size(), " axes, input is ",
                               to_string(x.shape()), ", expected one extent per axis");
    }
    noise = x.shape();
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (options_.noise_shape[i] != -1)
        (*noise)[i] = static_cast<std::size_t>(options_.noise_shape[i]);
    }
  }
  return dropout(x, options_.rate, *draw(x, training), noise);
}

XTAPE_CLASS_FOR_REALS(Dropout);

}  // namespace xtape
