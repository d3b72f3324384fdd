#include "base/check.hpp"
#include "kernels/optimizers_plain.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/tape.hpp>

#include <cmath>

namespace xtape {

template <class T>
auto Gradients<T>::find(const void* key, std::uint64_t stamp) const -> const Entry* {
  const auto it = index_.find({key, stamp});
  return it == index_.end() ? nullptr : &entries_[it->second];
}

template <class T>
auto Gradients<T>::find(const detail::LeafSource<T>* slot) const -> const Entry* {
  return find(slot, 0);
}

template <class T> Var<T> Gradients<T>::take(const detail::LeafSource<T>& slot) {
  const auto it = index_.find({&slot, 0});
  if (it == index_.end()) return {};
  Entry& entry = entries_[it->second];
  Var<T> gradient = scaled(entry);
  entry.gradient = {};
  index_.erase(it);
  return gradient;
}

template <class T> bool Gradients<T>::contains(const Var<T>& leaf) const {
  return find(leaf.node_ref().state, leaf.node_ref().stamp) != nullptr;
}

template <class T> Var<T> Gradients<T>::scaled(const Entry& entry) const {
  return scale_ == 1.0 ? entry.gradient : detail::scale(entry.gradient, static_cast<T>(scale_));
}

template <class T> Var<T> Gradients<T>::operator[](const Var<T>& leaf) const {
  const Entry* entry =
      leaf.tracked() ? find(leaf.node_ref().state, leaf.node_ref().stamp) : nullptr;
  if (entry == nullptr) {
    detail::fail<TapeError>("gradients", "no gradient for this value: it is ",
                            leaf.tracked() ? "tracked, but the result does not depend on it or it "
                                             "is not a leaf"
                                           : "not tracked",
                            ", expected a leaf made by tape.watch(); ask contains() first");
  }
  return scaled(*entry);
}

template <class T> std::vector<std::string> Gradients<T>::paths() const {
  std::vector<std::string> all;
  for (const Entry& entry : entries_) {
    if (entry.slot != nullptr) all.push_back(entry.slot->path);
  }
  return all;
}

template <class T> Var<T> Gradients<T>::at(const std::string& path) const {
  for (const Entry& entry : entries_) {
    if (entry.slot != nullptr && entry.slot->path == path) return scaled(entry);
  }
  std::string known;
  for (const std::string& other : paths()) known += " '" + other + "'";
  detail::fail<ParameterError>("gradients", "no gradient for a parameter named '", path,
                               "', expected one of", known.empty() ? " (none)" : known);
}

template <class T> double Gradients<T>::global_norm() const {
  // Squares of floats would overflow, so they are doubles. The sum of each array is made by one thread,
  // and the sums are added in order: the number of threads changes no bit.
  std::size_t elements = 0;
  for (const Entry& entry : entries_) elements += entry.gradient.size();
  std::vector<double> squares(entries_.size());
  const auto count = static_cast<kernels::Index>(entries_.size());
  const bool few = elements <= static_cast<std::size_t>(detail::kElementGrain);
  detail::parallel_for(count, few ? count : 1, [&](kernels::Index begin, kernels::Index end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const Var<T>& g = entries_[i].gradient;
      squares[i] = kernels::sum_of_squares(static_cast<kernels::Index>(g.size()), g.data());
    }
  });
  double sum = 0;
  for (const double part : squares) sum += part;
  return std::abs(scale_) * std::sqrt(sum);
}

template <class T> Gradients<T>& Gradients<T>::clip_global_norm(double max_norm) {
  if (!(max_norm > 0)) {
    detail::fail<ValueError>("clip_global_norm", "norm out of range: max_norm is ", max_norm,
                             ", expected a positive number");
  }
  const double norm = global_norm();
  if (!std::isfinite(norm)) {
    std::string name = "(sum)";
    for (const Entry& entry : entries_) {
      if (kernels::first_non_finite(static_cast<kernels::Index>(entry.gradient.size()),
                                    entry.gradient.data()) >= 0) {
        name = entry.slot != nullptr ? entry.slot->path : "(watched array)";
        break;
      }
    }
    detail::fail<NonFiniteError>("clip_global_norm", "norm is not finite: gradient of '", name,
                                 "' holds a NaN or infinity, expected finite gradients; find the "
                                 "operation with TapeOptions::check_finite");
  }
  if (norm > max_norm) scale_ *= max_norm / norm;
  return *this;
}

template <class T> void Gradients<T>::fold_scale() {
  if (scale_ == 1.0) return;
  for (Entry& entry : entries_) entry.gradient = scaled(entry);
  scale_ = 1.0;
}

template <class T> Gradients<T>& Gradients<T>::clip_value(double limit) {
  if (!(limit > 0)) {
    detail::fail<ValueError>("clip_value", "limit out of range: limit is ", limit,
                             ", expected a positive number");
  }
  fold_scale();
  for (Entry& entry : entries_) entry.gradient = detail::limit(entry.gradient, limit);
  return *this;
}

template <class T> Gradients<T>& Gradients<T>::scale(double factor) {
  const double now = scale_ * factor;
  detail::check_fits<T>("scale", "factor", factor);
  detail::check_fits<T>("scale", "the product with earlier factors", now);
  scale_ = now;
  return *this;
}

template <class T>
void Gradients<T>::accumulate(const detail::LeafPtr<T>& slot, const void* tape, std::uint64_t stamp,
                              Var<T> g) {
  // Gradients of one parameter add up, also those from several tapes.
  const Key key = slot != nullptr ? Key{slot.get(), 0} : Key{tape, stamp};
  const auto [it, is_new] = index_.try_emplace(key, entries_.size());
  // Gradients may outlive their tape. An untracked gradient therefore loses its context.
  if (!g.tracked()) g = Var<T>(std::move(g.pointer()), {});
  if (is_new) {
    entries_.push_back({slot, tape, stamp, std::move(g)});
    return;
  }
  Var<T>& present = entries_[it->second].gradient;
  if (!present.tracked() && !g.tracked() && present.pointer().unique()) {
    detail::parallel_add_to(static_cast<kernels::Index>(g.size()), g.data(),
                            present.pointer().mutate().data());
  } else {
    present = detail::add(present, g);
  }
}

template <class T> Gradients<T>& Gradients<T>::add(const Gradients& other) {
  fold_scale();
  for (const Entry& entry : other.entries_) {
    accumulate(entry.slot, entry.tape, entry.stamp, other.scaled(entry));
  }
  return *this;
}

template class Gradients<float>;
template class Gradients<double>;

}  // namespace xtape
