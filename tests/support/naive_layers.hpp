#pragma once
// Layers by their definitions, for the twins of the tables: values by path, einsum, softmax.

#include "support/twins.hpp"

namespace xtape::test {

inline Array<double> plus(const Array<double>& a, const Array<double>& b) {
  return zipped(a, b, [](double u, double v) { return u + v; });
}

/// x . kernel + bias over the last `axes` axes.
inline Array<double> naive_dense(const Array<double>& x, const Array<double>& kernel,
                                 const Array<double>* bias, std::size_t axes) {
  std::string kept, contracted, fresh;
  for (std::size_t i = 0; i + axes < x.dimension(); ++i) kept += static_cast<char>('a' + i);
  for (std::size_t i = 0; i < axes; ++i) contracted += static_cast<char>('p' + i);
  for (std::size_t i = 0; i + axes < kernel.dimension(); ++i) fresh += static_cast<char>('t' + i);
  const Array<double> y =
      einstein(kept + contracted + "," + contracted + fresh + "->" + kept + fresh, x, kernel);
  return bias == nullptr ? y : plus(y, *bias);
}

/// Attention over one axis, by the equations of the paper.
inline Array<double> naive_attention(const Array<double>& query, const Array<double>& key,
                                     const Array<double>& value, const Values& v,
                                     const Array<double>& mask, double dropout_rate = 0,
                                     const std::string& path = "mha") {
  const auto project = [&](const Array<double>& x, const std::string& name) {
    return plus(einstein("btd,dhk->bthk", x, v.at(path + "/" + name + "/kernel")),
                v.at(path + "/" + name + "/bias"));
  };
  const Array<double> q = project(query, "query");
  const double scale = 1 / std::sqrt(static_cast<double>(q.shape().back()));
  const Array<double> scores = mapped(einstein("bthk,bshk->bhts", q, project(key, "key")),
                                      [=](double s) { return s * scale; });
  Array<double> weights = soft(scores, {-1}, mask);
  for (std::size_t i = 0; dropout_rate > 0 && i < weights.size(); ++i) {
    const auto words = philox({static_cast<std::uint32_t>(i / 4), 0, 0, 0}, {4, 0});
    const bool dropped = static_cast<double>(words[i % 4] >> 8U) < dropout_rate * 16777216.0;
    weights.data()[i] = dropped ? 0 : weights.data()[i] / (1 - dropout_rate);
  }
  const Array<double> heads = einstein("bhts,bshk->bthk", weights, project(value, "value"));
  return naive_dense(heads, v.at(path + "/attention_output/kernel"),
                     &v.at(path + "/attention_output/bias"), 2);
}

inline Array<double> causal(std::size_t t, std::size_t s) {
  return generate(Shape{t, s}, [](const Index& i) { return i[1] <= i[0] ? 1.0 : 0.0; });
}

/// Positions of (batch, keys) that count; all of a batch's are masked in every third.
inline Array<bool> padding(const Shape& input) {
  const std::size_t length = input[1];
  Array<bool> m(Shape(input.begin(), input.begin() + 2));
  for (std::size_t i = 0; i < m.size(); ++i) m.data()[i] = i / length % 3 != 1 && i % 3 != 2;
  return m;
}

inline Array<double> numbers(const Array<bool>& mask, const Shape& shape) {
  Array<double> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = mask.data()[i] ? 1 : 0;
  return a;
}

}  // namespace xtape::test
