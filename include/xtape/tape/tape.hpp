#pragma once
/// \file
/// The tape: records operations, runs them backward, and returns gradients as a value.

#include <xtape/tape/record.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

template <class T> class Params;
template <class T> class Parameter;

/// The gradients of one backward, or the sum of several. Their values outlive the tape. With create_graph
/// they are tracked on it. They are looked up by parameter, by its path, or by the watched Var.
template <class T> class Gradients {
 public:
  /// Returns whether there are none.
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  /// Returns the number of gradients.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// Returns whether there is a gradient of a watched array.
  [[nodiscard]] bool contains(const Var<T>& leaf) const;
  /// Returns whether there is a gradient of a parameter.
  [[nodiscard]] bool contains(const Parameter<T>& parameter) const;

  /// The gradient; tracked when it was made with create_graph. TapeError when none arrived.
  [[nodiscard]] Var<T> operator[](const Var<T>& leaf) const;
  /// Returns the gradient of a parameter. TapeError when none arrived.
  [[nodiscard]] Var<T> operator[](const Parameter<T>& parameter) const;
  /// The gradient of the parameter with this path. ParameterError when none arrived.
  [[nodiscard]] Var<T> at(const std::string& path) const;
  /// The paths of the parameters that have a gradient, in the order of its arrival.
  [[nodiscard]] std::vector<std::string> paths() const;

  /// The Euclidean norm of all gradients together, accumulated in double.
  [[nodiscard]] double global_norm() const;
  /// Scales all gradients by min(1, max_norm / global_norm()). The scale is stored, and applied where
  /// a gradient is used. NonFiniteError when the norm is not finite, ValueError unless max_norm > 0.
  Gradients& clip_global_norm(double max_norm);
  /// Limits every element to [-limit, limit]. ValueError unless limit > 0.
  Gradients& clip_value(double limit);
  /// Adds another set. Entries that only one of them has are kept.
  Gradients& add(const Gradients& other);
  /// Multiplies all by a factor. ValueError unless it is a finite number of type T.
  Gradients& scale(double factor);

  // For the tape and the optimizers.
  /// One gradient and what it belongs to.
  struct Entry {
    detail::LeafPtr<T> slot;  ///< null for a watched array
    const void* tape;         ///< the tape of a watched array
    std::uint64_t stamp;      ///< the stamp of a watched array
    Var<T> gradient;          ///< still to be multiplied by stored_scale()
  };
  /// Returns all entries, in the order of their arrival.
  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
  /// Returns the factor that is still to be applied.
  [[nodiscard]] double stored_scale() const noexcept { return scale_; }
  /// Returns the entry of a parameter, or null.
  [[nodiscard]] const Entry* find(const detail::LeafSource<T>* slot) const;
  /// Takes the gradient of a parameter out; empty if there is none. entries() keeps an empty one.
  [[nodiscard]] Var<T> take(const detail::LeafSource<T>& slot);
  /// Adds a gradient to the entry of a leaf.
  void accumulate(const detail::LeafPtr<T>& slot, const void* tape, std::uint64_t stamp, Var<T> g);

 private:
  [[nodiscard]] const Entry* find(const void* key, std::uint64_t stamp) const;
  [[nodiscard]] Var<T> scaled(const Entry& entry) const;
  void fold_scale();

  using Key = std::pair<const void*, std::uint64_t>;
  struct KeyHash {
    std::size_t operator()(const Key& k) const noexcept {
      return std::hash<const void*>()(k.first) ^ (k.second * 0x9E3779B97F4A7C15ULL);
    }
  };
  std::vector<Entry> entries_;
  // Key: the parameter slot, or the tape state and the leaf's stamp.
  std::unordered_map<Key, std::size_t, KeyHash> index_;
  double scale_ = 1.0;
};

/// Options of a tape.
struct TapeOptions {
  bool record = true;         ///< false: operations record nothing, but read `training` and `seed`
  bool training = false;      ///< dropout is active
  std::uint64_t seed = 0;     ///< of the random operations
  bool check_finite = false;  ///< throw NonFiniteError at the first NaN or infinity, naming the op
  /// The rounding of products, of their gradients and second derivatives; default_products() if empty
  std::optional<Products> products = {};
};

/// Options of Tape::backward.
template <class T> struct BackwardOptions {
  bool retain = false;              ///< keep the tape for another backward
  bool create_graph = false;        ///< record the backward too; implies retain
  Gradients<T>* into = nullptr;     ///< where to add the gradients; backward() then returns none
  std::optional<Var<T>> seed = {};  ///< gradient of the result; for one element the default is 1
  detail::BackwardWatch<T>* watch = nullptr;  ///< for fit: follows the gradients
};

