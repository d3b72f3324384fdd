// Where the processor has no wide vectors, products of matrices go to BLAS. This program has its own cblas_sgemm and cblas_dgemm, which count
// and pass on; so a call that did not go through BLAS's interface would not be seen.

#include "kernels/isa.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <dlfcn.h>

using namespace xtape;
using test::random_array;

namespace {

int single_calls = 0;
int double_calls = 0;

// The real function, from the library that comes after this program in the search order.
template <class F> F* next(const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  REQUIRE(symbol != nullptr);
  return reinterpret_cast<F*>(symbol);
}

std::string library_of(const char* name) {
  Dl_info info{};
  void* symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr || dladdr(symbol, &info) == 0) return "";
  return info.dli_fname;
}

}  // namespace

// Written out: <cblas.h> gives its enumerations different names in different BLAS libraries.
extern "C" void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c,
                            int ldc) {
  static auto* const real = next<decltype(cblas_sgemm)>("cblas_sgemm");
  ++single_calls;
  real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

extern "C" void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha,
                            const double* a, int lda, const double* b, int ldb, double beta,
                            double* c, int ldc) {
  static auto* const real = next<decltype(cblas_dgemm)>("cblas_dgemm");
  ++double_calls;
  real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

TEST_CASE("the matrix product that is linked comes from a BLAS library", "[blas]") {
  CHECK_THAT(library_of("cblas_sgemm"), ContainsSubstring("blas"));
  CHECK_THAT(library_of("cblas_dgemm"), ContainsSubstring("blas"));
}

TEST_CASE("products of matrices call BLAS, forward and backward", "[blas]") {
  set_num_threads(1);                          // the counters are plain
  kernels::force_isa(kernels::Isa::baseline);  // with wide vectors our own kernels are faster
  single_calls = 0;
  double_calls = 0;
  SECTION("matmul in float") {
    Tape<float> tape;
    const auto a = tape.watch(random_array<float>({5, 7}, 1));
    const auto b = tape.watch(random_array<float>({7, 3}, 2));
    const auto y = sum(matmul(a, b));
    CHECK(single_calls == 1);
    static_cast<void>(tape.backward(y));
    CHECK(single_calls == 3);
    CHECK(double_calls == 0);
  }
  SECTION("matmul in double") {
    static_cast<void>(
        matmul(Var<double>(random_array<double>({5, 7}, 1)), random_array<double>({7, 3}, 2)));
    CHECK(double_calls == 1);
    CHECK(single_calls == 0);
  }
  SECTION("a transposed operand is not copied into place first, one call does it") {
    static_cast<void>(matmul(Var<double>(random_array<double>({7, 5}, 1)),
                             random_array<double>({3, 7}, 2),
                             {.transpose_a = true, .transpose_b = true}));
    CHECK(double_calls == 1);
  }
  SECTION("einsum over a contracted letter") {
    static_cast<void>(einsum("abc,cd->abd", Var<float>(random_array<float>({2, 3, 4}, 1)),
                             random_array<float>({4, 5}, 2)));
    CHECK(single_calls >= 1);
  }
  SECTION("nothing to multiply: no call") {
    static_cast<void>(matmul(Var<float>(Array<float>(Shape{0, 4})), Array<float>(Shape{4, 3})));
    CHECK(single_calls == 0);
  }
}
