#include "ops/projections.hpp"

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "ops/contract.hpp"
#include "ops/products_of.hpp"
#include "products/gemm.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/record.hpp>

#include <array>

namespace xtape::detail {
namespace {

using products::Accumulate;

constexpr std::size_t kMost = 4;  // projections in one operation

/// Returns labels a, b, ... for the axes that x keeps, and A, B, ... for the axes of the kernel, of
/// which the first are contracted.
template <class T> Labels labels_of(const Var<T>& x, std::size_t axes, const Var<T>& kernel) {
  std::string kept, contracted, fresh;
  for (std::size_t i = 0; i + axes < x.rank(); ++i) kept += static_cast<char>('a' + i);
  for (std::size_t i = 0; i < axes; ++i) contracted += static_cast<char>('A' + i);
  for (std::size_t i = axes; i < kernel.rank(); ++i) fresh += static_cast<char>('A' + i);
  return {kept + contracted, contracted + fresh, kept + fresh};
}

template <class T> Shape shape_of(const Var<T>& x, std::size_t axes, const Var<T>& kernel) {
  Shape shape(x.rank() + kernel.rank() - 2 * axes);
  std::copy_n(x.shape().begin(), x.rank() - axes, shape.begin());
  std::copy(kernel.shape().begin() + static_cast<std::ptrdiff_t>(axes), kernel.shape().end(),
            shape.begin() + static_cast<std::ptrdiff_t>(x.rank() - axes));
  return shape;
}

/// Returns one projection as an operation on labels, whose gradient is of its kind again.
template <class T>
Var<T> by_labels(const char* op, const Var<T>& x, std::size_t axes, const Var<T>& kernel,
                 const Var<T>& bias) {
  return contract(op, x, kernel, labels_of(x, axes, kernel), shape_of(x, axes, kernel),
                  bias.has_value() ? &bias : nullptr);
}

/// The gradients of projections as products of matrices: x (rows, width), and for each projection a
/// kernel (width, units) and a gradient g (rows, units). The inputs are x, then a kernel and a bias for
/// each projection.
template <class T> class ProjectionsBackward {
 public:
  /// Takes the last projection first, as if they were operations one after another.
  ProjectionsBackward(FusedBackward<T>& backward, std::size_t projections, Index width,
                      Products rounding)
      : backward_(backward),
        rounding_(rounding),
        width_(width),
        rows_(static_cast<Index>(backward.input(0).size()) / width) {
    for (std::size_t i = projections; i-- > 0;) {
      const std::size_t kernel = 1 + 2 * i;
      const Array<T>* g = backward.grad_output(i);
      const Index units = static_cast<Index>(backward.input(kernel).size()) / width;
      if (g != nullptr) parts_[count_++] = {kernel, kernel + 1, g->data(), units};
    }
  }

  /// Adds dx += g kernel^T for each projection. The products are rounded, then added one by one: all in
  /// one job where that is faster.
  void to_x() {
    const Shape& shape = backward_.input(0).shape();
    const GradientSum<T> sum = count_ > 1 ? backward_.sum(0) : GradientSum<T>();
    std::array<products::Product<T>, kMost> products;
    for (std::size_t i = 0; i < count_; ++i) {
      const auto& [kernel, bias, g, n] = parts_[i];
      products[i] = {{rows_, width_, n, n, 1, 1, n, width_},
                     g,
                     backward_.input(kernel).data(),
                     Accumulate::overwrite,
                     nullptr,
                     sum.data,
                     i > 0 || !sum.is_new,
                     rounding_};
    }
    const std::span<const products::Product<T>> all(products.data(), count_);
    if (sum.data != nullptr && products::multiply_sharing_rows<T>(all)) return;
    for (std::size_t i = 0; i < count_; ++i) {
      if (i == 0 && sum.is_new) {
        products::multiply(products[i]);
        continue;
      }
      Result<T> dx(shape);
      products[i].c = dx.data();
      products::multiply(products[i]);
      backward_.add(0, std::move(dx));
    }
  }

  /// Adds dkernel += x^T g and dbias += sum of the rows of g, made in one job where that is faster.
  void to_weights() {
    struct Made {
      std::size_t input;
      Result<T> gradient;
    };
    std::vector<Made> made;
    made.reserve(2 * count_);
    const auto make = [&](std::size_t input) {
      made.push_back({input, Result<T>(backward_.input(input).shape())});
      return made.back().gradient.data();
    };
    std::array<products::Product<T>, kMost> products;
    std::array<ColumnSums<T>, kMost> sums;
    std::size_t kernels = 0;
    std::size_t biases = 0;
    const T* x = backward_.input(0).data();
    for (std::size_t i = 0; i < count_; ++i) {
      const auto& [kernel, bias, g, n] = parts_[i];
      if (backward_.needs_grad(kernel)) {
        products[kernels++] = {{width_, n, rows_, 1, width_, n, 1, n},
                               x,
                               g,
                               Accumulate::overwrite,
                               nullptr,
                               make(kernel),
                               false,
                               rounding_};
      }
      if (backward_.needs_grad(bias)) sums[biases++] = {n, n, g, make(bias)};
    }
    const std::span<const products::Product<T>> all_products(products.data(), kernels);
    const std::span<const ColumnSums<T>> all_sums(sums.data(), biases);
    if (!products::multiply_split_k(all_products, all_sums)) {
      for (const products::Product<T>& p : all_products) products::multiply(p);
      for (const ColumnSums<T>& s : all_sums) add_up(s);
    }
    for (Made& m : made) backward_.add(m.input, std::move(m.gradient));
  }

 private:
  void add_up(const ColumnSums<T>& s) const {
    kernels::Loop<1> kept;
    kernels::Loop<1> reduced;
    kept.push(s.n, {1});
    reduced.push(rows_, {s.step});
    parallel_reduce(kernels::Reduce::sum, kept, reduced, s.x, s.y);
  }

  struct Part {
    std::size_t kernel, bias;  // numbers of the inputs
    const T* g;
    Index units;
  };
  FusedBackward<T>& backward_;
  Products rounding_;
  Index width_, rows_;
  std::array<Part, kMost> parts_;
  std::size_t count_ = 0;
};

/// Returns the results where they are products of matrices, and several of them in one job; else
/// nothing.
template <class T>
std::vector<Result<T>> values_of(const Var<T>& x, std::size_t axes, Index width,
                                 const std::vector<Projection<T>>& projections, Products rounding) {
  std::vector<Result<T>> y;
  if (x.size() == 0 || projections.size() > kMost) return y;
  y.reserve(projections.size());
  std::array<products::Product<T>, kMost> products;
  const Index rows = static_cast<Index>(x.size()) / width;
  for (const Projection<T>& p : projections) {
    if (p.kernel.size() == 0) return {};
    const Index n = static_cast<Index>(p.kernel.size()) / width;
    y.emplace_back(shape_of(x, axes, p.kernel));
    const bool bias = p.bias.has_value();
    products[y.size() - 1] = {{rows, n, width, width, 1, n, 1, n},
                              x.data(),
                              p.kernel.data(),
                              bias ? Accumulate::bias : Accumulate::overwrite,
                              bias ? p.bias.data() : nullptr,
                              y.back().data(),
                              false,
                              rounding};
  }
  if (y.size() == 1) {
    products::multiply(products[0]);
  } else if (!products::multiply_sharing_rows<T>(std::span(products.data(), y.size()))) {
    y.clear();
  }
  return y;
}

}  // namespace

template <class T>
std::vector<Var<T>> project(const char* op, const Var<T>& x, std::size_t axes,
                            std::vector<Projection<T>> projections) {
  Index width = 1;
  for (std::size_t i = x.rank() - axes; i < x.rank(); ++i) width *= extent(x.shape(), i);
  const Var<T>* context = &x;
  for (const Projection<T>& p : projections) {
    if (context->node_ref().state == nullptr) context = &p.kernel;
  }
  const Products rounding = products_of(*context);
  std::vector<Result<T>> y = values_of(x, axes, width, projections, rounding);
  if (y.empty()) {
    std::vector<Var<T>> values;
    for (const Projection<T>& p : projections) {
      values.push_back(projections.size() == 1 ? by_labels(op, x, axes, p.kernel, p.bias)
                                               : project<T>(op, x, axes, {p})[0]);
    }
    return values;
  }
  const std::size_t count = projections.size();
  std::vector<Var<T>> inputs;
  inputs.reserve(1 + 2 * count);
  inputs.push_back(x);
  for (Projection<T>& p : projections) {
    inputs.push_back(std::move(p.kernel));
    inputs.push_back(std::move(p.bias));
  }
  const auto backward = [count, width, rounding](FusedBackward<T>& b) {
    ProjectionsBackward<T> parts(b, count, width, rounding);
    if (b.needs_grad(0)) parts.to_x();
    parts.to_weights();
  };
  const auto composed = [op, axes](const std::vector<Var<T>>& in) {
    std::vector<Var<T>> values;
    for (std::size_t i = 1; i < in.size(); i += 2) {
      values.push_back(by_labels(op, in[0], axes, in[i], in[i + 1]));
    }
    return values;
  };
  return record_fused(op, std::move(y), backward, composed, inputs);
}
XTAPE_FOR_REALS(project);

}  // namespace xtape::detail
