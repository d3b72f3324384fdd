#include "ops/projections.hpp"

#include "array/shapes.hpp"
#include "ops/contract.hpp"
#include "products/gemm.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/record.hpp>

#include <array>

namespace xtape::detail {
namespace {

using products::Accumulate;

constexpr std::size_t kMost = 4;  // projections in one operation

/// Letters: a, b, ... for the axes kept, A, B, ... contracted; the new ones follow these.
template <class T>
Labels labels_of(const Var<T>& x, std::size_t axes, const Var<T>& kernel) {
  std::string kept, contracted, fresh;
  for (std::size_t i = 0; i + axes < x.rank(); ++i) kept += static_cast<char>('a' + i);
  for (std::size_t i = 0; i < axes; ++i) contracted += static_cast<char>('A' + i);
  for (std::size_t i = axes; i < kernel.rank(); ++i) fresh += static_cast<char>('A' + i);
  return {kept + contracted, contracted + fresh, kept + fresh};
}

template <class T>
Shape shape_of(const Var<T>& x, std::size_t axes, const Var<T>& kernel) {
  Shape shape(x.rank() + kernel.rank() - 2 * axes);
  std::copy_n(x.shape().begin(), x.rank() - axes, shape.begin());
  std::copy(kernel.shape().begin() + static_cast<std::ptrdiff_t>(axes), kernel.shape().end(),
            shape.begin() + static_cast<std::ptrdiff_t>(x.rank() - axes));
  return shape;
}

/// One projection as the operation for any labels, which is its own gradient.
template <class T>
Var<T> by_labels(const char* op, const Var<T>& x, std::size_t axes, const Projection<T>& p) {
  return contract(op, x, p.kernel, labels_of(x, axes, p.kernel), shape_of(x, axes, p.kernel),
                  p.bias.has_value() ? &p.bias : nullptr);
}

/// Projections, one or together: gradients are products of x, kernels and results as matrices.
template <class T>
class ProjectionNode final : public Node<T> {
 public:
  ProjectionNode(const char* op, const Var<T>& x, std::size_t axes, Index inputs,
                 std::vector<Projection<T>> projections)
      : Node<T>(op),
        x_(x),
        axes_(axes),
        inputs_(inputs),
        rows_(static_cast<Index>(x.size()) / inputs),
        projections_(std::move(projections)) {
    this->outputs = static_cast<std::uint32_t>(projections_.size());
  }

  // Of several projections the last goes first, as if they were operations after each other.
  void pull(Sweep<T>& sweep, std::size_t id) override {
    Parts parts;
    for (std::size_t i = projections_.size(); i-- > 0;) {
      if (sweep.gradient(id + i).has_value()) parts.add(projections_[i], sweep.gradient(id + i));
    }
    if (sweep.plain()) {
      fast(sweep, parts);
    } else {
      composed(sweep, parts);
    }
  }

  void describe(NodeDescription& out) const override {
    const auto add = [&out](const Var<T>& x) {
      if (x.has_value() && x.tracked()) out.inputs.push_back({x.node_ref().node, x.shape()});
    };
    add(x_);
    for (const Projection<T>& p : projections_) {
      add(p.kernel);
      add(p.bias);
      out.outputs.push_back(shape_of(x_, axes_, p.kernel));
    }
  }

 private:
  struct Part {
    const Projection<T>* to;
    const Var<T>* g;
    [[nodiscard]] bool kernel() const { return to->kernel.tracked(); }
    [[nodiscard]] bool bias() const { return to->bias.has_value() && to->bias.tracked(); }
  };
  struct Parts {
    std::array<Part, kMost> all;
    std::size_t count = 0;
    void add(const Projection<T>& p, const Var<T>& g) { all[count++] = {&p, &g}; }
    [[nodiscard]] auto begin() const { return all.begin(); }
    [[nodiscard]] auto end() const { return all.begin() + count; }
  };

  void composed(Sweep<T>& sweep, const Parts& parts) {
    for (const Part& part : parts) {
      const auto& [kernel, bias] = *part.to;
      const Labels l = labels_of(x_, axes_, kernel);
      if (x_.tracked()) {
        sweep.accumulate(this->name, x_.node_ref().node,
                         contract(this->name, *part.g, kernel, {l.out, l.b, l.a}, x_.shape()),
                         x_.shape());
      }
      if (part.kernel()) {
        sweep.accumulate(this->name, kernel.node_ref().node,
                         contract(this->name, x_, *part.g, {l.a, l.out, l.b}, kernel.shape()),
                         kernel.shape());
      }
      if (part.bias()) sweep.accumulate(this->name, bias.node_ref().node, *part.g, bias.shape());
    }
  }

  void fast(Sweep<T>& sweep, const Parts& parts) {
    if (x_.tracked()) to_x(sweep, parts);
    // Where both are wanted they are made together.
    std::array<products::Product<T>, kMost> products;
    std::array<ColumnSums<T>, kMost> sums;
    std::array<Made, 2 * kMost> made;
    std::size_t kernels = 0;
    std::size_t biases = 0;
    std::size_t count = 0;
    for (const Part& part : parts) {
      const auto& [kernel, bias] = *part.to;
      const Index n = units(*part.to);
      if (part.kernel()) {
        Made& m = made[count++] = {kernel.node_ref().node, ArrayPtr<T>(kernel.shape())};
        products[kernels++] = {{inputs_, n, rows_, 1, inputs_, n, 1, n},
                               x_.data(),
                               part.g->data(),
                               Accumulate::overwrite,
                               nullptr,
                               m.gradient.mutate().data()};
      }
      if (part.bias()) {
        Made& m = made[count++] = {bias.node_ref().node, ArrayPtr<T>(bias.shape())};
        sums[biases++] = {n, n, part.g->data(), m.gradient.mutate().data()};
      }
    }
    const std::span<const products::Product<T>> all_products(products.data(), kernels);
    const std::span<const ColumnSums<T>> all_sums(sums.data(), biases);
    if (!products::multiply_split_k(all_products, all_sums)) {
      for (const products::Product<T>& p : all_products) multiply(p);
      for (const ColumnSums<T>& s : all_sums) add_up(s);
    }
    for (std::size_t i = 0; i < count; ++i) {
      sweep.seed(made[i].node, Var<T>(std::move(made[i].gradient), sweep.state().context()));
    }
  }

