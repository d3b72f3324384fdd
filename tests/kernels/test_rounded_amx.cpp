// Products by tiles with a model of AMX, against the definition in docs/arithmetic.md, to the bit.

#include "kernels/rounded_tile.hpp"
#include "support/rounded_kernels.hpp"
#include "support/rounded_sum.hpp"

#include <limits>

using namespace xtape;
using kernels::Accumulate;
using kernels::GemmBlock;
using kernels::GemmTable;
using kernels::Index;
using Floats = std::vector<float>;

namespace {

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

/// Calls f for the products by tiles with each way of packing.
template <class F> void on_each_model(const F& f) {
  {
    INFO("packing one by one");
    f(test::tile_model());
  }
  INFO("packing in vectors");
  if (const auto* table = test::tile_model_with_vectors()) f(*table);
}

/// A product of an m x k and a k x n matrix, which may be stored transposed.
struct Problem {
  Index m, n, k;
  bool a_transposed = false, b_transposed = false;
  Floats a, b, before, bias;
  Accumulate accumulate = Accumulate::add;

  Problem(Index rows, Index columns, Index terms, int kind)
      : m(rows),
        n(columns),
        k(terms),
        a(test::rounded_numbers(m * k, 1, kind)),
        b(test::rounded_numbers(k * n, 2, kind)),
        before(test::rounded_numbers(m * n, 3, kind)),
        bias(test::rounded_numbers(n, 4, kind)) {}

  [[nodiscard]] Index a_row() const { return k == 0 ? 0 : a_transposed ? 1 : k; }
  [[nodiscard]] Index a_column() const { return k == 0 ? 0 : a_transposed ? m : 1; }
  [[nodiscard]] Index b_row() const { return k == 0 ? 0 : b_transposed ? 1 : n; }
  [[nodiscard]] Index b_column() const { return k == 0 ? 0 : b_transposed ? k : 1; }

  [[nodiscard]] GemmBlock<float> block(Floats& c) const {
    GemmBlock<float> s{m, n, k, a.data(), a_row(), a_column()};
    s.accumulate = accumulate;
    s.bias = bias.data();
    s.c = c.data();
    s.c_row = n;
    return s;
  }
  [[nodiscard]] Floats by_definition() const {
    const kernels::FlushDenormals flushing;
    Floats c = before;
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        float& to = c[size(i * n + j)];
        const float start = accumulate == Accumulate::overwrite ? 0.0F
                            : accumulate == Accumulate::bias    ? bias[size(j)]
                                                                : to;
        // Without terms kernels add one group of zeros.
        to = k == 0 ? test::rounded_sum(start, 1, &kZero, 1, &kZero, 1)
                    : test::rounded_sum(start, k, a.data() + i * a_row(), a_column(),
                                        b.data() + j * b_column(), b_row());
      }
    }
    return c;
  }
  /// Returns B packed, column-major or row-major ones in two parts each.
  [[nodiscard]] Floats packed(const GemmTable<float>& table) const {
    Floats to(size(table.packed_size(k, n)), std::numeric_limits<float>::quiet_NaN());
    const Index half = n / 64 * 32;
    const Index middle = k / 64 * 32;
    if (b_transposed) {
      table.pack(k, n, half, n, b.data(), b_row(), b_column(), to.data());
      table.pack(k, n, 0, half, b.data(), b_row(), b_column(), to.data());
    } else {
      table.pack_rows(k, n, middle, k, b.data(), b_row(), to.data());
      table.pack_rows(k, n, 0, middle, b.data(), b_row(), to.data());
    }
    return to;
  }

 private:
  static constexpr float kZero = 0;
};

}  // namespace

