// The bits of results. Hashes of long rows, functions, layers, optimizers and schedules equal a table that all
// compilers, versions of libraries, instruction sets with fused multiply-adds and numbers of threads share
// (docs/arithmetic.md). Every row of the table of operations has the same bits on all instruction sets and numbers
// of threads. A difference that is meant is a new version of xtape::arithmetic(), and
// XTAPE_WRITE_HASHES=tests/arithmetic/hashes.txt writes the table again.

#include "support/harness.hpp"
#include "support/isa.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>

using namespace xtape;
using namespace xtape::test;

namespace {

/// FNV-1a of what is added. All NaN are one.
class Hash {
 public:
  template <class T> void add(const T* x, std::size_t n) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    for (std::size_t i = 0; i < n; ++i) {
      const auto bits =
          std::bit_cast<Bits>(x[i] == x[i] ? x[i] : std::numeric_limits<T>::quiet_NaN());
      for (std::size_t b = 0; b < sizeof(T); ++b) {
        state_ = (state_ ^ ((bits >> (8 * b)) & 0xFFU)) * 0x100000001B3ULL;
      }
    }
  }
  template <class T> void add(const Array<T>& a) { add(a.data(), a.size()); }
  [[nodiscard]] std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(state_));
    return digits;
  }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

using Hashes = std::map<std::string, std::string>;  // of "type name"

