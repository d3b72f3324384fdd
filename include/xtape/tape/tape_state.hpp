#pragma once
// What a tape is made of. Operations reach it through record(); users never do.

#include <xtape/tape/var.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

template <class T>
class Gradients;

namespace detail {

template <class T>
class Sweep;

/// What the tape knows of a parameter; the parameters add the rest.
template <class T>
struct LeafSource {
  std::string path;
  bool trainable = true;
  bool penalized = false;  // a regularizer asks for a penalty of it
  ArrayPtr<T> value;
};

/// What a node tells about itself, for pictures of the graph. Shapes of outputs that no pullback needs
/// are not kept: they follow from the operations that use them.
struct NodeDescription {
  struct Input {
    std::size_t node = 0;
    std::optional<Shape> shape;  // default: that of the output
  };
  std::vector<Input> inputs;               // the tracked ones
  std::vector<Shape> outputs;              // where the node has them
  const std::string* parameter = nullptr;  // its path, of a leaf that is one
};

/// One recorded operation, in execution order.
template <class T>
struct Node {
  explicit Node(const char* op) noexcept : name(op) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;
  /// Passes the gradient of this node's outputs on to its tracked inputs.
  virtual void pull(Sweep<T>& sweep, std::size_t id) = 0;
  virtual void describe(NodeDescription& out) const = 0;

  const char* name;
  /// Outputs take consecutive ids from the node's own; the extra ids hold stubs with outputs == 0.
  std::uint32_t outputs = 1;
};

/// The further outputs of the node before it.
template <class T>
struct Stub final : Node<T> {
  explicit Stub(const char* op) noexcept : Node<T>(op) { this->outputs = 0; }
  void pull(Sweep<T>&, std::size_t) override {}
  void describe(NodeDescription&) const override {}
};

/// A value whose gradient is wanted: a watched array (slot null) or a parameter.
template <class T>
struct Leaf final : Node<T> {
  explicit Leaf(const LeafSource<T>* s) noexcept : Node<T>("leaf"), slot(s) {}
  void pull(Sweep<T>& sweep, std::size_t id) override;
  void describe(NodeDescription& out) const override;
  const LeafSource<T>* slot;
};

/// Bump allocation for nodes; freed all at once, back to a position.
class Arena {
 public:
  struct Position {
    std::size_t chunk = 0;
    std::size_t offset = 0;
  };
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  void* allocate(std::size_t bytes) {
    bytes = (bytes + 15) & ~std::size_t{15};
    if (at_.chunk < chunks_.size() && at_.offset + bytes <= chunks_[at_.chunk].bytes) {
      void* p = chunks_[at_.chunk].data + at_.offset;
      at_.offset += bytes;
      return p;
    }
    return allocate_in_next(bytes);
  }
  [[nodiscard]] Position position() const noexcept { return at_; }
  void rewind(Position to) noexcept { at_ = to; }

 private:
  void* allocate_in_next(std::size_t bytes);
  struct Chunk {
    std::byte* data;
    std::size_t bytes;
  };
  std::vector<Chunk> chunks_;
  Position at_;
};

/// What a layer made, for a summary.
struct LayerCall {
  std::string path;
  std::string type;
  Shape output;
};

/// The state of one tape. It outlives the tape in a pool, so that a handle can always be checked.
template <class T>
struct TapeState {
  struct Entry {
    Node<T>* node;
    std::uint64_t stamp;
  };
  struct Position {
    std::size_t nodes = 0;
    Arena::Position arena;
  };

  bool record = true;
  bool training = false;
  bool check_finite = false;
  std::uint64_t seed = 0;
  std::uint64_t random_index =
      0;  // of the next random operation; never resets while the tape lives

  const void* owner = nullptr;   // the thread that made the tape; see this_thread()
  std::uint64_t birth = 0;       // stamp of the present tape; 0 while in the pool
  std::uint64_t next_stamp = 1;  // never decreases, also from one tape to the next
  int paused = 0;                // inside an ordinary backward or a checkpoint: nothing is recorded
  int inside_checkpoint = 0;     // tracked operands are a mistake there
  bool in_backward = false;

  std::vector<Entry> entries;
  Arena arena;
  std::unordered_map<const LeafSource<T>*, Var<T>> leaves;
  std::vector<Var<T>> penalties;  // of outputs, as they arise
  bool penalties_asked = false;
  // Of weights: the leaf (by stamp) whose penalty was asked for; and the regularized parameters that
  // checkpoints hide, with the number of nodes before.
  std::unordered_map<const LeafSource<T>*, std::uint64_t> penalized;
  std::unordered_map<const LeafSource<T>*, std::size_t> checkpointed;
  std::vector<LayerCall>* calls = nullptr;  // layers tell here what they make, for a summary

