#pragma once
// The parts of a tape. Operations reach most of them through record(); users never do.

#include <xtape/products/products.hpp>
#include <xtape/tape/penalty_ledger.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

template <class T> class Gradients;

namespace detail {

template <class T> class Sweep;

/// The part of a parameter that the tape knows; src/params has the rest.
template <class T> struct LeafSource {
  std::string path;
  bool trainable = true;
  bool penalized = false;  // has a regularizer
  ArrayPtr<T> value;
};

/// Keeps the parameters alive as long as a tape, a layer or gradients refer to one of them.
template <class T> using LeafPtr = std::shared_ptr<const LeafSource<T>>;

/// A node's inputs and outputs, for pictures of the graph. `outputs` lacks arrays that the node does
/// not keep. A consumer's `Input::shape` gives such a shape.
struct NodeDescription {
  struct Input {
    std::size_t node = 0;
    std::optional<Shape> shape;  // empty if it equals the output shape of the described node
  };
  std::vector<Input> inputs;               // the tracked ones
  std::vector<Shape> outputs;              // shapes of the arrays that the node keeps
  const std::string* parameter = nullptr;  // path of the parameter that a leaf stands for
};

/// An entry of the tape, in the order of execution: an operation, a leaf, or a further output.
template <class T> struct Node {
  explicit Node(const char* op) noexcept : name(op) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;
  /// Passes the gradient of this node's outputs on to its tracked inputs.
  virtual void pull(Sweep<T>& sweep, std::size_t id) = 0;
  virtual void describe(NodeDescription& out) const = 0;

  const char* name;
  /// The number of outputs. Output i has id + i. The ids after the first hold Stubs with 0 outputs.
  std::uint32_t outputs = 1;
};

/// A further output of the node before it. It holds an id, so that a gradient has a slot.
template <class T> struct Stub final : Node<T> {
  explicit Stub(const char* op) noexcept : Node<T>(op) { this->outputs = 0; }
  void pull(Sweep<T>&, std::size_t) override {}
  void describe(NodeDescription&) const override {}
};

/// A value whose gradient is wanted: a watched array (slot null) or a parameter.
template <class T> struct Leaf final : Node<T> {
  explicit Leaf(LeafPtr<T> s) noexcept : Node<T>("leaf"), slot(std::move(s)) {}
  void pull(Sweep<T>& sweep, std::size_t id) override;
  void describe(NodeDescription& out) const override;
  LeafPtr<T> slot;
};

/// Allocates nodes one behind the other. rewind() moves the position back and returns no memory.
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

/// An output of a layer, for a summary.
struct LayerCall {
  std::string path;
  std::string type;
  Shape output;
};

/// The state of one tape. A pooled state is never freed. A NodeRef can therefore be validated after
/// its tape ended.
template <class T> struct TapeState {
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
  Products products = Products::float32;
  std::uint64_t seed = 0;
  std::uint64_t random_index = 0;  // of the next random operation; clear() does not reset it

  const void* owner = nullptr;   // the thread that made the tape; see this_thread()
  std::uint64_t birth = 0;       // stamp of the present tape; 0 while in the pool
  std::uint64_t next_stamp = 1;  // never decreases, also from one tape to the next
  // Depth of suspended recording: checkpoint(), and backward without create_graph. Recording is on at 0.
  int paused = 0;
  int inside_checkpoint = 0;  // positive in checkpoint(), where tracked operands are refused
  bool in_backward = false;

  std::vector<Entry> entries;
  Arena arena;
  struct Read {
    Var<T> leaf;        // the last one
    std::size_t first;  // the lowest node that can read the parameter
  };
  std::unordered_map<const LeafSource<T>*, Read> reads;
  PenaltyLedger<T> penalties;
  /// The nodes after a recomputation and before its replay. Backward has passed them.
  struct Passed {
    std::size_t after, end;
  };
  std::vector<Passed> passed;  // of the replays in progress
  /// The weights that the forward of a recomputation read. Its replay reads them again, also after a step.
  struct WeightsRead {
    std::unordered_map<const LeafSource<T>*, ArrayPtr<T>> values = {};
    WeightsRead* around = nullptr;  // of the replay that this part is inside of

    /// Returns the value that was read first.
    const ArrayPtr<T>& of(const LeafSource<T>& slot);
  };
  WeightsRead* weights = nullptr;           // of the innermost part
  std::vector<LayerCall>* calls = nullptr;  // where layers note their outputs, for a summary

  [[nodiscard]] bool recording() const noexcept { return record && paused == 0; }
  [[nodiscard]] NodeRef<T> context() noexcept { return {this, birth, kNoNode}; }
  [[nodiscard]] bool valid(const NodeRef<T>& p) const noexcept {
    if (p.node == kNoNode) return p.stamp == birth;
    return p.node < entries.size() && entries[p.node].stamp == p.stamp;
  }
  [[nodiscard]] NodeRef<T> ref_of(std::size_t id) noexcept { return {this, entries[id].stamp, id}; }
  [[nodiscard]] Position position() const noexcept { return {entries.size(), arena.position()}; }

  /// Appends a node and returns a reference to it.
  template <class N, class... Args> NodeRef<T> append(Args&&... args) {
    if (entries.size() == entries.capacity()) entries.reserve(2 * entries.size() + 64);
    N* node = ::new (arena.allocate(sizeof(N))) N(std::forward<Args>(args)...);
    entries.push_back({node, next_stamp++});
    return ref_of(entries.size() - 1);
  }
  /// Destroys every node from `to` on.
  void rewind(const Position& to) noexcept;
  /// Destroys all nodes, leaves and penalties.
  void clear() noexcept;
  /// Returns the leaf of a parameter, or a constant if it is not trainable or the tape does not record.
  /// Appends a new leaf after clear(), a rewind past it, or an update on a retained tape, and in a
  /// replay where backward has passed the old one. Notes the first read, for Sweep::complete().
  Var<T> leaf(const LeafPtr<T>& slot);
};

// Returns a pointer that identifies the calling thread. std::this_thread::get_id() would need <thread>,
// which takes long to compile.
[[nodiscard]] const void* this_thread() noexcept;

// Throws TapeError unless this thread may use what `ref` refers to.
template <class T> void check_node_ref(const char* op, const NodeRef<T>& ref);

/// Gives `context` the tape of `ref`, if that has one. TapeError if `context` has another.
template <class T> void join_into(const char* op, NodeRef<T>& context, const NodeRef<T>& ref);
/// Returns the common context of several operands (untracked), empty where none has one.
template <class T, class... Refs>
NodeRef<T> join(const char* op, const NodeRef<T>& first, const Refs&... rest) {
  NodeRef<T> context;
  join_into(op, context, first);
  (join_into(op, context, rest), ...);
  return context;
}

/// A gradient that a kernel adds to in place.
template <class T> struct GradientSum {
  T* data = nullptr;  // null if in-place addition is not allowed; each term then goes through add()
  bool is_new = false;  // no value yet: the first term overwrites it
};

/// Follows a backward, so that ranks send finished gradients meanwhile.
template <class T> class BackwardWatch {
 public:
  virtual ~BackwardWatch() = default;
  /// Backward has passed one more node. Sweep::complete() and take() may be called.
  virtual void passed(Sweep<T>& sweep) = 0;
};

/// One backward pass, with the replays inside it.
template <class T> class Sweep {
 public:
  Sweep(TapeState<T>& state, Gradients<T>& result, bool create_graph, bool retain,
        BackwardWatch<T>* watch = nullptr);

  /// Calls pull() on the nodes top-1 ... floor that have a gradient, in decreasing order. Destroys each
  /// unless the tape is retained, and tells the watch.
  void run(std::size_t top, std::size_t floor);
  /// Runs backward over a recomputed part of the tape, the nodes from `floor` on. again[i] is the
  /// recomputed output `id` + i. It receives that output's gradient.
  void replay(std::size_t id, std::size_t floor, std::vector<Var<T>> again);

  /// Adds g to the gradient of node `id`.
  void add(std::size_t id, Var<T> g);
  /// Checks the gradient that `op` computed for node `id`, sums it to the shape `expected` where that
  /// was broadcast, and adds it.
  void accumulate(const char* op, std::size_t id, Var<T> g, const Shape& expected);
  /// Returns the gradient buffer of node `id`, of this shape, for in-place addition. Its data are null
  /// if the buffer is shared, or if check_finite or fault injection inspects each term.
  [[nodiscard]] GradientSum<T> sum(std::size_t id, const Shape& shape);
  void add_leaf(const Leaf<T>& leaf, std::size_t id, Var<T> g);

  /// Returns the gradient that arrived at node `id`, or an empty Var.
  [[nodiscard]] const Var<T>& gradient(std::size_t id) const;
  /// Returns output `id` as a value that a pullback may use, tracked when the graph is wanted.
  Var<T> output(std::size_t id, const ArrayPtr<T>& value) {
    return {value, graph_ ? state_.ref_of(id) : state_.context()};
  }
  /// Returns whether the gradient of this parameter is final: backward has passed all nodes that read it.
  /// Needs a watch.
  [[nodiscard]] bool complete(const LeafSource<T>& parameter) const;
  /// Takes the gradient of a parameter out of the result; empty if there is none.
  Var<T> take(const LeafSource<T>& parameter) { return result_.take(parameter); }
  [[nodiscard]] bool create_graph() const noexcept { return graph_; }
  [[nodiscard]] TapeState<T>& state() noexcept { return state_; }

 private:
  TapeState<T>& state_;
  Gradients<T>& result_;
  std::vector<Var<T>> slots_;
  bool graph_;
  bool retain_;
  BackwardWatch<T>* watch_;        // or null
  std::size_t passed_ = SIZE_MAX;  // backward has passed the nodes from here on
  std::size_t fault_operand_ = 0;  // for the fault-injection build only
};

// Differentiable operations that backward and Gradients need.
template <class T> Var<T> add(const Var<T>& a, const Var<T>& b);
template <class T> Var<T> sum_to(const Var<T>& x, const Shape& shape);
template <class T> Var<T> broadcast(const Var<T>& x, const Shape& shape);
template <class T> Var<T> scale(const Var<T>& x, T factor);
/// Limits every element to [-limit, limit].
template <class T> Var<T> limit(const Var<T>& x, double limit);

}  // namespace detail
}  // namespace xtape
