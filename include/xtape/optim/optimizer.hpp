#pragma once
/// \file
/// The common part of all optimizers: which parameters a step updates, clipping, decay, accumulation,
/// averages of the weights, and the state that is saved. The formulas are in optimizers.hpp.

#include <xtape/optim/schedules.hpp>
#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

/// Options of one step.
struct StepOptions {
  bool allow_missing = false;  ///< trainable parameters without a gradient stay as they are
};

/// Options that every optimizer has beside its own (Keras's common keyword arguments).
struct OptimizerOptions {
  /// Regular expressions (ECMAScript), searched in parameters' paths: "bias$", "norm/".
  std::vector<std::string> exclude_from_weight_decay = {};
  /// At most one of the three limits is set: the norm of each gradient, each element, or the norm of
  /// all gradients together.
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};        ///< limit of each element
  std::optional<double> global_clipnorm = {};  ///< limit of the norm of all gradients
  bool use_ema = false;        ///< keep a moving average of the weights; see finalize()
  double ema_momentum = 0.99;  ///< 0 to 1
  std::int64_t ema_overwrite_frequency = 0;  ///< updates until weights become the average; 0: never
  /// This many calls of step() average their gradients, and the last of them updates the weights. As in
  /// Keras, a schedule counts calls, and the average of the weights takes part in each call. iterations()
  /// counts updates.
  std::int64_t gradient_accumulation_steps = 1;
};

/// The whole memory of an optimizer, by name: arrays like "adam/m/<path>", and numbers like
/// "adam/steps". The numbers must be stored as doubles, also beside a model of floats.
template <class T> struct OptimizerState {
  std::map<std::string, Array<T>> arrays;  ///< arrays by name, such as `adam/m/<path>`
  std::map<std::string, double> scalars;   ///< numbers by name
};

/// An array that a formula keeps for a parameter: its name, shape and initial value.
struct OptimizerSlot {
  const char* name;    ///< last part of the name
  Shape shape;         ///< extents
  double initial = 0;  ///< value of all elements at the beginning
};

/// The arguments of a formula: n elements; `from` and `to` may be the same.
template <class T> struct OptimizerUpdate {
  const Shape& shape;     ///< shape of the parameter
  std::size_t n;          ///< number of its elements
  const T* from;          ///< the weights before
  T* to;                  ///< the weights after; may be `from`
  const T* gradient;      ///< the gradient, before gradient_scale
  double gradient_scale;  ///< to multiply the gradient by
  double rate;            ///< the learning rate now
  double decay;           ///< fraction the weights lose before the update: decoupled weight decay
  std::int64_t step;      ///< counted from 1
  std::vector<Array<T>>& state;  ///< in the order of slots()
};

