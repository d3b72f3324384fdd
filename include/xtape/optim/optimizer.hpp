#pragma once
/// \file
/// What all optimizers share: which parameters a step updates, clipping, decay, accumulation, loss
/// scaling, averages of the weights, and the state that is saved. The formulas are in optimizers.hpp.

#include <xtape/optim/schedules.hpp>
#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

/// What one step may allow.
struct StepOptions {
  bool allow_missing = false;  ///< trainable parameters without a gradient stay as they are
};

/// A loss scale that finds its size: halved, and the step skipped, when a gradient is not finite;
/// doubled after growth_steps steps without that.
struct DynamicLossScale {
  double initial_scale = 32768.0;    ///< positive
  std::int64_t growth_steps = 2000;  ///< positive
};

/// Options all optimizers have, beside their own (Keras's keyword arguments of every optimizer).
struct OptimizerOptions {
  /// Regular expressions (ECMAScript), searched in parameters' paths: "bias$", "norm/".
  std::vector<std::string> exclude_from_weight_decay = {};
  std::optional<double> clipnorm = {};         ///< limits the norm of each gradient; at most
  std::optional<double> clipvalue = {};        ///< one of the three: this limits each element,
  std::optional<double> global_clipnorm = {};  ///< this the norm of all gradients together
  bool use_ema = false;        ///< keep a moving average of the weights; see finalize()
  double ema_momentum = 0.99;  ///< 0 to 1
  std::int64_t ema_overwrite_frequency = 0;      ///< weights become the average so often; 0: never
  std::optional<double> loss_scale_factor = {};  ///< gradients are those of scale_loss(loss)
  std::optional<DynamicLossScale> dynamic_loss_scale = {};  ///< likewise; only one of the two
  /// So many calls of step() average their gradients and then update once. Schedules count the
  /// calls, the average of the weights is updated at each (as in Keras), iterations() counts updates.
  std::int64_t gradient_accumulation_steps = 1;
};

/// All an optimizer remembers, by name: arrays like "adam/m/<path>", and numbers like "adam/steps".
/// The numbers must be stored as doubles, also beside a model of floats.
template <class T>
struct OptimizerState {
  std::map<std::string, Array<T>> arrays;
  std::map<std::string, double> scalars;
};

/// An array that a formula keeps for a parameter: its name, shape and initial value.
struct OptimizerSlot {
  const char* name;
  Shape shape;
  double initial = 0;
};

/// What a formula works on: n elements; `from` and `to` may be the same.
template <class T>
struct OptimizerUpdate {
  const Shape& shape;
  std::size_t n;
  const T* from;
  T* to;
  const T* gradient;
  double gradient_scale;  ///< to multiply the gradient by
  double rate;            ///< the learning rate now
  double decay;           ///< fraction the weights lose before the update: decoupled weight decay
  std::int64_t step;      ///< counted from 1
  std::vector<Array<T>>& state;  ///< in the order of slots()
};

