#include <xtape/layers/sequential.hpp>

#include "base/instantiate.hpp"
#include "layers/common.hpp"

namespace xtape {

std::string detail::layer_type(std::string_view signature) {
  // "... [with F = xtape::Dense<float>; ...]" from g++, "... [F = xtape::Dense<float>]" from clang.
  signature.remove_prefix(signature.find("F = ") + 4);
  std::string name(signature.substr(0, signature.find_first_of(";]")));
  if (name.find("lambda") != std::string::npos || name.find('(') != std::string::npos ||
      name.find("std::function") != std::string::npos) {
    return "Lambda";
  }
  name = name.substr(0, name.find('<'));
  const std::size_t colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

template <class T> std::string Sequential<T>::choose(const std::string& name) const {
  const std::string chosen = name.empty() ? std::to_string(parts_.size()) : name;
  static_cast<void>(scope_ / chosen);
  for (const auto& part : parts_) {
    if (part.name == chosen) {
      detail::fail<ValueError>(
          scope_.path().empty() ? "Sequential" : scope_.path(), "name taken: a layer is named '",
          chosen, "' already, expected another name; or leave it out to have the layers numbered");
    }
  }
  return chosen;
}

template <class T> std::string Sequential<T>::path_of(const detail::SequentialPart<T>& part) const {
  return (scope_ / part.name).path();
}

/// Throws ValueError if a layer that takes only ids stands behind another.
template <class T> void Sequential<T>::check() const {
  if (!scope_.has_value()) detail::fail_no_value("Sequential");
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    if (!parts_[i].on_array) {
      detail::fail<ValueError>(path_of(parts_[i]), "ids expected: layer ", i, " (", parts_[i].type,
                               ") takes token ids, but gets the output of layer ", i - 1,
                               ", expected it to be the first; put it there");
    }
  }
}

template <class T> Var<T> Sequential<T>::from(std::size_t first, Var<T> x) const {
  for (std::size_t i = first; i < parts_.size(); ++i) {
    x = parts_[i].on_array(x);
    if (detail::listening(x))
      detail::note_layer_call(path_of(parts_[i]), parts_[i].type.c_str(), x);
  }
  return detail::note_layer_call(scope_.path(), "Sequential", x);
}

template <class T> Var<T> Sequential<T>::operator()(const Var<T>& x) const {
  check();
  if (!parts_.empty() && !parts_[0].on_array) {
    detail::fail<ValueError>(path_of(parts_[0]), "ids expected: layer 0 (", parts_[0].type,
                             ") takes token ids, but x is ", to_string(x.shape()),
                             ", expected Tokens; call with integer ids");
  }
  return from(0, x);
}

template <class T> Var<T> Sequential<T>::operator()(const Tokens<T>& ids) const {
  check();
  if (parts_.empty() || !parts_[0].on_ids) {
    detail::fail<ValueError>(scope_.path().empty() ? "Sequential" : scope_.path(),
                             "no layer takes ids: ids are ", to_string(ids.shape()),
                             ", expected the first layer to take them; begin with an Embedding");
  }
  const Var<T> x = parts_[0].on_ids(ids);
  if (detail::listening(x)) detail::note_layer_call(path_of(parts_[0]), parts_[0].type.c_str(), x);
  return from(1, x);
}

XTAPE_CLASS_FOR_REALS(Sequential);

}  // namespace xtape
