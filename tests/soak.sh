#!/usr/bin/env bash
# What takes long, by hand: bash tests/soak.sh [fuzz|kills|memcheck|seeds|garbage]... (all of them by default).
#   fuzz      libFuzzer for XTAPE_FUZZ_SECONDS, by default an hour; keeps its corpus in build/corpus
#   kills     XTAPE_KILLS training runs, by default 200, killed at random instants, and as many of the program
#             seq2seq; a quarter as many also meet a full disk, a signal or a second process
#   memcheck  the test suite under valgrind
#   seeds     the suite again and again, its random programs from other seeds each time
#   garbage   seq2seq translate, fed with garbage for XTAPE_GARBAGE_SECONDS, by default 20 minutes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup.sh soak
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi

fuzz() {
  cmake --preset asan-ubsan
  cmake --build --preset asan-ubsan --target program_fuzzer
  mkdir -p build/corpus/program
  build/asan-ubsan/tests/fuzz/program_fuzzer build/corpus/program -artifact_prefix=build/corpus/ \
    -max_len=200 -max_total_time="${XTAPE_FUZZ_SECONDS:-3600}" -jobs=2 -workers=2
}

build_tests() {
  cmake --preset dev
  cmake --build --preset dev
}

kills() {
  build_tests
  XTAPE_KILLS="${XTAPE_KILLS:-200}" XTAPE_KILLS_SEED="${XTAPE_KILLS_SEED:-$RANDOM}" \
    build/dev/tests/test_run_checkpoint_kills
  XTAPE_KILLS_SEED="${XTAPE_KILLS_SEED:-$RANDOM}" bash tests/examples/seq2seq_kills.sh \
    build/dev/examples/seq2seq "${XTAPE_KILLS:-200}" $((${XTAPE_KILLS:-200} / 4))
}

memcheck() {
  build_tests
  local program
  # Programs, one after the other; the caching allocator would hide what valgrind looks for only
  # within blocks that are reused.
  for program in build/dev/tests/test_*; do
    [[ -x $program && -f $program ]] || continue
    echo "== $program"
    valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
      "$program" '~[benchmark]'
  done
  valgrind --quiet --error-exitcode=99 build/dev/tests/fuzz/program_replay --random 300
}

seeds() {
  build_tests
  local seed program
  for seed in $(seq 1 "${XTAPE_SEEDS:-50}"); do
    build/dev/tests/fuzz/program_replay --random 20000 "$seed"
    for program in build/dev/tests/test_*; do
      [[ -x $program && -f $program ]] || continue
      "$program" --order rand --rng-seed "$seed" >/dev/null ||
        { echo "$program fails with --order rand --rng-seed $seed" >&2; exit 1; }
    done
  done
}

garbage() {
  cmake --preset dev
  cmake --build --preset dev --target example_seq2seq
  bash tests/examples/garbage.sh "$PWD/build/dev/examples/seq2seq" "${XTAPE_GARBAGE_SECONDS:-1200}"
}

parts=("$@")
((${#parts[@]} > 0)) || parts=(kills memcheck seeds garbage fuzz)
for part in "${parts[@]}"; do
  case $part in
    fuzz | kills | memcheck | seeds | garbage) "$part" ;;
    *)
      echo "usage: bash tests/soak.sh [fuzz|kills|memcheck|seeds|garbage]..." >&2
      exit 2
      ;;
  esac
done
echo "soak: all right"