  void to_x(Sweep<T>& sweep, const Parts& parts) {
    const std::size_t node = x_.node_ref().node;
    // Several are added to what is there in their order, or to the first.
    T* sum = sweep.to_add_to(node);
    const bool adds = parts.count > 1 && (sum != nullptr || !sweep.gradient(node).has_value());
    ArrayPtr<T> made;
    if (sum == nullptr || !adds) made = ArrayPtr<T>(x_.shape());
    const auto give = [&] { sweep.seed(node, Var<T>(made, sweep.state().context())); };
    std::array<products::Product<T>, kMost> products;
    std::size_t count = 0;
    for (const Part& part : parts) {
      const Index n = units(*part.to);
      products[count] = {{rows_, inputs_, n, n, 1, 1, n, inputs_},
                         part.g->data(),
                         part.to->kernel.data(),
                         Accumulate::overwrite,
                         nullptr,
                         made ? made.mutate().data() : sum,
                         adds && (count > 0 || !made)};
      ++count;
    }
    if (adds && products::multiply_sharing_rows<T>(std::span(products.data(), count))) {
      if (made) give();
      return;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (!made) made = ArrayPtr<T>(x_.shape());
      products[i].c = made.mutate().data();
      multiply(products[i]);
      give();
      made = {};
    }
  }

  static void multiply(const products::Product<T>& p) { products::multiply(p); }
  void add_up(const ColumnSums<T>& s) const {
    kernels::Loop<1> kept;
    kernels::Loop<1> reduced;
    kept.push(s.n, {1});
    reduced.push(rows_, {s.step});
    parallel_reduce(kernels::Reduce::sum, kept, reduced, s.x, s.y);
  }
  [[nodiscard]] Index units(const Projection<T>& p) const {
    return static_cast<Index>(p.kernel.size()) / inputs_;
  }

  struct Made {
    std::size_t node = 0;
    ArrayPtr<T> gradient;
  };

  Var<T> x_;
  std::size_t axes_;
  Index inputs_, rows_;
  std::vector<Projection<T>> projections_;
};

/// The results, where all are computed together or there is one; else nothing.
template <class T>
std::vector<Result<T>> values_of(const Var<T>& x, std::size_t axes, Index inputs,
                                 const std::vector<Projection<T>>& projections) {
  std::array<products::Product<T>, kMost> products;
  std::vector<Result<T>> y;
  y.reserve(projections.size());
  const Index rows = static_cast<Index>(x.size()) / inputs;
  for (const Projection<T>& p : projections) {
    const Index n = static_cast<Index>(p.kernel.size()) / inputs;
    y.emplace_back(shape_of(x, axes, p.kernel));
    const bool bias = p.bias.has_value();
    products[y.size() - 1] = {{rows, n, inputs, inputs, 1, n, 1, n},
                              x.data(),
                              p.kernel.data(),
                              bias ? Accumulate::bias : Accumulate::overwrite,
                              bias ? p.bias.data() : nullptr,
                              y.back().data()};
  }
  if (y.size() == 1) {
    const products::Product<T>& p = products[0];
    products::multiply(p);
  } else if (!products::multiply_sharing_rows<T>(std::span(products.data(), y.size()))) {
    y.clear();
  }
  return y;
}

}  // namespace

template <class T>
std::vector<Var<T>> project(const char* op, const Var<T>& x, std::size_t axes,
                            std::vector<Projection<T>> projections) {
  std::vector<Var<T>> values;
  values.reserve(projections.size());
  NodeRef<T> ref = join(op, x.node_ref());
  bool tracked = x.tracked();
  bool empty = x.size() == 0;
  for (const Projection<T>& p : projections) {
    ref = join(op, ref, p.kernel.node_ref());
    if (p.bias.has_value()) ref = join(op, ref, p.bias.node_ref());
    tracked = tracked || p.kernel.tracked() || (p.bias.has_value() && p.bias.tracked());
    empty = empty || p.kernel.size() == 0;
  }
  const bool records = tracked && ref.state->recording();
  const bool checks = ref.state != nullptr && ref.state->check_finite;
  if (empty || checks || (tracked && !records)) {
    for (const Projection<T>& p : projections) values.push_back(by_labels(op, x, axes, p));
    return values;
  }
  Index inputs = 1;
  for (std::size_t i = x.rank() - axes; i < x.rank(); ++i) inputs *= extent(x.shape(), i);
  std::vector<Result<T>> y;
  if (projections.size() <= kMost) y = values_of(x, axes, inputs, projections);
  if (y.empty()) {
    for (Projection<T>& p : projections) {
      values.push_back(project<T>(op, x, axes, {std::move(p)})[0]);
    }
    return values;
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (records && i == 0) {
      ref = ref.state->template append<ProjectionNode<T>>(op, x, axes, inputs,
                                                          std::move(projections));
    } else if (records) {
      ref = ref.state->template append<Stub<T>>(op);
    }
    values.emplace_back(std::move(y[i].pointer()), ref);
  }
  return values;
}

#define XTAPE_INSTANTIATE(T)                                                    \
  template std::vector<Var<T>> project(const char*, const Var<T>&, std::size_t, \
                                       std::vector<Projection<T>>);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::detail
