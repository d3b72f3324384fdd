#pragma once
// Pass 2 of attention, forward and backward, for rows of at most two vectors with no bias and no pair mask. A
// row stays in registers from masking to the exponential. The maxima and sums of four rows are reduced
// together, because one row alone is a chain of a few dependent instructions. A last vector that is at most
// half full has half width. For the sources of kernels only (see simd.hpp).

#include "kernels/attention_rows.hpp"

namespace xtape::kernels {

template <class T, class A> class ShortRows {
 public:
  explicit ShortRows(const AttentionHeads<T>& p) {
    any_ = kFits && p.keys <= 2 * kWidth && p.bias == nullptr && p.slopes == nullptr &&
           p.mask == nullptr;
    if (!any_) return;
    for (Index j = 0; j < p.keys; ++j) {
      kept_ |= static_cast<std::uint64_t>(p.key_keep == nullptr || p.key_keep[j]) << j;
    }
  }
  /// Returns whether the heads are of this kind.
  explicit operator bool() const { return any_; }

  /// Forward, pass 2: stores exponentials after dropout into x, rows of products with the first `hi` keys,
  /// `pitch` apart. Stores their maxima, and their sums before dropout.
  void exponentials(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index hi, T* x,
                    Index pitch, T* row_max, T* sums, RowDropout<A>& drop) const {
    in_vectors(hi, [&](auto vectors, auto last) {
      rows_of_exponentials<decltype(vectors)::value, decltype(last)>(p, head, i, rows, x, pitch,
                                                                     row_max, sums, drop);
    });
  }

  /// Backward, pass 2: stores probabilities after dropout into rows of products x, and scale dx into rows of
  /// de in d.
  void gradients(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index head, Index i,
                 Index rows, Index hi, T* x, T* d, Index pitch, RowDropout<A>& drop) const {
    in_vectors(hi, [&](auto vectors, auto last) {
      rows_of_gradients<decltype(vectors)::value, decltype(last)>(p, to, head, i, rows, x, d, pitch,
                                                                  drop);
    });
  }

 private:
  using V = Vec<T, A>;
  using Four = FourRows<V>;
  static constexpr Index kWidth = Tile<T, A>::kWidth;
  static constexpr bool kFits = V::size >= 4;  // a lane for each row of kTogether
  static constexpr int kTogether = 4;
  bool any_ = false;
  std::uint64_t kept_ = 0;  // bit j: key j is not masked

  /// Calls f(number of vectors for n elements, tag of the last vector's instruction set), both constants.
  template <class F> static void in_vectors(Index n, const F& f) {
    using Narrow = typename Half<T, A>::Arch;
    constexpr std::integral_constant<int, 1> one;
    constexpr std::integral_constant<int, 2> two;
    if constexpr (!kFits) {
      return;
    } else if (constexpr Index kHalf = static_cast<Index>(Vec<T, Narrow>::size); n <= kHalf) {
      f(one, Narrow{});
    } else if (n <= kWidth) {
      f(one, A{});
    } else if (n <= kWidth + kHalf) {
      f(two, Narrow{});
    } else {
      f(two, A{});
    }
  }

  /// Returns bits, where bit j tells whether query i sees key j.
  [[gnu::always_inline]] std::uint64_t seen_bits(const AttentionHeads<T>& p, Index i) const {
    const KeyRange keys = visible_keys(p, i);
    if (keys.first >= keys.last) return 0;
    return kept_ & ((std::uint64_t{1} << keys.last) - 1) & ~((std::uint64_t{1} << keys.first) - 1);
  }

  /// Returns r with r[l] = (bit l of bits) ? x[l] : -infinity.
  template <class B>
  [[gnu::always_inline]] static Vec<T, B> masked(std::uint64_t bits, const T* x) {
    return where_bits_or<T, B>(bits, Vec<T, B>::load_aligned(x), Vec<T, B>(kMinusInfinity<T>));
  }

  template <int Vectors, class Last>
  void rows_of_exponentials(const AttentionHeads<T>& p, Index head, Index i, Index rows, T* x,
                            Index pitch, T* row_max, T* sums, RowDropout<A>& drop) const {
    using L = Vec<T, Last>;
    constexpr Index kBefore = (Vectors - 1) * kWidth;  // columns before the last vector
    const T unit = exponent_factor<T, A>(p);
    alignas(64) T tops[V::size];
    alignas(64) T shifts[V::size];
    alignas(64) T row_sums[V::size];
    for (Index r = 0; r < rows; r += kTogether) {
      T* row[kTogether];
      V e[kTogether];
      L last[kTogether];
      V parts[kTogether];
#pragma GCC unroll 4
      for (int k = 0; k < kTogether; ++k) {
        const Index at = min(r + k, rows - 1);  // repeats the last row where rows are missing
        row[k] = x + at * pitch;
        const std::uint64_t seen = seen_bits(p, i + at);
        last[k] = masked<Last>(seen >> kBefore, row[k] + kBefore);
        parts[k] = widened<V>(last[k], kMinusInfinity<T>);
        if constexpr (Vectors == 2) {
          e[k] = masked<A>(seen, row[k]);
          parts[k] = xsimd::max(e[k], parts[k]);
        }
      }
      const V most = Four::fold(parts, [](const V& a, const V& b) { return xsimd::max(a, b); });
      const V top = xsimd::max(most * V(unit), V(kMinusInfinity<T>));
      top.store_aligned(tops);
      xsimd::select(top == V(kMinusInfinity<T>), V(T(0)), top).store_aligned(shifts);
#pragma GCC unroll 4
      for (int k = 0; k < kTogether; ++k) {
        const T shift = shifts[Four::lane(k)];
        last[k] = Exponential<T, Last>::of(xsimd::fms(last[k], L(unit), L(shift)));
        last[k].store_aligned(row[k] + kBefore);
        parts[k] = widened<V>(last[k], T(0));
        if constexpr (Vectors == 2) {
          e[k] = Exponential<T, A>::of(xsimd::fms(e[k], V(unit), V(shift)));
          e[k].store_aligned(row[k]);
          parts[k] = e[k] + parts[k];
        }
      }
      Four::fold(parts, [](const V& a, const V& b) { return a + b; }).store_aligned(row_sums);
#pragma GCC unroll 4
      for (int k = 0; k < kTogether; ++k) {
        if (r + k >= rows) break;
        row_max[r + k] = tops[Four::lane(k)];
        sums[r + k] = row_sums[Four::lane(k)];
      }
      if (p.rate == 0) continue;
      const V keep(dropout_scale(p));
      for (Index k = 0; k < min(kTogether, rows - r); ++k) {
        drop.draw(p, head, i + r + k, 0, 0, Vectors * kWidth);
        for (Index j = 0; j < Vectors * kWidth; j += kWidth) {
          T* at = row[k] + j;
          (where_bits<T, A>(drop.at(j), V::load_aligned(at)) * keep).store_aligned(at);
        }
      }
    }
  }

  template <int Vectors, class Last>
  void rows_of_gradients(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index head,
                         Index i, Index rows, T* x, T* d, Index pitch, RowDropout<A>& drop) const {
    constexpr Index kBefore = (Vectors - 1) * kWidth;
    const T unit = exponent_factor<T, A>(p);
    const T keep = dropout_scale(p);
    const Index first = head * p.queries + i;
    for (Index r = 0; r < rows; ++r, x += pitch, d += pitch) {
      const std::uint64_t seen = seen_bits(p, i + r);
      const T shift = to.row_max[first + r];
      const T over_sum = to.inverse_sum[first + r];
      const T delta = to.delta[first + r];
      if (p.rate > 0) drop.draw(p, head, i + r, 0, 0, Vectors * kWidth);
      const auto part = [&](auto arch, Index j) {
        using B = decltype(arch);
        using L = Vec<T, B>;
        const L e =
            Exponential<T, B>::of(xsimd::fms(masked<B>(seen >> j, x + j), L(unit), L(shift))) *
            L(over_sum);
        L dj = L::load_aligned(d + j);
        L kept = e;
        if (p.rate > 0) {
          kept = where_bits<T, B>(drop.at(j), e * L(keep));
          dj = where_bits<T, B>(drop.at(j), dj * L(keep));
        }
        const L slope = xsimd::select(e == L(T(0)), L(T(0)), e * (dj - L(delta)));
        kept.store_aligned(x + j);
        (slope * L(p.scale)).store_aligned(d + j);
      };
      if constexpr (Vectors == 2) part(A{}, 0);
      part(Last{}, kBefore);
    }
  }
};

}  // namespace xtape::kernels
