#include "kernels/dropout.hpp"

#include "kernels/philox.hpp"

namespace xtape::kernels {

template <class T, class A>
void Dropout<T, A>::apply(Index first, Index n, double rate, std::uint64_t seed,
                          std::uint64_t index, const T* x, T* y) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  const Philox<A> random{seed, index};
  const std::uint32_t limit = philox_limit(rate);
  const V scale(rate < 1 ? static_cast<T>(1 / (1 - rate)) : T(0));
  Index skip = first % 4;  // words drawn for the elements before x
  for (Index i = 0; i < n;) {
    std::uint64_t bits = random.keep(first + i - skip, limit) >> skip;
    const Index count = n - i < Philox<A>::kElements - skip ? n - i : Philox<A>::kElements - skip;
    Index j = i;
    i += count;
    for (; j + kWidth <= i; j += kWidth, bits >>= kWidth) {
      where_bits<T, A>(bits, V::load_unaligned(x + j) * scale).store_unaligned(y + j);
    }
    if (j < i) {
      store_first<T, A>(where_bits<T, A>(bits, load_first<T, A>(x + j, i - j) * scale), y + j,
                        i - j);
    }
    skip = 0;
  }
}

template struct Dropout<float, XTAPE_ARCH>;
template struct Dropout<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