/// The common part of optimizers. A formula of your own derives from it and defines name(), slots()
/// and update().
template <class T> class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every trainable parameter by its gradient (with the gradients' stored scale folded in):
  /// accumulate, clip, decay, update, average, constrain. True when weights were updated, false when
  /// gradients were only accumulated. ParameterError naming them when trainable parameters got no
  /// gradient, loaded values found no layer, or a loaded state does not fit; NonFiniteError when a
  /// norm to clip by, or a gradient after clipping, is not finite or is beyond largest_gradient();
  /// ValueError for a schedule's rate that is negative or not finite;
  /// ShapeError for a constraint that does not fit. When anything is thrown, also by a constraint or
  /// schedule of your own, neither parameters nor the optimizer's state have changed.
  bool step(Params<T>& params, const Gradients<T>& gradients, StepOptions options = {});

  /// Sets the weights to their averages, if use_ema is set: the end of a training. ParameterError
  /// when a loaded state does not fit.
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

  /// Returns a copy of the memory, for checkpoints. An optimizer with the same options that loads it
  /// continues bit by bit. A schedule is an option, and not part of the state.
  [[nodiscard]] OptimizerState<T> state() const;
  /// Replaces the memory. Parameters that are built are checked here, later ones at the next step:
  /// ParameterError listing all names that are missing, unexpected, of another optimizer or of another
  /// shape. A parameter of which the state has nothing begins anew. `also` loads something else under the same guarantee
  /// of all or nothing: it is called after all checks and before any change, and load_state() throws its exceptions. The
  /// numbers "loss_scale" and "good_steps" of earlier versions are ignored.
  void load_state(const OptimizerState<T>& state, const Params<T>& params,
                  const std::function<void()>& also = {});

  /// The name of the saved state: "adam".
  [[nodiscard]] virtual const char* name() const noexcept = 0;

 protected:
  /// Is called by the formulas. ValueError for options out of range.
  Optimizer(Schedule learning_rate, double weight_decay, OptimizerOptions options);
  /// Copies, for derived classes.
  Optimizer(const Optimizer&) = default;
  /// Copies, for derived classes.
  Optimizer& operator=(const Optimizer&) = default;

  /// The arrays that the formula keeps for a parameter of this shape.
  [[nodiscard]] virtual std::vector<OptimizerSlot> slots(const Shape& shape) const = 0;

  /// Writes the weights after a step.
  virtual void update(const OptimizerUpdate<T>& u) const noexcept = 0;

  /// The largest magnitude of a gradient that update() takes. A formula that squares gradients returns
  /// less than the root of the largest number: an infinity in its memory would stay there.
  [[nodiscard]] virtual double largest_gradient() const noexcept {
    return static_cast<double>(std::numeric_limits<T>::max());
  }

  /// Whether update() may run for several parameters at once, on the library's threads. It may change
  /// only arrays that `u` names.
  [[nodiscard]] virtual bool concurrent() const noexcept { return false; }

 private:
  struct ParameterMemory {
    Shape shape;  // the parameter's
    bool decays = true;
    std::vector<Array<T>> slots;
    std::optional<Array<T>> average;
    std::optional<Array<T>> accumulated;  // gradients since the last update
  };
  using Memories = std::unordered_map<std::string, ParameterMemory>;  // by path
  struct ParameterStep;

  std::vector<ParameterStep> collect(Params<T>& params, const Gradients<T>& gradients,
                                     StepOptions options) const;
  void find_memory(ParameterStep& part, Memories& added);
  void accumulate_gradient(ParameterStep& part, bool updates) const;
  void clip(std::vector<ParameterStep>& parts) const;
  void check_gradients(const std::vector<ParameterStep>& parts, double limit) const;
  void prepare_weights(ParameterStep& part, bool updates, double rate) const;
  void apply_update(const ParameterStep& part, double rate, ParameterMemory& memory,
                    T* to) const noexcept;
  void update_average(ParameterMemory& memory, const T* weights) const noexcept;
  void finish(ParameterStep& part, bool updates, double rate) const noexcept;
  void finish_all(std::vector<ParameterStep>& parts, bool updates, double rate) const noexcept;
  [[nodiscard]] bool overwrites() const noexcept;
  [[nodiscard]] bool decays(const std::string& path) const;
  [[nodiscard]] std::map<std::string, double> scalars() const;

  using ArraysBySlot = std::map<std::string, Array<T>>;
  using LoadedArrays = std::map<std::string, ArraysBySlot>;  // by path, then by slot
  void claim_all(const char* op, const Params<T>& params);
  [[nodiscard]] std::string claim(LoadedArrays& loaded, Memories& memories, const Params<T>& params,
                                  bool all) const;
  [[nodiscard]] std::string claim_one(const std::string& path, ArraysBySlot arrays,
                                      ParameterMemory& memory) const;
  [[nodiscard]] std::string full_name(const std::string& slot, const std::string& path) const {
    return std::string(name()) + "/" + slot + "/" + path;
  }

  Schedule rate_;
  double weight_decay_;
  OptimizerOptions options_;
  std::function<bool(const std::string& path)> no_decay_;  // empty if all weights decay
  std::int64_t steps_ = 0;                                 // calls of step()
  Memories memories_;
  LoadedArrays unclaimed_;  // of parameters that are not built yet
};

}  // namespace xtape
