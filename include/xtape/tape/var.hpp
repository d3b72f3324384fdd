#pragma once
/// \file
/// Var<T>: an immutable array with a reference to its node on a tape; Tokens<T>: integers with a tape.

#include <xtape/array/array.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace xtape {

template <Real T> class Var;
template <class T> class Tape;

namespace detail {

template <class T> struct TapeState;

// An array and the count of its owners in one block. The tape adds in place to an array with one owner.
template <class T> struct SharedArray {
  explicit SharedArray(const Shape& shape) : array(shape) {}
  explicit SharedArray(Array<T>&& a) : array(std::move(a)) {}
  std::atomic<std::uint32_t> owners{1};
  Array<T> array;
};

template <class T> class ArrayPtr {
 public:
  ArrayPtr() noexcept = default;
  explicit ArrayPtr(const Shape& shape) : block_(make(shape)) {}
  explicit ArrayPtr(Array<T>&& array) : block_(make(std::move(array))) {}
  ArrayPtr(const ArrayPtr& other) noexcept : block_(other.block_) {
    if (block_ != nullptr) block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  ArrayPtr(ArrayPtr&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  ArrayPtr& operator=(ArrayPtr other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~ArrayPtr() { release(); }

  explicit operator bool() const noexcept { return block_ != nullptr; }
  const Array<T>& operator*() const noexcept { return block_->array; }
  const Array<T>* operator->() const noexcept { return &block_->array; }
  [[nodiscard]] bool unique() const noexcept {
    return block_->owners.load(std::memory_order_acquire) == 1;
  }
  // The caller must be the only owner.
  [[nodiscard]] Array<T>& mutate() noexcept { return block_->array; }

 private:
  template <class... Args> static SharedArray<T>* make(Args&&... args) {
    Allocator<SharedArray<T>> allocator;
    SharedArray<T>* block = allocator.allocate(1);
    try {
      return ::new (static_cast<void*>(block)) SharedArray<T>(std::forward<Args>(args)...);
    } catch (...) {
      allocator.deallocate(block, 1);
      throw;
    }
  }
  void release() noexcept {
    if (block_ == nullptr) return;
    // The only owner needs no atomic decrement.
    if (unique() || block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      block_->~SharedArray<T>();
      Allocator<SharedArray<T>>().deallocate(block_, 1);
    }
  }
  SharedArray<T>* block_ = nullptr;
};

// kNoNode is the node number of an untracked value.
inline constexpr std::uint64_t kNoNode = ~std::uint64_t{0};

// A NodeRef refers to a node of a tape. Stamps of one state never repeat, so a reference to a node that
// is gone is recognized. The stamp of an untracked value is the tape's birth.
template <class T> struct NodeRef {
  TapeState<T>* state = nullptr;
  std::uint64_t stamp = 0;
  std::uint64_t node = kNoNode;
};

}  // namespace detail

/// An array that operations are applied to. It is immutable and cheap to copy. A Var may have a
/// context, which is a tape. A tracked Var belongs to a node of it: a leaf or a recorded operation.
/// Gradients pass through tracked values. Operations on values without a context record nothing: no
/// tape means inference.
template <Real T> class Var {
 public:
  /// The type of the elements.
  using value_type = T;

  /// No value yet. An empty Var may be assigned, copied, printed, asked for has_value(), tracked() and
  /// has_context(), and given to record_fused() as an absent input. To read its array is a ValueError.
  Var() noexcept = default;
  /// A constant without context.
  Var(Array<T> value) : value_(std::move(value)) { detail::check_array("Var", *value_); }
  /// A scalar constant, of shape ().
  Var(T value) : value_(Shape()) { value_.mutate().data()[0] = value; }
  /// A constant from an xtensor expression of T, evaluated now.
  template <detail::ExpressionOf<T> E>
  requires(!std::same_as<std::decay_t<E>, Array<T>>) Var(E&& expression)
      : Var(Array<T>(std::forward<E>(expression))) {}
  template <detail::XExpression E>
  requires(!detail::ExpressionOf<E, T>) Var(E&&)
  = delete;  // convert it: xt::cast<T>(expression)

  /// Returns whether it holds an array. A moved-from Var holds none.
  [[nodiscard]] bool has_value() const noexcept { return static_cast<bool>(value_); }
  /// The array, which outlives the tape. ValueError without one.
  [[nodiscard]] const Array<T>& value() const& { return *checked(); }
  /// The array of a temporary Var, by value, so that the array outlives it.
  [[nodiscard]] Array<T> value() && {
    // Two returns, because clang copies both results of a conditional expression.
    if (!checked().unique()) return *value_;
    Array<T> array = std::move(value_.mutate());
    value_ = {};
    return array;
  }
  /// Returns the shape. ValueError without an array.
  [[nodiscard]] const Shape& shape() const { return checked()->shape(); }
  /// Returns the number of axes. ValueError without an array.
  [[nodiscard]] std::size_t rank() const { return checked()->dimension(); }
  /// Returns the number of elements. ValueError without an array.
  [[nodiscard]] std::size_t size() const { return checked()->size(); }
  /// Returns the elements, row-major. ValueError without an array.
  [[nodiscard]] const T* data() const { return checked()->data(); }
  /// The only element. ShapeError unless there is exactly one.
  [[nodiscard]] T item() const;

  /// Whether gradients pass through this value.
  [[nodiscard]] bool tracked() const noexcept { return node_ref_.node != detail::kNoNode; }
  /// Whether operations on this value belong to a tape.
  [[nodiscard]] bool has_context() const noexcept { return node_ref_.state != nullptr; }
  /// The same value with the same context, untracked: no gradient passes.
  /// TapeError when the tape is gone.
  [[nodiscard]] Var detach() const;

  // For the tape, the operations and the layers.
  /// The same value with this context, where it has none.
  [[nodiscard]] Var in(const detail::NodeRef<T>& context) const {
    return has_context() ? *this : Var(value_, context);
  }
  /// Joins an array and a node; for operations.
  Var(detail::ArrayPtr<T> value, detail::NodeRef<T> node_ref) noexcept
      : value_(std::move(value)), node_ref_(node_ref) {}
  /// Returns the place on a tape; for operations.
  [[nodiscard]] const detail::NodeRef<T>& node_ref() const noexcept { return node_ref_; }
  /// Returns the pointer to the array; for operations.
  [[nodiscard]] detail::ArrayPtr<T>& pointer() noexcept { return value_; }
  /// Returns the pointer to the array; for operations.
  [[nodiscard]] const detail::ArrayPtr<T>& pointer() const noexcept { return value_; }

 private:
  [[nodiscard]] const detail::ArrayPtr<T>& checked() const {
    if (!value_) detail::fail_no_value("Var");
    return value_;
  }

  detail::ArrayPtr<T> value_;
  detail::NodeRef<T> node_ref_;
};

/// Writes the elements in NumPy's form, or "(no value)".
template <class T> std::ostream& operator<<(std::ostream& out, const Var<T>& x);

/// Integers (token ids, labels) that may have a tape's context. They are never differentiated. A plain
/// integer array converts to Tokens without a context.
template <class T> class Tokens {
 public:
  /// Holds an array of ids.
  Tokens(Array<std::int64_t> ids)
      : ids_(std::make_shared<const Array<std::int64_t>>(std::move(ids))) {
    detail::check_array("Tokens", *ids_);
  }
  /// Holds the array of an expression.
  template <detail::ExpressionOf<std::int64_t> E>
  requires(!std::same_as<std::decay_t<E>, Array<std::int64_t>>) Tokens(E&& expression)
      : Tokens(Array<std::int64_t>(std::forward<E>(expression))) {}
  template <detail::XExpression E>
  requires(!detail::ExpressionOf<E, std::int64_t>) Tokens(E&&)
  = delete;  // ids are integers
  /// Joins ids and a context; for operations.
  Tokens(Array<std::int64_t> ids, detail::NodeRef<T> node_ref) : Tokens(std::move(ids)) {
    node_ref_ = node_ref;
  }

  /// Returns the ids. ValueError without an array.
  [[nodiscard]] const Array<std::int64_t>& value() const {
    if (ids_ == nullptr) detail::fail_no_value("Tokens");
    return *ids_;
  }
  /// Returns the shape. ValueError without an array.
  [[nodiscard]] const Shape& shape() const { return value().shape(); }
  /// Returns the context; for operations.
  [[nodiscard]] const detail::NodeRef<T>& node_ref() const noexcept { return node_ref_; }
  /// The same ids with this context, where they have none.
  [[nodiscard]] Tokens in(const detail::NodeRef<T>& context) const {
    Tokens ids = *this;
    if (node_ref_.state == nullptr) ids.node_ref_ = context;
    return ids;
  }

 private:
  std::shared_ptr<const Array<std::int64_t>> ids_;
  detail::NodeRef<T> node_ref_;
};

}  // namespace xtape
