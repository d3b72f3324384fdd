#pragma once
// Naive arithmetic on arrays, for comparison: every element by its own loops over index vectors.
// Shares nothing with the library but the array type.

#include "support/op_table.hpp"

namespace xtape::test {

using Index = std::vector<std::size_t>;

/// The element at an index. An index with more entries than axes is aligned at the last one, and
/// extents of 1 are repeated: broadcasting.
inline double at(const Array<double>& a, const Index& index) {
  std::size_t flat = 0;
  const std::size_t lead = index.size() - a.dimension();
  for (std::size_t i = 0; i < a.dimension(); ++i) {
    const std::size_t k = a.shape()[i] == 1 ? 0 : index[lead + i];
    flat = flat * a.shape()[i] + k;
  }
  return a.data()[flat];
}

/// Every index of a shape, in row-major order.
template <class F> void each_index(const Shape& shape, F f) {
  Index index(shape.size(), 0);
  const std::size_t n = size_of(shape);
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t rest = k;
    for (std::size_t i = shape.size(); i-- > 0;) {
      index[i] = rest % shape[i];
      rest /= shape[i];
    }
    f(static_cast<const Index&>(index));
  }
}

/// The array of this shape with the element f(index).
template <class F> Array<double> generate(const Shape& shape, F f) {
  Array<double> y(shape);
  std::size_t k = 0;
  each_index(shape, [&](const Index& index) { y.data()[k++] = f(index); });
  return y;
}

inline Shape shape_of(const Index& extents) { return {extents.begin(), extents.end()}; }
inline Index extents_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

inline Shape broadcast_shape(const Shape& a, const Shape& b) {
  Index out(std::max(a.size(), b.size()), 1);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t u = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::size_t v = i < b.size() ? b[b.size() - 1 - i] : 1;
    out[out.size() - 1 - i] = u == 1 ? v : u;
  }
  return shape_of(out);
}

template <class F> Array<double> mapped(const Array<double>& a, F f) {
  return generate(a.shape(), [&](const Index& i) { return f(at(a, i)); });
}
template <class F> Array<double> zipped(const Array<double>& a, const Array<double>& b, F f) {
  return generate(broadcast_shape(a.shape(), b.shape()),
                  [&](const Index& i) { return f(at(a, i), at(b, i)); });
}

/// Twins of elementwise operations from functions of numbers.
template <class F> Twin each(F f) {
  return [f](const Arrays& x, const Values&) { return mapped(x[0], f); };
}
template <class F> Twin pairwise(F f) {
  return [f](const Arrays& x, const Values&) { return zipped(x[0], x[1], f); };
}
/// A twin that needs no parameters.
template <class F> Twin plain(F f) {
  return [f](const Arrays& x, const Values&) { return f(x); };
}

// Twins by an expression of the elements v, or u and v, or of the operands x.
#define EACH(...) each([=](double v) { return __VA_ARGS__; })
#define PAIR(...) pairwise([=](double u, double v) { return __VA_ARGS__; })
#define TWIN(...) plain([=](const Arrays& x) { return __VA_ARGS__; })

/// The twin y[i] = x[from(i)].
template <class S, class W> Twin moved(S shape, W from) {
  return TWIN(generate(shape(x[0].shape()),
                       [&](const Index& i) { return at(x[0], from(i, x[0].shape())); }));
}
inline Shape identity(const Shape& s) { return s; }

/// f(the elements reduced together) over some axes.
template <class F>
Array<double> reduced(const Array<double>& x, const Axes& axes, bool keep_dims, F f) {
  std::vector<bool> gone(x.dimension(), false);
  for (const int axis : axes) {
    gone[static_cast<std::size_t>(axis < 0 ? axis + static_cast<int>(x.dimension()) : axis)] = true;
  }
  Index kept, dropped, ones;
  for (std::size_t i = 0; i < gone.size(); ++i) {
    const std::size_t extent = x.shape()[i];
    kept.push_back(gone[i] ? 1 : extent);
    dropped.push_back(gone[i] ? extent : 1);
    if (!gone[i]) ones.push_back(extent);
  }
  Array<double> y = generate(shape_of(kept), [&](const Index& i) {
    std::vector<double> together;
    each_index(shape_of(dropped), [&](const Index& j) {
      Index both(i.size());
      for (std::size_t k = 0; k < i.size(); ++k) both[k] = i[k] + j[k];
      together.push_back(at(x, both));
    });
    return f(together);
  });
  if (!keep_dims) y.reshape(shape_of(ones));
  return y;
}

inline Axes every_axis(const Array<double>& x) {
  Axes axes;
  for (std::size_t i = 0; i < x.dimension(); ++i) axes.push_back(static_cast<int>(i));
  return axes;
}

inline double total(const std::vector<double>& v) {
  double s = 0;
  for (const double x : v) s += x;
  return s;
}

inline double mean_of(const std::vector<double>& v) {
  return total(v) / static_cast<double>(v.size());
}
inline double logistic(double v) { return 1 / (1 + std::exp(-v)); }

/// 1 where the mask is true, 0 elsewhere.
inline Array<double> numbers(const Array<bool>& mask) {
  Array<double> a(mask.shape());
  for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = mask.data()[i] ? 1 : 0;
  return a;
}

/// Softmax by its definition, after masking; rows with nothing to take part are zeros.
inline Array<double> soft(const Array<double>& x, const Axes& axes,
                          const Array<double>& mask = Array<double>(1.0)) {
  const Array<double> e =
      zipped(x, mask, [](double v, double m) { return m != 0 ? std::exp(v) : 0; });
  const Array<double> sum = reduced(e, axes, true, total);
  return zipped(e, sum, [](double u, double v) { return v == 0 ? 0 : u / v; });
}

/// Einstein summation by a loop over all labels; extents of 1 broadcast.
inline Array<double> einstein(const std::string& equation, const Array<double>& a,
                              const Array<double>& b) {
  const std::string la = equation.substr(0, equation.find(','));
  const std::string lb = equation.substr(la.size() + 1, equation.find("->") - la.size() - 1);
  const std::string lo = equation.substr(equation.find("->") + 2);
  std::string rest;
  std::map<char, std::size_t> extent;
  const auto see = [&](const std::string& labels, const Array<double>& x) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      std::size_t& e = extent.try_emplace(labels[i], 1).first->second;
      if (x.shape()[i] != 1) e = x.shape()[i];
    }
  };
  see(la, a);
  see(lb, b);
  Index out, summed;
  for (const char c : lo) out.push_back(extent[c]);
  for (const auto& [c, e] : extent) {
    if (lo.find(c) == std::string::npos) {
      rest += c;
      summed.push_back(e);
    }
  }
  return generate(shape_of(out), [&](const Index& i) {
    double sum = 0;
    each_index(shape_of(summed), [&](const Index& j) {
      const auto pick = [&](const std::string& labels) {
        Index index;
        for (const char c : labels) {
          const std::size_t k = lo.find(c);
          index.push_back(k != std::string::npos ? i[k] : j[rest.find(c)]);
        }
        return index;
      };
      sum += at(a, pick(la)) * at(b, pick(lb));
    });
    return sum;
  });
}

}  // namespace xtape::test