  [[nodiscard]] bool recording() const noexcept { return record && paused == 0; }
  [[nodiscard]] NodeRef<T> context() noexcept { return {this, birth, kNoNode}; }
  [[nodiscard]] bool valid(const NodeRef<T>& p) const noexcept {
    if (p.node == kNoNode) return p.stamp == birth;
    return p.node < entries.size() && entries[p.node].stamp == p.stamp;
  }
  [[nodiscard]] NodeRef<T> ref_of(std::size_t id) noexcept { return {this, entries[id].stamp, id}; }
  [[nodiscard]] Position position() const noexcept { return {entries.size(), arena.position()}; }

  /// Appends a node (and stubs for its further outputs); a reference to its first output.
  template <class N, class... Args>
  NodeRef<T> append(Args&&... args) {
    if (entries.size() == entries.capacity()) entries.reserve(2 * entries.size() + 64);
    N* node = ::new (arena.allocate(sizeof(N))) N(std::forward<Args>(args)...);
    entries.push_back({node, next_stamp++});
    return ref_of(entries.size() - 1);
  }
  /// Destroys every node from `to` on.
  void rewind(const Position& to) noexcept;
  /// Destroys all nodes, parameter leaves and penalties.
  void clear() noexcept;
  /// The leaf of a parameter: one per tape until it is cleared.
  Var<T> leaf(const LeafSource<T>& slot);
  /// Keeps a scalar for penalties(). TapeError inside checkpoint(), which would lose its gradient.
  void add_penalty(const std::string& who, const Var<T>& penalty);
  /// Throws TapeError when penalties were recorded, or weights that have one are in use, and nobody
  /// asked for them.
  void check_penalties() const;
};

// Tells threads apart, as std::this_thread::get_id does, whose header takes long to compile.
[[nodiscard]] const void* this_thread() noexcept;

// Throw TapeError unless the operation may use what `ref` refers to from this thread.
template <class T>
void check_node_ref(const char* op, const NodeRef<T>& ref);
[[noreturn]] void fail_mixed_tapes(const char* op);
[[noreturn]] void fail_captured(const char* op);

/// The common context of several operands (untracked), or an empty reference where none has one.
template <class T, class... Refs>
NodeRef<T> join(const char* op, const NodeRef<T>& first, const Refs&... rest) {
  NodeRef<T> joined;
  const auto add = [&](const NodeRef<T>& p) {
    if (p.state == nullptr) return;
    check_node_ref(op, p);
    if (joined.state == nullptr) {
      joined = p.state->context();
    } else if (joined.state != p.state) {
      fail_mixed_tapes(op);
    }
  };
  add(first);
  (add(rest), ...);
  return joined;
}

/// One backward pass, or a part of one.
template <class T>
class Sweep {
 public:
  Sweep(TapeState<T>& state, Gradients<T>& result, bool create_graph, bool retain);

  /// Starts from a gradient of node `id`.
  void seed(std::size_t id, Var<T> g);
  /// Handles the nodes top-1 ... floor, each once, in decreasing order: no recursion.
  void run(std::size_t top, std::size_t floor);
  /// Adds to the gradient of node `input`, summed back to `expected` where it was broadcast.
  void accumulate(const char* op, std::size_t input, Var<T> g, const Shape& expected);
  void add_leaf(const Leaf<T>& leaf, std::size_t id, Var<T> g);

  /// The gradient that arrived at an output, or an empty Var.
  [[nodiscard]] const Var<T>& gradient(std::size_t id) const;
  /// Output `id` as a value that a pullback may use, tracked when the graph is wanted.
  Var<T> output(std::size_t id, const ArrayPtr<T>& value) {
    return {value, graph_ ? state_.ref_of(id) : state_.context()};
  }
  /// The gradient that arrived at node `id`, for adding in place; null where others have it too.
  [[nodiscard]] T* to_add_to(std::size_t id);
  [[nodiscard]] bool create_graph() const noexcept { return graph_; }
  /// Whether gradients are wanted only, and nobody looks at what each operation adds: then a node may use
  /// seed() and to_add_to() instead of accumulate().
  [[nodiscard]] bool plain() const noexcept;
  [[nodiscard]] TapeState<T>& state() noexcept { return state_; }

 private:
  TapeState<T>& state_;
  Gradients<T>& result_;
  std::vector<Var<T>> slots_;
  bool graph_;
  bool retain_;
  std::size_t fault_operand_ = 0;  // used by the fault-injection build only
};

// Differentiable operations that backward and Gradients need, and that the tape therefore has itself.
template <class T>
Var<T> add(const Var<T>& a, const Var<T>& b);
template <class T>
Var<T> sum_to(const Var<T>& x, const Shape& shape);
template <class T>
Var<T> broadcast(const Var<T>& x, const Shape& shape);
template <class T>
Var<T> scale(const Var<T>& x, T factor);
/// Limits every element to [-limit, limit].
template <class T>
Var<T> limit(const Var<T>& x, double limit);

}  // namespace detail
}  // namespace xtape
