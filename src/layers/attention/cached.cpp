#include "layers/attention/cached.hpp"

#include "base/instantiate.hpp"
#include "kernels/attention_step.hpp"
#include "ops/products_of.hpp"
#include "threads/pool.hpp"

#include <xtape/tape/record.hpp>

#include <algorithm>

namespace xtape::detail {

constexpr Index kParallelWork = 1 << 15U;  // multiplications of one task, at least

/// Returns a value that no gradient passes through.
template <class T> static Var<T> constant(Result<T> value, const Var<T>& query) {
  return record("attention", std::move(value), wrt(query, [](const Var<T>& g) { return g; }));
}

template <class T>
bool attends_cached(const Attention<T>& a, const Var<T>& query, const KeyValueCache<T>& cache) {
  return a.scores.size() == 4 && a.scores[2] == 1 && !query.tracked() && a.rate == 0 && !a.slopes &&
         !a.seen.pairs && query.size() > 0 && cache.length() > 0 && cache.key_slots().size() > 0 &&
         cache.value_slots().size() > 0;
}
XTAPE_FOR_REALS(attends_cached);

template <class T>
std::vector<Var<T>> attend_cached(const Attention<T>& a, const Var<T>& query,
                                  const KeyValueCache<T>& cache, bool with_scores) {
  const Array<T>& keys = cache.key_slots();
  const Array<T>& values = cache.value_slots();
  kernels::AttentionStep<T> p;
  p.heads = extent(a.scores, 1);
  p.key_heads = extent(keys.shape(), 2);
  p.depth = extent(keys.shape(), 3);
  p.value_depth = extent(values.shape(), 3);
  p.capacity = static_cast<Index>(cache.room());
  p.keys = static_cast<Index>(cache.length());
  p.q = query.data();
  p.k = keys.data();
  p.v = values.data();
  p.slots = cache.slots();
  if (a.seen.queries) p.query_keep = a.seen.queries->data();
  if (a.seen.keys) p.key_keep = a.seen.keys->data();
  p.first = std::max<Index>(0, -a.seen.behind);
  p.last = std::min(p.keys, a.seen.ahead + 1);
  p.scale = static_cast<T>(a.scale);
  p.rounded = sizeof(T) == sizeof(float) && products_of(query) == Products::bfloat16;
  p.cache_rounded = cache.rounded();

  Shape shape = query.shape();
  shape.back() = values.shape()[3];
  Result<T> output(shape);
  p.o = output.data();
  std::optional<Result<T>> scores;
  if (with_scores) {
    scores.emplace(a.scores);
    p.scores = scores->data();
  }
  const Index rows = extent(a.scores, 0);
  const Index of_row = p.heads * p.keys * (p.depth + p.value_depth);
  const Index grain = std::clamp<Index>(kParallelWork / of_row, 1, rows);
  const Index work = p.heads * kernels::attention_step_pitch(p);
  const Index tasks = (rows + grain - 1) / grain;
  Array<T> memory = empty<T>(Shape{static_cast<std::size_t>(tasks * work)});
  T* all = memory.data();
  parallel_for(rows, grain, [&](Index begin, Index end) {
    kernels::on_isa([&](auto isa) {
      for (Index row = begin; row < end; ++row) {
        kernels::AttentionStepKernels<T, decltype(isa)>::row(p, row, all + begin / grain * work);
      }
    });
  });
  std::vector<Var<T>> out{constant(std::move(output), query)};
  if (scores) out.push_back(constant(std::move(*scores), query));
  return out;
}
XTAPE_FOR_REALS(attend_cached);

}  // namespace xtape::detail