template <class T> class Probe {
 public:
  explicit Probe(Hashes& to) : to_(to) {}

  void add(const std::string& name, const Hash& hash) {
    to_[(sizeof(T) == 4 ? "float " : "double ") + name] = hash.text();
  }

  /// The value of f and the gradient of its squares.
  template <class F> void function(const std::string& name, const Array<T>& in, F f) {
    Tape<T> tape({.training = true, .seed = 3});
    const Var<T> x = tape.watch(in);
    const Var<T> y = f(x);
    const Gradients<T> g = tape.backward(sum(y * y));
    Hash hash;
    hash.add(y.value());
    hash.add(g[x].value());
    add(name, hash);
  }

  /// Rows of the table of operations: values and gradients on all their shapes.
  void rows(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
      Hash hash;
      for (const Shapes& shapes : row.cases) {
        if (row.rejection(shapes)) continue;
        const Arrays inputs = sample(row, shapes);
        Model<T> model(row, inputs);
        const Pass<T> pass = differentiate(model, inputs);
        hash.add(pass.y);
        for (const auto& g : pass.g) {
          if (g) hash.add(*g);
        }
      }
      add("row " + row.name, hash);
    }
  }

  /// Weights after steps with gradients of several sizes.
  void optimizer(const std::string& name, Optimizer<T>& optimizer) {
    Params<T> params({.seed = 1});
    const Dense<T> layer(params.scope() / "l", {.units = 45, .activation = "tanh"});
    const Array<T> x = random_array<T>({37, 67}, 1, -2, 2);
    for (int step = 0; step < 5; ++step) {
      Tape<T> tape;
      const auto loss = mean(layer(tape.input(x)) * T(1 << step));
      optimizer.step(params, tape.backward(loss));
    }
    Hash hash;
    for (const auto& [path, value] : params.values()) hash.add(value);
    add("optimizer " + name, hash);
  }

  void long_rows() {
    const Array<T> x = random_array<T>({37, 67}, 1, -2, 2);
    const Array<T> positive = random_array<T>({37, 67}, 2, 0.1, 3);
    using V = const Var<T>&;
    function("sum", x, [](V v) { return sum(v); });
    function("sum of columns", x, [](V v) { return sum(v, {0}); });
    function("sum of rows", x, [](V v) { return sum(v, {1}); });
    function("variance", x, [](V v) { return variance(v, {1}); });
    function("max", x, [](V v) { return max(v, {1}); });
    function("logsumexp", x, [](V v) { return logsumexp(v, {1}); });
    function("softmax", x, [](V v) { return softmax(v, {-1}); });
    function("log_softmax", x, [](V v) { return log_softmax(v, {-1}); });
    Array<std::int64_t> labels(Shape{37});
    for (std::int64_t i = 0; i < 37; ++i) labels.data()[i] = i;
    function("smoothed cross entropy", x,
             [&](V v) { return sparse_softmax_cross_entropy(v, labels, 0, 0.1); });
    function("log", positive, [](V v) { return log(v); });
    function("divide", x, [&](V v) { return v / Var<T>(positive); });
    function("dropout", x, [](V v) {
      const Dropout<T> layer({.rate = 0.3});
      return layer(v);
    });
    for (const std::size_t n : {std::size_t{45}, std::size_t{300}}) {
      const Array<T> right = random_array<T>({300, n}, 3);
      function("matmul " + std::to_string(n), random_array<T>({70, 300}, 5),
               [&](V v) { return matmul(v, Var<T>(right)); });
    }
    for (const char* name : {"gelu", "elu", "mish", "silu", "softplus", "tanh", "sigmoid"}) {
      function(name, random_array<T>({2000}, 6, -9, 9),
               [&](V v) { return Activation<T>(name)(v); });
    }
    function("layer normalization", x, [](V v) {
      Params<T> params({.seed = 1});
      return LayerNormalization<T>(params.scope() / "l")(v);
    });
    function("RMS normalization", x, [](V v) {
      Params<T> params({.seed = 1});
      return RMSNormalization<T>(params.scope() / "l")(v);
    });
    function("initial weights", x, [](V v) {
      Params<T> params({.seed = 1});
      return Dense<T>(params.scope() / "l", {.units = 33, .activation = "gelu"})(v);
    });
    for (const std::size_t length : {7U, 20U, 31U, 40U, 300U}) {
      for (const int depth : {8, 20}) {
        const std::string name = std::to_string(length) + " of depth " + std::to_string(depth);
        function("attention " + name, random_array<T>({3, length, 32}, 5), [&](V v) {
          Params<T> params({.seed = 1});
          const MultiHeadAttention<T> layer(params.scope() / "m",
                                            {.num_heads = 4, .key_dim = depth, .dropout = 0.1});
          return layer(v, v, {.use_causal_mask = true});
        });
      }
    }
  }

  /// Products whose operands are rounded, with their gradients.
  void rounded_products() {
    set_products(Products::bfloat16);
    using V = const Var<T>&;
    for (const std::size_t n : {std::size_t{45}, std::size_t{300}}) {
      const Array<T> right = random_array<T>({300, n}, 3);
      function("bfloat16 matmul " + std::to_string(n), random_array<T>({70, 300}, 5),
               [&](V v) { return matmul(v, Var<T>(right)); });
    }
    for (const std::size_t length : {7U, 40U, 300U}) {
      function("bfloat16 attention " + std::to_string(length), random_array<T>({3, length, 32}, 5),
               [&](V v) {
                 Params<T> params({.seed = 1});
                 const MultiHeadAttention<T> layer(params.scope() / "m",
                                                   {.num_heads = 4, .key_dim = 20, .dropout = 0.1});
                 return layer(v, v, {.use_causal_mask = true});
               });
    }
    set_products(Products::float32);
  }

  void optimizers() {
    const auto with = [&]<class O>(const std::string& name, O&& o) { optimizer(name, o); };
    with("SGD", SGD<T>({.momentum = 0.9, .nesterov = true, .weight_decay = 0.01}));
    with("Adam", Adam<T>());
    with("Adam, amsgrad", Adam<T>({.amsgrad = true}));
    with("AdamW, clipped", AdamW<T>({}, {.global_clipnorm = 0.1}));
    with("Adamax", Adamax<T>());
    with("Nadam", Nadam<T>());
    with("Lamb", Lamb<T>());
    with("Lion", Lion<T>());
    with("Adagrad", Adagrad<T>());
    with("Adadelta", Adadelta<T>());
    with("RMSprop", RMSprop<T>({.momentum = 0.5, .centered = true}));
    with("Adafactor", Adafactor<T>());
  }

 private:
  Hashes& to_;
};

