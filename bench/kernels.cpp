// Measures kernels on arrays larger than any cache, against a copy of as many bytes. 100 %copy is the limit of
// memory; a kernel below it is bound by arithmetic or wastes bandwidth.

#include "meter.hpp"

#include "kernels/cross_entropy.hpp"
#include "kernels/dropout.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/memory.hpp"
#include "kernels/normalization.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/reduce.hpp"
#include "kernels/softmax.hpp"

#include <functional>

namespace {

using namespace bench;
using namespace xp::kernels;

constexpr Index kRows = 65536, kWidth = 256, kSize = kRows * kWidth;  // 64 MiB of floats

// Arrays shared by all benchmarks.
struct Arrays {
  xp::Array<float> x = numbers(xp::Shape{kSize}, 1);
  xp::Array<float> g = numbers(xp::Shape{kSize}, 2);
  xp::Array<float> y = numbers(xp::Shape{kSize}, 3);
  xp::Array<float> z = numbers(xp::Shape{kSize}, 4);
  xp::Array<float> row = numbers(xp::Shape{kRows}, 5);
  xp::Array<float> rows = numbers(xp::Shape{kRows}, 6);
  xp::Array<double> mean = xp::Array<double>(xp::Shape{kRows}, 0.1);
  xp::Array<double> rstd = xp::Array<double>(xp::Shape{kRows}, 1.7);
  xp::Array<double> sums = xp::Array<double>(xp::Shape{kRows}, 0.0);
  xp::Array<double> more = xp::Array<double>(xp::Shape{kRows}, 0.0);
  xp::Array<std::int64_t> ids = labels(xp::Shape{kRows}, kRows, 7);
  xp::Array<std::int64_t> classes = labels(xp::Shape{kRows}, kWidth, 8);
  xp::Array<bool> mask = xp::Array<bool>(xp::Shape{kSize}, true);
};

Arrays& arrays() {
  static Arrays a;
  return a;
}

template <int N> Loop<N> matrix(const Index (&columns)[N], const Index (&rows)[N]) {
  Loop<N> loop;
  loop.push(kWidth, columns);
  loop.push(kRows, rows);
  return loop;
}

// `passes`: how many arrays of kSize floats are read or written.
void add(const char* name, double passes, const std::function<void(Arrays&)>& run) {
  benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
    Arrays& a = arrays();
    for (auto _ : state) {
      run(a);
      benchmark::ClobberMemory();
    }
    report_bytes(state, passes * 4.0 * kSize);
  })->Unit(benchmark::kMillisecond);
}

void add_unary(const char* name, Unary f) {
  add(name, 2, [=](Arrays& a) { unary(f, kSize, a.x.data(), a.y.data(), {{1, 1, 1}}); });
}

void register_elementwise() {
  add_unary("negate", "negate");
  add_unary("relu", "relu");
  add_unary("square", "square");
  add_unary("sqrt", "sqrt");
  add_unary("exp", "exp");
  add_unary("log", "log");
  add_unary("sin", "sin");
  add_unary("tanh", "tanh");
  add_unary("sigmoid", "sigmoid");
  add_unary("erf", "erf");
  add_unary("gelu", "gelu");
  add_unary("gelu_slope", {"gelu", 1});
  add_unary("gelu_tanh", "gelu_tanh");
  add_unary("silu", "silu");
  add_unary("silu_slope", {"silu", 1});
  add_unary("softplus", "softplus");
  add("add", 3, [](Arrays& a) { binary(Binary::add, kSize, a.x.data(), a.g.data(), a.y.data()); });
  add("multiply", 3,
      [](Arrays& a) { binary(Binary::multiply, kSize, a.x.data(), a.g.data(), a.y.data()); });
  add("divide", 3,
      [](Arrays& a) { binary(Binary::divide, kSize, a.x.data(), a.g.data(), a.y.data()); });
  add("add_row", 2, [](Arrays& a) {
    const auto loop = matrix<3>({1, 1, 1}, {kWidth, 0, kWidth});
    binary(Binary::add, loop, a.x.data(), a.row.data(), a.y.data());
  });
  add("add_column", 2, [](Arrays& a) {
    const auto loop = matrix<3>({1, 0, 1}, {kWidth, 1, kWidth});
    binary(Binary::add, loop, a.x.data(), a.rows.data(), a.y.data());
  });
  add("select", 3.25, [](Arrays& a) {
    const auto loop = matrix<4>({1, 1, 1, 1}, {kWidth, kWidth, kWidth, kWidth});
    select(loop, a.mask.data(), a.x.data(), a.g.data(), a.y.data());
  });
  add("fill", 1, [](Arrays& a) { fill(kSize, 1.0F, a.y.data()); });
  add("add_to", 3, [](Arrays& a) { add_to(kSize, a.x.data(), a.z.data()); });
  add("scale", 2, [](Arrays& a) { scale(kSize, 0.5F, a.x.data(), a.y.data()); });
}

