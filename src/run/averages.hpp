#pragma once
// The averages of an optimizer's use_ema, in the place of the weights for a while.

#include <xtape/optim/optimizer.hpp>
#include <xtape/params/params.hpp>

#include <utility>
#include <vector>

namespace xtape::detail {

/// Puts the averages of the weights in place while it lives: they are what a training ends with, so they
/// are what validation measures.
template <class T> class Averages {
 public:
  Averages(Params<T>& params, Optimizer<T>& optimizer) {
    for (const Parameter<T>& p : params.all()) {
      if (p.built()) raw_.push_back({&p.slot(), p.slot().value, {}});
    }
    optimizer.finalize(params);
    for (Weights& w : raw_) w.average = w.slot->value;
  }
  ~Averages() {
    for (Weights& w : raw_) {
      // A callback may have set others.
      if (&*w.slot->value == &*w.average) w.slot->value = std::move(w.raw);
    }
  }
  Averages(const Averages&) = delete;
  Averages& operator=(const Averages&) = delete;

 private:
  struct Weights {
    ParameterSlot<T>* slot;
    ArrayPtr<T> raw, average;
  };
  std::vector<Weights> raw_;
};

}  // namespace xtape::detail