template <class T> void probe_rows(Hashes& to) {
  Probe<T> p(to);
  for (const auto& rows : {elementwise_rows(), activation_rows(), reduction_rows(), product_rows(),
                           shape_rows(), indexing_rows(), neural_rows(), loss_rows(),
                           further_loss_rows(), layer_rows(), block_rows()}) {
    p.rows(rows);
  }
}

template <class T> void probe(Hashes& to) {
  Probe<T> p(to);
  p.long_rows();
  p.optimizers();
}

void schedule_rates(Hashes& to) {
  using namespace schedules;
  const std::vector<std::pair<std::string, Schedule>> all = {
      {"ExponentialDecay",
       ExponentialDecay{.initial_learning_rate = 0.1, .decay_steps = 7, .decay_rate = 0.9}},
      {"InverseTimeDecay",
       InverseTimeDecay{.initial_learning_rate = 0.1, .decay_steps = 7, .decay_rate = 0.9}},
      {"PolynomialDecay",
       PolynomialDecay{.initial_learning_rate = 0.1, .decay_steps = 30, .power = 1.5}},
      {"CosineDecay", CosineDecay{.initial_learning_rate = 0.1, .decay_steps = 30}},
      {"CosineDecayRestarts",
       CosineDecayRestarts{.initial_learning_rate = 0.1, .first_decay_steps = 9}},
      {"Noam", Noam{}}};
  for (const auto& [name, schedule] : all) {
    Hash hash;
    for (std::int64_t step = 1; step < 40; ++step) {
      const double rate = schedule(step);
      hash.add(&rate, 1);
    }
    to["double schedule " + name] = hash.text();
  }
}

Hashes hashes_of_table() {
  Hashes all;
  probe<float>(all);
  probe<double>(all);
  Probe<float>(all).rounded_products();
  schedule_rates(all);
  all["version"] = std::to_string(arithmetic());
  return all;
}

Hashes hashes_of_rows() {
  Hashes all;
  probe_rows<float>(all);
  probe_rows<double>(all);
  return all;
}

Hashes table() {
  std::ifstream file(golden_path("../arithmetic/hashes.txt"));
  Hashes all;
  for (std::string hash, name; file >> hash && std::getline(file, name);)
    all[name.substr(1)] = hash;
  return all;
}

}  // namespace

namespace {

/// Calls f(description) for every instruction set with fused multiply-adds and for 1, 2 and 4 threads.
template <class F> void everywhere(const F& f) {
  struct Restore {
    std::size_t threads = num_threads();
    ~Restore() {
      set_num_threads(threads);
      kernels::force_isa(std::nullopt);
    }
  } restore;
  for (const kernels::Isa isa : supported_isas()) {
    const std::string name(kernels::name(isa));
    if (name == "baseline") continue;
    kernels::force_isa(isa);
    for (const std::size_t threads : {1U, 2U, 4U}) {
      set_num_threads(threads);
      f("with " + name + " on " + std::to_string(threads) + " threads");
    }
  }
}

void compare(const Hashes& found, const Hashes& expected, const std::string& where) {
  CHECK(found.size() == expected.size());
  for (const auto& [name, hash] : found) {
    const auto known = expected.find(name);
    INFO(name << ' ' << where);
    CHECK(hash == (known == expected.end() ? "not in the table" : known->second));
  }
}

}  // namespace

TEST_CASE("results have the bits of the table on every instruction set and number of threads") {
  if (const char* path = std::getenv("XTAPE_WRITE_HASHES")) {
    std::ofstream file(path);
    for (const auto& [name, hash] : hashes_of_table()) file << hash << ' ' << name << '\n';
  }
  const Hashes expected = table();
  REQUIRE(expected.size() > 90);
  everywhere([&](const std::string& where) { compare(hashes_of_table(), expected, where); });
}

TEST_CASE("every operation has the same bits on every instruction set and number of threads") {
  Hashes first;
  everywhere([&](const std::string& where) {
    const Hashes found = hashes_of_rows();
    if (first.empty()) first = found;
    compare(found, first, where);
  });
}