/// A position on a tape; see Tape::mark.
template <class T> struct Mark {
  typename detail::TapeState<T>::Position position;  ///< of the next node
  const void* tape = nullptr;                        ///< the tape's state
  std::uint64_t birth = 0;                           ///< birth of the tape
  std::uint64_t last_stamp = 0;                      ///< stamp of the last node
  std::size_t penalties = 0;                         ///< number of penalties
};

/// Records operations in execution order. An operation finds the tape through its operands. A tape
/// belongs to the thread that made it; many tapes may run on many threads.
template <class T> class Tape {
 public:
  /// Makes an empty tape, which belongs to this thread.
  explicit Tape(TapeOptions options = {});
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape();

  /// Returns an untracked value with this tape's context, and a tracked one unchanged.
  [[nodiscard]] Var<T> input(Var<T> value);
  /// Returns tokens with this tape's context.
  [[nodiscard]] Tokens<T> input(const Tokens<T>& ids);
  /// Returns the array of an expression with this tape's context.
  template <detail::XExpression E> [[nodiscard]] auto input(E&& values) {
    if constexpr (std::integral<typename std::decay_t<E>::value_type>) {
      return input(Tokens<T>(std::forward<E>(values)));
    } else {
      return input(Var<T>(std::forward<E>(values)));
    }
  }
  /// Returns `value` as a leaf whose gradient is wanted, or untracked while the tape does not record.
  /// TapeError when `value` is tracked already.
  [[nodiscard]] Var<T> watch(Var<T> value);

  /// Returns the gradients of `result` with respect to the watched values and the trainable parameters
  /// that it depends on. Empties the tape unless retain or create_graph is set, also when a pullback
  /// throws. Errors found before it starts leave the tape unchanged. TapeError: the result is empty,
  /// untracked, stale, or of another tape or thread; it has several elements and no seed; the call
  /// is nested; or penalties were not asked for. ShapeError: the seed has another shape.
  Gradients<T> backward(const Var<T>& result, BackwardOptions<T> options = {});

  /// Forgets everything recorded: handles into it become stale. Parameters keep their values. clear(),
  /// mark() and rewind() throw TapeError on another thread than the tape's.
  void clear();
  /// The present position, for rewind().
  [[nodiscard]] Mark<T> mark() const;
  /// Forgets what was recorded since the mark. TapeError for a mark of another tape, and
  /// when the tape was cleared or rewound past it, unless it is a mark of the empty tape.
  void rewind(const Mark<T>& mark);

  /// Adds a scalar penalty. ShapeError unless it has one element, TapeError inside checkpoint().
  void add_penalty(const Var<T>& penalty);
  /// Returns the differentiable sum of the penalties recorded so far, by add_penalty() and by the
  /// activity regularizers of layers. backward throws if this was not called after the last penalty.
  [[nodiscard]] Var<T> penalties();
  /// Returns penalties() plus the weight penalties (Params::penalties). Call it after the layers, in
  /// its own statement: in model(x) + tape.penalties(params) C++ may evaluate the right side first.
  /// backward throws if a trainable regularized parameter was used and its penalty was not asked for.
  /// Dropping the result satisfies this check.
  [[nodiscard]] Var<T> penalties(const Params<T>& params);

  /// The number of nodes recorded now.
  [[nodiscard]] std::size_t size() const noexcept { return state_->entries.size(); }
  /// Returns whether layers train: dropout is on.
  [[nodiscard]] bool training() const noexcept { return state_->training; }
  /// Returns the seed of the random operations.
  [[nodiscard]] std::uint64_t seed() const noexcept { return state_->seed; }
  /// The index of the next random operation. The files of a training run save {seed, index}.
  [[nodiscard]] std::uint64_t random_index() const noexcept { return state_->random_index; }
  /// Sets the index of the next random operation.
  void set_random_index(std::uint64_t index) noexcept { state_->random_index = index; }

  /// Returns the context that inputs get; for operations.
  [[nodiscard]] detail::NodeRef<T> context() const noexcept { return state_->context(); }

 private:
  detail::TapeState<T>* state_;
};

/// Returns the penalties() of x's tape. Use it where no Tape object is in scope, as in
/// check_gradients(). Returns 0 if x has no tape.
template <class T> Var<T> penalties(const Var<T>& x);
/// Returns the penalties(params) of x's tape. Returns the weight penalties alone if x has no tape.
template <class T> Var<T> penalties(const Var<T>& x, const Params<T>& params);

}  // namespace xtape
