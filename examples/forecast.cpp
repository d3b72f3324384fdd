// Forecasts a series with its uncertainty: a Transformer reads 24 hours and says, for each of the next 6,
// values that 10 %, 50 % and 90 % of the truth lie below (quantile regression, Koenker & Bassett 1978).
#include <xtape/xtape.hpp>

#include <cmath>
#include <cstdio>

namespace xp = xtape;

namespace {

constexpr std::size_t kPast = 24, kNext = 6;

// A daily rhythm whose noise is larger in the second half of the day.
std::vector<float> measure(std::size_t hours) {
  xp::RandomStream random(1, 0);
  std::vector<float> series;
  for (std::size_t h = 0; h < hours; ++h) {
    const double angle = 2 * 3.14159265358979 * static_cast<double>(h % 24) / 24;
    const double spread = std::sin(angle) < 0 ? 0.4 : 0.1;
    series.push_back(static_cast<float>(std::sin(angle) + spread * random.normal()));
  }
  return series;
}

// Returns x (windows, 24, 1) and y (windows, 6).
std::pair<xp::Array<float>, xp::Array<float>> windows(const std::vector<float>& series) {
  const std::size_t n = series.size() - kPast - kNext;
  xp::Array<float> x(xp::Shape{n, kPast, 1}), y(xp::Shape{n, kNext});
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t t = 0; t < kPast; ++t) x(i, t, 0) = series[i + t];
    for (std::size_t t = 0; t < kNext; ++t) y(i, t) = series[i + kPast + t];
  }
  return {x, y};
}

}  // namespace

int main() {
  const auto [x, y] = windows(measure(1500));
  const xp::Array<float> quantiles{0.1F, 0.5F, 0.9F};

  xp::Params<float> params({.seed = 1});
  xp::Sequential<float> model(params.scope());
  const xp::SinePositionEncoding<float> positions;
  model.add<xp::Dense>({.units = 16})
      .add([&](const xp::Var<float>& v) { return v + positions(v); }, "positions")
      .add<xp::TransformerEncoder>({.hidden_dim = 16, .num_heads = 2, .intermediate_dim = 32})
      .add<xp::Flatten>({})
      .add<xp::Dense>({.units = kNext * 3})
      .add<xp::Reshape>({.target_shape = {kNext, 3}});

  // A loss of one's own: what is above costs q, what is below costs 1 - q.
  const auto quantile_loss = [&](const xp::Var<float>& prediction, const xp::Array<float>& truth) {
    const auto above = xp::expand_dims(xp::Var<float>(truth), -1) - prediction;
    return xp::mean(xp::maximum(above * quantiles, above * (quantiles - 1.0F)));
  };
  xp::Adam<float> adam({.learning_rate = 2e-3});
  const xp::History history = xp::fit(
      params, adam, model, x, y, {.loss = quantile_loss, .epochs = 12, .validation_split = 0.2});

  // 10 %, 50 % and 90 % of the truth held out should lie below.
  const xp::Array<float> forecast = xp::predict(params, model, x);
  const std::size_t n = x.shape()[0], first = n * 4 / 5;
  double coverage[3] = {};
  for (std::size_t i = first; i < n; ++i) {
    for (std::size_t t = 0; t < kNext; ++t) {
      for (std::size_t q = 0; q < 3; ++q) coverage[q] += y(i, t) < forecast(i, t, q) ? 1 : 0;
    }
  }
  for (double& part : coverage) part /= static_cast<double>((n - first) * kNext);
  std::printf("below the quantiles 0.1, 0.5 and 0.9 lie %.2f, %.2f and %.2f of the truth\n",
              coverage[0], coverage[1], coverage[2]);
  const bool good = std::abs(coverage[0] - 0.1) < 0.07 && std::abs(coverage[2] - 0.9) < 0.07;
  return good && history["val_loss"].back() < history["val_loss"].front() ? 0 : 1;
}
