// The number of threads that a process begins with.
#include "threads/settings.hpp"

#include "kernels/amx.hpp"
#include "kernels/isa.hpp"
#include "support/catch.hpp"
#include "support/misuse.hpp"

#include <cstdlib>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

using namespace xtape;

TEST_CASE("XTAPE_NUM_THREADS is a count in decimal digits, or an error that names it",
          "[threads]") {
  CHECK(detail::threads_of("V", "1") == 1);
  CHECK(detail::threads_of("V", "1024") == 1024);
  for (const std::string text : {"", "0", "-1", "+2", " 2", "2 ", "2x", "x", "0x2", "1.5", "1e1",
                                 "nan", "1025", "999999", "18446744073709551617", "\x1b[2J"}) {
    INFO(text);
    CHECK_THROWS_AS(detail::threads_of("V", text.c_str()), ValueError);
    CHECK_THROWS_WITH(detail::threads_of("V", text.c_str()),
                      ContainsSubstring("V: not a number of threads") &&
                          ContainsSubstring("expected 1 to 1024") && !ContainsSubstring("\x1b"));
  }
  const std::string endless(100000, '9');
  try {
    detail::threads_of("V", endless.c_str());
    FAIL("accepted");
  } catch (const ValueError& e) {
    CHECK(std::string(e.what()).size() < 300);
  }
}

TEST_CASE("the environment decides, and an empty text is as good as none", "[threads]") {
  ::setenv("XTAPE_NUM_THREADS", "3", 1);
  CHECK(detail::default_threads() == 3);
  ::setenv("XTAPE_NUM_THREADS", "999999", 1);
  CHECK_THROWS_AS(detail::default_threads(), ValueError);
  // The first question is asked in vain, the next one is not.
  CHECK_THROWS_AS(num_threads(), ValueError);
  CHECK_THROWS_AS(num_threads(), ValueError);
  // An optimizer whose step is the first to need threads says so, too, and changes nothing.
  Params<float> params;
  const Embedding<float> layer(params.scope(), {.input_dim = 10, .output_dim = 1000});
  layer.build();
  Adam<float> adam;
  Gradients<float> gradients;
  set_gradient(gradients, params.all()[0], ones<float>({10, 1000}));
  const Array<float> weights = params.all()[0].value();
  CHECK_THROWS_AS(adam.step(params, gradients), ValueError);
  CHECK(adam.iterations() == 0);
  CHECK(params.all()[0].value() == weights);
  set_num_threads(2);
  CHECK(num_threads() == 2);
  CHECK_NOTHROW(adam.step(params, gradients));
  ::setenv("XTAPE_NUM_THREADS", "", 1);
  CHECK(detail::default_threads() == detail::usable_processors());
  ::unsetenv("XTAPE_NUM_THREADS");
  CHECK(detail::default_threads() == detail::usable_processors());
}

TEST_CASE("XTAPE_ISA is an instruction set of this processor, or an error that lists those",
          "[threads]") {
  const std::string least(kernels::name(kernels::Isa::baseline));
  CHECK_NOTHROW(detail::check_isa(least.c_str()));
  CHECK_NOTHROW(detail::check_isa(""));
  CHECK_NOTHROW(detail::check_isa(nullptr));
  for (const char* name : {"avx3", "AVX2", "avx2 ", "\x1b[2J"}) {
    CHECK_THROWS_WITH(detail::check_isa(name), StartsWith("XTAPE_ISA: no instruction set") &&
                                                   ContainsSubstring(least + "; correct it") &&
                                                   !ContainsSubstring("\x1b"));
  }
  if (kernels::has_amx()) {
    CHECK_NOTHROW(detail::check_isa("amx"));
  } else {
    CHECK_THROWS_WITH(detail::check_isa("amx"), ContainsSubstring("it is 'amx', expected"));
  }
  ::setenv("XTAPE_ISA", "avx3", 1);
  CHECK_THROWS_AS(detail::default_threads(), ValueError);
  ::unsetenv("XTAPE_ISA");
}

TEST_CASE("a number of threads out of range is refused and changes nothing", "[threads]") {
  set_num_threads(2);
  for (const std::size_t count :
       {std::size_t{0}, std::size_t{1025}, std::size_t{999999}, ~std::size_t{0}}) {
    CHECK_THROWS_AS(set_num_threads(count), ValueError);
    CHECK(num_threads() == 2);
  }
}

#if defined(__linux__)
TEST_CASE("the default is the number of processors in the affinity", "[threads]") {
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  }
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(detail::usable_processors() == 1);
  REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
  CHECK(detail::usable_processors() == static_cast<std::size_t>(CPU_COUNT(&before)));
}
#endif