void register_memory_and_sums() {
  add("transpose", 2, [](Arrays& a) {
    copy(matrix<2>({kRows, 1}, {1, kWidth}), a.x.data(), a.y.data());
  });
  add("transpose_heads", 2, [](Arrays& a) {  // (batch, time, 8, 32) to (batch, 8, time, 32)
    constexpr Index time = 512;
    Loop<2> loop;
    loop.push(32, {1, 1});
    loop.push(time, {kWidth, 32});
    loop.push(8, {32, 32 * time});
    loop.push(kRows / time, {time * kWidth, time * kWidth});
    copy(loop, a.x.data(), a.y.data());
  });
  add("gather", 2,
      [](Arrays& a) { gather(1, kRows, kWidth, a.ids.data(), kRows, a.x.data(), a.y.data()); });
  add("scatter_add", 3, [](Arrays& a) {
    scatter_add(1, kRows, kWidth, a.ids.data(), kRows, a.g.data(), a.z.data());
  });
  const auto reduction = [](const char* name, Reduce op, bool columns) {
    add(name, 1, [=](Arrays& a) {
      Loop<1> kept, reduced;
      (columns ? reduced : kept).push(kRows, {kWidth});
      (columns ? kept : reduced).push(kWidth, {1});
      reduce(op, kept, reduced, a.x.data(), a.y.data());
    });
  };
  reduction("sum_of_rows", Reduce::sum, false);
  reduction("sum_over_rows", Reduce::sum, true);
  reduction("max_of_rows", Reduce::max, false);
  reduction("max_over_rows", Reduce::max, true);
  add("sum", 1, [](Arrays& a) {
    Loop<1> all;
    all.push(kSize, {1});
    reduce(Reduce::sum, Loop<1>{}, all, a.x.data(), a.y.data());
  });
}

void register_neural() {
  add("softmax", 2, [](Arrays& a) {
    for (Index r = 0; r < kRows; ++r) {
      softmax_row(false, kWidth, a.x.data() + r * kWidth, nullptr, 1, a.y.data() + r * kWidth);
    }
  });
  add("softmax_masked", 2.25, [](Arrays& a) {
    for (Index r = 0; r < kRows; ++r) {
      softmax_row(false, kWidth, a.x.data() + r * kWidth, a.mask.data() + r * kWidth, 1,
                  a.y.data() + r * kWidth);
    }
  });
  add("softmax_gradient", 3,
      [](Arrays& a) { softmax_gradient(kRows, kWidth, a.x.data(), a.g.data(), a.y.data()); });
  add("layer_norm", 2, [](Arrays& a) {
    layer_norm(kRows, kWidth, 1e-5, a.x.data(), a.row.data(), a.rows.data(), a.y.data(),
               a.mean.data(), a.rstd.data());
  });
  add("layer_norm_gradient", 3, [](Arrays& a) {
    layer_norm_gradient(kRows, kWidth, a.x.data(), a.row.data(), a.mean.data(), a.rstd.data(),
                        a.g.data(), a.y.data());
  });
  add("layer_norm_parameters", 2, [](Arrays& a) {
    layer_norm_parameters(kRows, kWidth, kWidth, a.x.data(), a.mean.data(), a.rstd.data(),
                          a.g.data(), a.sums.data(), a.more.data());
  });
  add("cross_entropy", 1, [](Arrays& a) {
    cross_entropy(kRows, kWidth, a.x.data(), a.classes.data(), 0.0F, a.y.data(), a.rows.data());
  });
  add("cross_entropy_gradient", 2, [](Arrays& a) {
    cross_entropy_gradient(kRows, kWidth, a.x.data(), a.classes.data(), 0.0F, a.rows.data(),
                           a.row.data(), a.y.data());
  });
  add("smoothed_cross_entropy", 1, [](Arrays& a) {
    cross_entropy(kRows, kWidth, a.x.data(), a.classes.data(), 0.1F, a.y.data(), a.rows.data());
  });
  add("dropout", 2, [](Arrays& a) { dropout(0, kSize, 0.1, 1, 2, a.x.data(), a.y.data()); });
}

void register_optimizers() {
  add("sgd_momentum", 5, [](Arrays& a) {
    sgd(kSize, 1e-3F, 0.9F, false, 0.0F, 1.0F, a.g.data(), a.z.data(), a.y.data(), a.y.data());
  });
  add("adam", 7, [](Arrays& a) {
    static xp::Array<float> second(xp::Shape{kSize}, 0.1F);
    adam(kSize, 1e-3F, 0.1F, 1e-3F, 1e-7F, 0.0F, 1.0F, a.g.data(), a.z.data(), second.data(),
         a.y.data(), a.y.data());
  });
}

// Products with the shapes of attention and Dense, against sgemm on as many threads.
void register_products() {
  struct Product {
    const char* name;
    Index batch, m, n, k;
  };
  for (const Product p : {Product{"gemm/1024", 1, 1024, 1024, 1024},
                          Product{"gemm/tokens_by_width", 1, 2048, 256, 256},
                          Product{"gemm/tokens_by_small_width", 1, 320, 32, 32},
                          Product{"gemm/heads", 256, 64, 64, 32}}) {
    for (const std::size_t threads : {1U, 2U}) {
      const auto run = [=](benchmark::State& state) {
        sgemm_rate();
        const Threads set(threads);
        Arrays& a = arrays();
        Loop<3> batch;
        batch.push(p.batch, {p.m * p.k, p.k * p.n, p.m * p.n});
        for (auto _ : state) {
          xp::products::multiply<float>({{p.m, p.n, p.k, p.k, 1, p.n, 1, p.n},
                                         a.x.data(),
                                         a.g.data(),
                                         xp::products::Accumulate::overwrite,
                                         nullptr,
                                         a.y.data()},
                                        batch);
        }
        report_flops(state, 2.0 * static_cast<double>(p.batch * p.m * p.n * p.k), threads);
      };
      benchmark::RegisterBenchmark(
          (p.name + std::string("/threads:") + std::to_string(threads)).c_str(), run)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  register_elementwise();
  register_memory_and_sums();
  register_neural();
  register_optimizers();
  register_products();
  benchmark::RunSpecifiedBenchmarks();
}