/// The common part of optimizers. A formula of your own derives from it and defines name(), slots()
/// and update().
template <class T>
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every trainable parameter by its gradient (with the gradients' stored scale folded in):
  /// unscale, accumulate, clip, decay, update, average, constrain. True when weights were updated,
  /// false when gradients were only accumulated, or skipped because a dynamic loss scale was too high.
  /// ParameterError naming them when trainable parameters got no gradient, loaded values found no
  /// layer, or a loaded state does not fit; NonFiniteError when a norm to clip by is not finite;
  /// ValueError for a schedule's rate that is negative or not finite; ShapeError for a constraint
  /// that does not fit. When anything is thrown, also by a constraint or schedule of your own,
  /// neither parameters nor the optimizer's state have changed.
  bool step(Params<T>& params, const Gradients<T>& gradients, StepOptions options = {});

  /// The loss times the loss scale, to run backward from; the loss itself without one.
  [[nodiscard]] Var<T> scale_loss(const Var<T>& loss) const;
  [[nodiscard]] double loss_scale() const noexcept { return loss_scale_; }

  /// With use_ema: sets the weights to their averages, as at the end of training. ParameterError when
  /// a loaded state does not fit.
  void finalize(Params<T>& params);

  /// Updates done.
  [[nodiscard]] std::int64_t iterations() const noexcept {
    return steps_ / options_.gradient_accumulation_steps;
  }
  /// The rate of the next step.
  [[nodiscard]] double learning_rate() const { return rate_(steps_); }
  /// Whether the rate is a schedule, not a number.
  [[nodiscard]] bool scheduled() const noexcept { return !rate_.constant(); }
  /// ValueError unless it is positive and finite (or a schedule with good options), and for a number
  /// in the place of a schedule.
  void set_learning_rate(Schedule rate);

  /// A copy of what it remembers, to go into a checkpoint. Complete: an optimizer with the same options
  /// that loads it continues bit by bit. A schedule is an option, and not in it.
  [[nodiscard]] OptimizerState<T> state() const;
  /// The opposite of state(). The parameters that are built are checked here, those that come later at
  /// the next step: ParameterError listing all names that are missing, unexpected, of another
  /// optimizer or of another shape. All or nothing: also together with something else that is to be
  /// loaded with it, which `also` does, after everything was checked and before anything changes. What
  /// `also` throws, this throws.
  void load_state(const OptimizerState<T>& state, const Params<T>& params,
                  const std::function<void()>& also = {});

  /// Under which names its state is saved: "adam".
  [[nodiscard]] virtual const char* name() const noexcept = 0;

 protected:
  Optimizer(Schedule learning_rate, double weight_decay, OptimizerOptions options);
  Optimizer(const Optimizer&) = default;
  Optimizer& operator=(const Optimizer&) = default;

  /// What is kept for a parameter of this shape.
  [[nodiscard]] virtual std::vector<OptimizerSlot> slots(const Shape& shape) const = 0;

  /// Writes the weights after a step.
  virtual void update(const OptimizerUpdate<T>& u) const noexcept = 0;

  /// Whether update() may run for several parameters at once, on the library's threads: it changes
  /// nothing but what `u` names.
  [[nodiscard]] virtual bool concurrent() const noexcept { return false; }

 private:
  /// What is remembered for one parameter.
  struct Memory {
    Shape shape;  // the parameter's
    bool decays = true;
    std::vector<Array<T>> slots;
    std::optional<Array<T>> average;
    std::optional<Array<T>> accumulated;  // gradients since the last update
  };
  using Memories = std::unordered_map<std::string, Memory>;
  struct Item;
  class Added;

  std::vector<Item> collect(Params<T>& params, const Gradients<T>& gradients,
                            StepOptions options) const;
  void remember(Item& item, Added& added);
  void gather(Item& item, bool updates) const;
  void clip(std::vector<Item>& items) const;
  void advance(const Item& item, double rate, Memory& memory, T* to) const noexcept;
  void follow(Memory& memory, const T* weights) const noexcept;
  void commit(std::vector<Item>& items, bool updates, double rate) noexcept;
  [[nodiscard]] bool skips(const std::vector<Item>& items);
  [[nodiscard]] bool overwrites() const noexcept;
  [[nodiscard]] bool decays(const std::string& path) const;
  [[nodiscard]] std::map<std::string, double> scalars() const;

  // Arrays by path and slot that were loaded for parameters not built yet.
  using Waiting = std::map<std::string, std::map<std::string, Array<T>>>;
  void settle_all(const char* op, const Params<T>& params);
  [[nodiscard]] std::string settle(Waiting& waiting, Memories& memories, const Params<T>& params,
                                   bool all) const;
  [[nodiscard]] std::string settle_one(const std::string& path,
                                       std::map<std::string, Array<T>>& arrays,
                                       Memory& memory) const;
  [[nodiscard]] std::string full_name(const std::string& slot, const std::string& path) const {
    return std::string(name()) + "/" + slot + "/" + path;
  }

  Schedule rate_;
  double weight_decay_;
  OptimizerOptions options_;
  std::function<bool(const std::string& path)> no_decay_;  // empty where every weight decays
  double loss_scale_ = 1.0;
  std::int64_t good_steps_ = 0;  // since the dynamic loss scale changed
  std::int64_t steps_ = 0;       // calls that counted
  Memories memories_;
  Waiting waiting_;
};

}  // namespace xtape
