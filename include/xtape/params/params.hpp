#pragma once
/// \file
/// Trainable arrays: Params owns them, Scope names them, Parameter is a layer's handle to one. A layer of
/// one's own:
///
///     struct Scale {
///       Parameter<float> factor;
///       explicit Scale(const Scope<float>& scope) : factor(scope.reserve("factor")) {}
///       Var<float> operator()(const Var<float>& x) const {
///         factor.build({x.shape().back()}, "ones");
///         return x * factor.value_for(x);
///       }
///     };

#include <xtape/params/constraints.hpp>
#include <xtape/params/initializers.hpp>
#include <xtape/params/regularizers.hpp>
#include <xtape/tape/tape_state.hpp>

#include <atomic>
#include <concepts>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace xtape {

template <class T> class Params;
template <class T> class Scope;

namespace detail {

template <class T> struct ParamsState;

template <class T> struct ParameterSlot : LeafSource<T> {
  std::size_t index = 0;
  ParamsState<T>* params = nullptr;
  std::atomic<bool> built{false};  // `value` may be read without the lock once this is true
  Regularizer<T> regularizer;      // set by set_regularizer()
  Constraint<T> constraint;

  void set_regularizer(Regularizer<T> r) {
    regularizer = std::move(r);
    this->penalized = static_cast<bool>(regularizer);
  }
};

}  // namespace detail

/// A layer's handle to one named array. Copies name the same array. Using an empty or moved-from one is a
/// ValueError.
template <class T> class Parameter {
 public:
  Parameter() = default;
  /// Is called by Scope.
  explicit Parameter(std::shared_ptr<detail::ParameterSlot<T>> slot) : slot_(std::move(slot)) {}

  /// Returns the path in the scope.
  [[nodiscard]] const std::string& path() const { return slot().path; }
  /// Returns whether the array exists.
  [[nodiscard]] bool built() const { return slot().built.load(std::memory_order_acquire); }
  /// Returns whether an optimizer updates it.
  [[nodiscard]] bool trainable() const { return slot().trainable; }
  /// The array. ParameterError unless it is built.
  [[nodiscard]] const Array<T>& value() const;
  /// Makes the array if there is none, from the value that was set or loaded for its path, or from the
  /// initializer and the stream of (seed, path). ShapeError when an existing or pending value has
  /// another shape. Safe to call from several threads. Without fans, those of a kernel (inputs..., outputs).
  void build(const Shape& shape, const Initializer& initializer, Fans fans) const;
  /// Makes the array likewise, with the fans of a kernel (inputs..., outputs).
  void build(const Shape& shape, const Initializer& initializer) const;
  /// The value on the tape of an operand: a leaf of the parameter. Gradients of all its leaves add up.
  /// The value is a constant if there is no tape.
  [[nodiscard]] Var<T> value_for(const detail::NodeRef<T>& ref) const;
  /// Returns the value on the tape of x.
  [[nodiscard]] Var<T> value_for(const Var<T>& x) const { return value_for(x.node_ref()); }

  /// The penalty, one of Tape::penalties(params); empty for none. Not while other threads use it.
  [[nodiscard]] const Regularizer<T>& regularizer() const { return slot().regularizer; }
  /// Sets the penalty.
  void set_regularizer(Regularizer<T> regularizer) const {
    slot().set_regularizer(std::move(regularizer));
  }
  /// The limit that an optimizer applies after each update; empty for none. Not while other threads
  /// use it.
  [[nodiscard]] const Constraint<T>& constraint() const { return slot().constraint; }
  /// Sets the limit.
  void set_constraint(Constraint<T> constraint) const { slot().constraint = std::move(constraint); }

  /// Returns the storage. ValueError for an empty handle.
  [[nodiscard]] detail::ParameterSlot<T>& slot() const {
    if (slot_ == nullptr) detail::fail_no_value("Parameter");
    return *slot_;
  }
  /// Returns the storage, as the leaf of a tape.
  [[nodiscard]] detail::LeafPtr<T> leaf() const {
    static_cast<void>(slot());
    return slot_;
  }

 private:
  std::shared_ptr<detail::ParameterSlot<T>> slot_;
};

