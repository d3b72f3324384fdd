#include <xtape/tape/tape.hpp>

#include "base/fork.hpp"
#include "base/message.hpp"
#include "kernels/elementwise.hpp"

#include <xtape/tape/recompute.hpp>

#include <mutex>

namespace xtape {
namespace {

// States of ended tapes, for reuse. They are never freed, so that old handles can be checked.
template <class T> struct StatePool {
  std::mutex mutex;
  std::vector<detail::TapeState<T>*> free;

  static StatePool& instance() {
    static StatePool* const pool = [] {
      auto* made = new StatePool;
      detail::hold_at_fork(made->mutex);
      return made;
    }();
    return *pool;
  }
  detail::TapeState<T>* take() {
    const std::lock_guard lock(mutex);
    if (free.empty()) return new detail::TapeState<T>;
    detail::TapeState<T>* state = free.back();
    free.pop_back();
    return state;
  }
  void give(detail::TapeState<T>* state) {
    const std::lock_guard lock(mutex);
    free.push_back(state);
  }
};

}  // namespace

template <class T>
Tape<T>::Tape(TapeOptions options)
    // default_products() may throw, so it comes first.
    : state_((options.products = options.products ? *options.products : default_products(),
              StatePool<T>::instance().take())) {
  state_->record = options.record;
  state_->training = options.training;
  state_->check_finite = options.check_finite;
  state_->products = *options.products;
  state_->seed = options.seed;
  state_->random_index = 0;
  state_->owner = detail::this_thread();
  state_->birth = state_->next_stamp++;
  state_->paused = 0;
  state_->inside_checkpoint = 0;
  state_->in_backward = false;
}

template <class T> Tape<T>::~Tape() {
  state_->clear();
  state_->birth = 0;
  StatePool<T>::instance().give(state_);
}

template <class T> Var<T> Tape<T>::input(Var<T> value) {
  const detail::NodeRef<T> ref = detail::join("input", state_->context(), value.node_ref());
  if (value.tracked()) return value;
  return {std::move(value.pointer()), ref};
}

template <class T> Tokens<T> Tape<T>::input(const Tokens<T>& ids) {
  return {ids.value(), detail::join("input", state_->context(), ids.node_ref())};
}

template <class T> Var<T> Tape<T>::watch(Var<T> value) {
  const detail::NodeRef<T> context = detail::join("watch", state_->context(), value.node_ref());
  if (value.tracked()) {
    detail::fail<TapeError>("watch",
                            "value is tracked already, expected a constant: its gradient "
                            "is that of an operation; watch(x.detach()) starts anew");
  }
  if (!state_->recording()) return {std::move(value.pointer()), context};
  const detail::NodeRef<T> ref = state_->template append<detail::Leaf<T>>(nullptr);
  return {std::move(value.pointer()), ref};
}

template <class T>
Gradients<T> Tape<T>::backward(const Var<T>& result, BackwardOptions<T> options) {
  detail::TapeState<T>& state = *state_;
  if (!result.has_value()) {
    detail::fail<TapeError>("backward",
                            "result is empty: a default-constructed Var, expected a "
                            "tracked value; assign it first");
  }
  if (!result.tracked()) {
    detail::fail<TapeError>(
        "backward", "result is not tracked: it is ", to_string(result.shape()),
        ", expected a value computed from tape.watch() or a trainable parameter; pass inputs "
        "through tape.input() so that operations find the tape");
  }
  detail::join("backward", state.context(), result.node_ref());
  if (state.in_backward) {
    detail::fail<TapeError>("backward",
                            "called from a pullback of the same tape, expected no "
                            "nesting; use {.create_graph = true} for second derivatives");
  }
  detail::check_penalties(state);
  Var<T> seed;
  if (options.seed) {
    if (options.seed->shape() != result.shape()) {
      detail::fail<ShapeError>("backward", "seed of another shape: seed gradient is ",
                               to_string(options.seed->shape()), ", expected ",
                               to_string(result.shape()), ", the shape of the result");
    }
    seed = input(*options.seed);
  } else if (result.size() == 1) {
    seed = input(Var<T>(detail::full<T>(result.shape(), T(1))));
  } else {
    detail::fail<TapeError>("backward", "result is not a scalar: it is ", to_string(result.shape()),
                            ", expected one element; reduce it with sum() or mean(), or pass "
                            "{.seed = gradient}");
  }

  // Empties the tape unless it is kept, also when a pullback throws.
  struct Finish {
    detail::TapeState<T>& state;
    bool keep;
    ~Finish() {
      state.in_backward = false;
      if (!keep) state.clear();
    }
  } finish{state, options.retain || options.create_graph};
  state.in_backward = true;
  Gradients<T> gradients;
  {
    const detail::Pause<T> pause(state, options.create_graph ? 0 : state.paused + 1, 0);
    detail::Sweep<T> sweep(state, gradients, options.create_graph, options.retain, options.watch);
    const std::size_t id = result.node_ref().node;
    sweep.add(id, std::move(seed));
    sweep.run(id + 1, 0);
  }
  if (options.into == nullptr) return gradients;
  options.into->add(gradients);
  return {};
}

template <class T> void Tape<T>::clear() {
  detail::check_node_ref("clear", context());
  state_->clear();
}

template <class T> Mark<T> Tape<T>::mark() const {
  detail::check_node_ref("mark", context());
  return {state_->position(), state_, state_->birth,
          state_->entries.empty() ? 0 : state_->entries.back().stamp,
          state_->penalties.outputs.size()};
}

template <class T> void Tape<T>::rewind(const Mark<T>& mark) {
  detail::check_node_ref("rewind", context());
  const std::size_t n = mark.position.nodes;
  const bool valid = mark.tape == state_ && mark.birth == state_->birth &&
                     n <= state_->entries.size() &&
                     (n == 0 || state_->entries[n - 1].stamp == mark.last_stamp);
  if (!valid) {
    detail::fail<TapeError>(
        "rewind",
        "stale mark: it is of another tape, or this one was cleared or rewound past "
        "it, expected a mark of what is recorded now; mark() again");
  }
  state_->rewind(mark.position);
  // weights_asked needs no rewind. check_penalties() compares leaf stamps.
  state_->penalties.rewind(mark.penalties, n);
}

template <class T> void Tape<T>::add_penalty(const Var<T>& penalty) {
  detail::join("add_penalty", state_->context(), penalty.node_ref());
  if (penalty.size() != 1) {
    detail::fail<ShapeError>("add_penalty", "not a scalar: penalty is ", to_string(penalty.shape()),
                             ", expected one element; sum() it");
  }
  detail::add_penalty(*state_, "add_penalty", penalty);
}

template class Tape<float>;
template class Tape<double>;

}  // namespace xtape
