#!/usr/bin/env bash
# Builds the library with one compiler and other versions of xtensor and xsimd, and compares its bits with the table of
# hashes: bash tests/systems.sh COMPILER [SOURCES...]
# SOURCES are folders with sources of xtl, xsimd, xtensor and xtensor-blas, in this order. What is missing comes from the
# system. The last line is a row of docs/systems.md. XTAPE_SYSTEMS_BUILD is the folder of the build, or build/systems.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if (($# == 0)); then
  echo "usage: bash tests/systems.sh COMPILER [SOURCES...]" >&2
  exit 2
fi
compiler=$1
shift
build=${XTAPE_SYSTEMS_BUILD:-build/systems}
prefix=$PWD/build/systems_prefix
rm -rf "$build" "$prefix"
mkdir -p "$build" "$prefix"

quietly() {
  "$@" >"$prefix/log" 2>&1 || { cat "$prefix/log" >&2; return 1; }
}
for source in "$@"; do
  quietly cmake -G Ninja -S "$source" -B "$prefix/build" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_PREFIX_PATH="$prefix"
  quietly cmake --install "$prefix/build"
  rm -rf "$prefix/build"
done

# Uniting the sources of a folder changes no code, and a build takes half the time.
quietly cmake --preset dev -B "$build" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$prefix" -DXTAPE_MPI=OFF \
  -DXTAPE_UNITY=ON
versions="$(sed -n 's/^-- xtape: \(.*xsimd.*\)/\1/p' "$prefix/log"), $(sed -n 's/.*\(Catch2 [0-9.]*\)$/\1/p' "$prefix/log")"
echo "-- $versions"
cmake --build "$build" -j "$(nproc)" --target xtape test_arithmetic_hashes

failing=0
"$build/tests/test_arithmetic_hashes" | tee "$prefix/log" || failing=$?
compared=$(grep -oE '[0-9]+ assertions' "$prefix/log" | tail -n 1)
system=$(. /etc/os-release && echo "$NAME ${VERSION_ID-}, $(uname -m)")
row=$(sed -E 's/, (xsimd|xtensor|xtensor-blas|Catch2) / | /g' <<<"$versions")
echo "| $row | ${system/ GNU\/Linux/} | $failing of ${compared% *} | $(date +%F) |"
((failing == 0))
