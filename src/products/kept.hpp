#pragma once
// Weights that stay packed while a model decodes, and rounded for products in bfloat16: a step has few rows, and packing
// a weight for them takes as long as the product.

#include "products/gemm.hpp"

#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <tuple>
#include <utility>

namespace xtape::products {

/// Packed panels of arrays that do not change. For one thread at a time.
template <class T> class KeptPanels {
 public:
  /// Adds an array, and keeps `owner`: an array with a second owner does not end, and nothing changes it in place.
  void watch(const T* data, std::size_t size, std::shared_ptr<const void> owner) {
    arrays_[data] = {size, std::move(owner)};
  }

  /// Returns whether b points into an array of watch().
  [[nodiscard]] bool watches(const T* b) const {
    auto after = arrays_.upper_bound(b);
    if (after == arrays_.begin()) return false;
    const auto& [data, array] = *std::prev(after);
    return b < data + array.size;
  }

  /// Returns B of `panel` as pack(T*) packs it into `size` elements. Packs once. Null where B is in no array of watch(),
  /// or there is no memory.
  template <class Pack>
  const T* packed(const void* kernels, const Product<T>& panel, Index size, const Pack& pack) {
    if (!watches(panel.b)) return nullptr;
    Panel& kept = panels_[{kernels, panel.b, panel.k, panel.n, panel.b_row, panel.b_column}];
    if (kept == nullptr) {
      const auto bytes = static_cast<std::size_t>(size) * sizeof(T);
      kept.reset(static_cast<T*>(::operator new(bytes, kAlignment, std::nothrow)));
      if (kept == nullptr) return nullptr;
      pack(kept.get());
    }
    return kept.get();
  }

  /// Returns the object that the products of this thread use, or null.
  static KeptPanels*& in_use() {
    static constinit thread_local KeptPanels* used = nullptr;
    return used;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  using Panel = std::unique_ptr<T, Free>;

  struct Watched {
    std::size_t size;
    std::shared_ptr<const void> owner;
  };
  std::map<const T*, Watched, std::less<>> arrays_;
  std::map<std::tuple<const void*, const T*, Index, Index, Index, Index>, Panel> panels_;
};

/// Makes the products of this thread use an object as long as it lives.
template <class T> class KeepsPanels {
 public:
  explicit KeepsPanels(KeptPanels<T>& panels) : before_(KeptPanels<T>::in_use()) {
    KeptPanels<T>::in_use() = &panels;
  }
  ~KeepsPanels() { KeptPanels<T>::in_use() = before_; }
  KeepsPanels(const KeepsPanels&) = delete;
  KeepsPanels& operator=(const KeepsPanels&) = delete;

 private:
  KeptPanels<T>* before_;
};

}  // namespace xtape::products