TEST_CASE("products by tiles have the defined bits: forms, sizes around a tile's, all numbers",
          "[kernels]") {
  struct Form {
    const char* name;
    bool a_transposed, b_transposed;
  };
  const Form form = GENERATE(Form{"NN", false, false}, Form{"NT", false, true},
                             Form{"TN", true, false}, Form{"TT", true, true});
  CAPTURE(form.name);
  std::size_t results = 0;
  for (const int kind : {0, 1, 2}) {
    for (const Index k : {0, 1, 2, 31, 32, 33, 63, 95, 256, 257, 300}) {
      for (const Index m : {1, 12, 16, 17, 31, 33, 48, 53}) {
        for (const Index n : {1, 15, 16, 17, 32, 33, 49}) {
          Problem p(m, n, k, kind);
          p.a_transposed = form.a_transposed;
          p.b_transposed = form.b_transposed;
          p.accumulate = (m + k) % 3 == 0   ? Accumulate::add
                         : (m + k) % 3 == 1 ? Accumulate::bias
                                            : Accumulate::overwrite;
          const Floats expected = p.by_definition();
          on_each_model([&](const GemmTable<float>& table) {
            CAPTURE(kind, m, n, k);
            Floats c = p.before;
            table.small(p.block(c), p.b.data(), p.b_row(), p.b_column());
            if (test::differing(c, expected) != 0) FAIL_CHECK("B packed on the stack");
            const Floats packed = p.packed(table);
            c = p.before;
            GemmBlock<float> block = p.block(c);
            block.b = packed.data();
            table.multiply(block);
            if (test::differing(c, expected) != 0) FAIL_CHECK("B packed before");
            results += c.size();
          });
        }
      }
    }
  }
  CHECK(results >= 1'000'000);
}

TEST_CASE("no cut of a product by tiles changes a bit", "[kernels]") {
  constexpr Index kM = 53, kN = 83, kK = 200;
  const Problem p(kM, kN, kK, 1);
  const Floats expected = p.by_definition();
  on_each_model([&](const GemmTable<float>& table) {
    const Floats packed = p.packed(table);
    for (Index row = 0; row <= kM; ++row) {
      const Index column = row % 3 * 32;
      const Index term = row % 7 * 32;
      CAPTURE(row, column, term);
      Floats c = p.before;
      const auto part = [&](Index i, Index rows, Index j, Index columns, Index from, Index terms) {
        if (rows == 0 || columns == 0 || terms == 0) return;
        GemmBlock<float> block = p.block(c);
        block.m = rows;
        block.n = columns;
        block.k = terms;
        block.a += i * block.a_row + from;
        block.b = packed.data() + table.packed_size(kK, j);
        block.c += i * kN + j;
        block.b_rows = kK;
        block.from_k = from;
        table.multiply(block);
      };
      for (const bool later : {false, true}) {
        for (const bool below : {false, true}) {
          for (const bool right : {false, true}) {
            part(below ? row : 0, below ? kM - row : row, right ? column : 0,
                 right ? kN - column : column, later ? term : 0, later ? kK - term : term);
          }
        }
      }
      CHECK(test::differing(c, expected) == 0);
    }
  });
}

TEST_CASE("terms of a packed B behind the last one are not read", "[kernels]") {
  constexpr Index kM = 20, kN = 45, kAll = 96;
  const auto check = [&](const GemmTable<float>& table) {
    for (const Index k : {1, 2, 31, 32, 33, 37, 62, 63}) {
      CAPTURE(k);
      Problem all(kM, kN, kAll, 0);
      Problem used(kM, kN, k, 0);
      for (Index p = 0; p < kAll; ++p) {
        for (Index j = 0; j < kN; ++j) {
          float& value = all.b[size(p * kN + j)];
          if (p >= k) {
            value = p % 2 == 0 ? std::numeric_limits<float>::infinity()
                               : std::numeric_limits<float>::quiet_NaN();
          } else {
            value = used.b[size(p * kN + j)];
          }
        }
      }
      const Floats packed = all.packed(table);
      Floats c = used.before;
      GemmBlock<float> block = used.block(c);
      block.b = packed.data();
      block.b_rows = kAll;
      table.multiply(block);
      CHECK(test::differing(c, used.by_definition()) == 0);
    }
  };
  on_each_model(check);
  test::on_each_rounded_kernel(0, [&] {
    if (const auto* own = products::own_kernels<float>(Products::bfloat16)) check(*own);
  });
}