/// A place in the tree of parameter names. `scope / "name"` and `scope / 0` go one step down.
template <class T> class Scope {
 public:
  /// Is called by Params.
  Scope(std::shared_ptr<detail::ParamsState<T>> params, std::string path, bool reuse)
      : params_(std::move(params)), path_(std::move(path)), reuse_(reuse) {}

  /// The scope `name` below this one. ValueError for an empty name or one with a slash.
  Scope operator/(const std::string& name) const;
  /// The scope that is named by a number. ValueError for a negative one.
  template <std::integral Index>
  requires(!std::same_as<Index, bool> && !std::same_as<Index, char>) Scope operator/(
      Index index) const {
    return numbered(static_cast<std::int64_t>(index));
  }
  /// This scope, but with taken names shared instead of refused.
  [[nodiscard]] Scope reuse() const { return {params_, path_, true}; }
  /// Returns the path in the scope.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Returns whether it belongs to a Params.
  [[nodiscard]] bool has_value() const noexcept { return params_ != nullptr; }
  /// Takes `name` here, for an array made later by Parameter::build. ParameterError when the path
  /// is taken and this scope does not reuse. A shared parameter has the first regularizer and the
  /// first constraint.
  [[nodiscard]] Parameter<T> reserve(const std::string& name, bool trainable = true,
                                     Regularizer<T> regularizer = {},
                                     Constraint<T> constraint = {}) const;

 private:
  [[nodiscard]] Scope numbered(std::int64_t index) const;

  std::shared_ptr<detail::ParamsState<T>> params_;
  std::string path_;
  bool reuse_;
};

/// Options of Params.
struct ParamsOptions {
  std::uint64_t seed = 0;  ///< of the initial values: each parameter has its own stream
};

/// Options of Params::load and xtape::load.
struct LoadOptions {
  /// Every name must find its layer and every layer its value. False loads what fits by name: the
  /// other values wait under their path for a layer that may come, and parameters without a value keep theirs.
  bool strict = true;
};

/// The paths that a load found, in alphabetical order.
struct LoadReport {
  std::vector<std::string> loaded;      ///< values that have a parameter
  std::vector<std::string> missing;     ///< parameters without a value: they keep theirs
  std::vector<std::string> unexpected;  ///< values without a parameter so far
};

/// Owns every trainable array of a model, in creation order, under path names like
/// "encoder/0/attention/query/kernel". Layers, scopes, tapes and gradients keep the arrays alive that they use.
/// Using a moved-from Params is a ValueError.
template <class T> class Params {
 public:
  /// Makes an empty set of parameters.
  explicit Params(ParamsOptions options = {});
  /// Moves; layers and scopes stay valid.
  Params(Params&&) noexcept;
  /// Moves; layers and scopes stay valid.
  Params& operator=(Params&&) noexcept;
  Params(const Params&) = delete;
  Params& operator=(const Params&) = delete;
  ~Params();

  /// The root of the names.
  [[nodiscard]] Scope<T> scope();
  /// Every path, in creation order.
  [[nodiscard]] std::vector<std::string> paths() const;
  /// Returns whether there is a parameter with this path.
  [[nodiscard]] bool contains(const std::string& path) const;
  /// The handle of a path. ParameterError naming the paths there are when there is none.
  [[nodiscard]] Parameter<T> at(const std::string& path) const;
  /// Number of elements of all built arrays; only the trainable ones on request.
  [[nodiscard]] std::size_t count(bool only_trainable = false) const;

  /// Sets an array. The value waits under its path until its layer is built.
  /// ShapeError when the array exists with another shape.
  void set(const std::string& path, Array<T> value);
  /// Sets many arrays, all or nothing. Values of parameters that are not built wait under their path.
  /// A strict load compares the names with the reserved parameters. Before any layer is made the
  /// comparison waits for the first Parameter::build, so make all layers before the first call.
  /// ParameterError lists the missing, unexpected and mis-shaped names, and nothing is changed.
  /// Without `strict`, ShapeError when an array exists with another shape.
  LoadReport load(const std::map<std::string, Array<T>>& values, LoadOptions options = {});
  /// All built arrays by path.
  [[nodiscard]] std::map<std::string, Array<T>> values() const;
  /// The paths of set or loaded values whose parameter is not built yet.
  [[nodiscard]] std::vector<std::string> pending() const;
  /// Throws ParameterError, naming them, when values of set() or of a strict load are pending.
  void check_pending() const;

  /// Sets whether the parameters at `path` or below `path/` are trained. ParameterError when there
  /// are none. The empty path means all.
  void set_trainable(const std::string& path, bool trainable);

  /// Returns all parameters, in the order of their creation.
  [[nodiscard]] std::vector<Parameter<T>> all() const;

  /// The sum of the penalties of all built trainable parameters, differentiable on the tape of x. It
  /// is not divided by a batch. Tape::penalties(params) adds the penalties of the layers' outputs.
  [[nodiscard]] Var<T> penalties(const detail::NodeRef<T>& ref) const;
  /// Returns the sum of all penalties, on the tape of x.
  [[nodiscard]] Var<T> penalties(const Var<T>& x) const { return penalties(x.node_ref()); }

 private:
  [[nodiscard]] detail::ParamsState<T>& state() const;

  std::shared_ptr<detail::ParamsState<T>> state_;
};

}  // namespace xtape
