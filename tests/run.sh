#!/usr/bin/env bash
# Builds and runs the tests: bash tests/run.sh [--full]. Installs what is missing first.
# The last line is "N passed, N failed": programs of the test suite, and with --full further checks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=0
case "${1-}" in
  "") ;;
  --full) full=1 ;;
  *)
    echo "usage: bash tests/run.sh [--full]" >&2
    exit 2
    ;;
esac

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

passed=0
failed=0
rows=()
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# A check that is one thing: stage NAME COMMAND... A failing one does not stop the others.
stage() {
  local name=$1 start=$SECONDS verdict=passed code note=''
  shift
  printf '\n%s== %s%s\n' "$bold" "$name" "$plain"
  set +e  # in a condition the shell would go on after an error inside
  (set -e; "$@")
  code=$?
  set -e
  if ((code == 0)); then passed=$((passed + 1)); else
    verdict=FAILED
    failed=$((failed + 1))
  fi
  [[ -s $temporary/note ]] && note=$(<"$temporary/note")
  rm -f "$temporary/note"
  rows+=("$(printf '%-34s %-7s %5d s  %s' "$name" "$verdict" $((SECONDS - start)) "$note")")
}
note() { printf '%s' "$*" >"$temporary/note"; }

# A test suite, counted program by program: suite NAME PRESET [WRAPPER...]
suite() {
  local name=$1 preset=$2 start=$SECONDS verdict=passed ok=0 bad=0 line log=$temporary/ctest
  shift 2
  printf '\n%s== %s%s\n' "$bold" "$name" "$plain"
  if configure "$preset" && cmake --build --preset "$preset"; then
    "$@" ctest --preset "$preset" | tee "$log" || verdict=FAILED
    line=$(grep -E 'tests passed, [0-9]+ tests? failed out of [0-9]+' "$log" || true)
    if [[ $line =~ ([0-9]+)\ tests?\ failed\ out\ of\ ([0-9]+) ]]; then
      bad=${BASH_REMATCH[1]}
      ok=$((BASH_REMATCH[2] - bad))
    fi
    if ((bad == 0)) && [[ $verdict == FAILED || $ok == 0 ]]; then bad=1; fi
  else
    bad=1
  fi
  ((bad == 0)) || verdict=FAILED
  passed=$((passed + ok))
  failed=$((failed + bad))
  rows+=("$(printf '%-34s %-7s %5d s  %s' "$name" "$verdict" $((SECONDS - start)) \
    "$ok passed, $bad failed")")
}

configure() {
  local log options=()
  # Instrumented kernels take minutes to compile: none that cannot run here.
  if [[ $1 =~ san ]] && ! grep -q avx512bw /proc/cpuinfo; then options=(-DXTAPE_KERNELS=avx2); fi
  if [[ $1 == asan-ubsan ]] && ! command -v clang++-14 >/dev/null; then
    options+=(-DCMAKE_CXX_COMPILER=clang++-19)  # Debian 13
  fi
  log=$(cmake --preset "$1" "${options[@]}" 2>&1) || { printf '%s\n' "$log" >&2; return 1; }
}

finish() {
  printf '\n'
  ((${#rows[@]} < 2)) || printf '%s\n' "${rows[@]}" ''
  echo "total time: $SECONDS s"
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

if ((full)); then bash tools/setup.sh full; else bash tools/setup.sh tests; fi
# Tests and kernels are the same in build/dev and build/coverage: compiled once, also with headers parsed
# before.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
fi

suite "tests, g++" dev
if ((full)); then
  source tests/full.sh
fi
finish
