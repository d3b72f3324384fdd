#!/usr/bin/env bash
# Builds kernels for aarch64 with a cross compiler, and runs them under qemu: bash tests/aarch64.sh
# Products must have the bits of their definition, and other results those of AVX2. Only kernels are built, so nothing of
# the other architecture but the C library is needed.
#   XTAPE_AARCH64_ALL  if set: the library too, with tests of arithmetic, operations, layers and attention. They need
#                      OpenBLAS and zlib of the other architecture, which this installs, and take 20 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup.sh aarch64
build=build/aarch64_kernels
mkdir -p "$build/include"
ln -sfn "${XTAPE_XSIMD:-/usr/include/xsimd}" "$build/include/xsimd"  # the folder around it has another C library
launcher=()
if command -v ccache >/dev/null; then launcher=(ccache); fi

# probe NAME COMPILER FLAGS...
probe() {
  local name=$1 compiler=$2 source objects=() processes=()
  shift 2
  for source in src/kernels/{attention_backward,attention_forward,attention_step,cross_entropy,gemm,reduce,rounded_gemm,softmax,unary}.cpp tests/aarch64/probe.cpp; do
    objects+=("$build/$name-$(basename "$source").o")
    "${launcher[@]}" "$compiler" -std=c++20 -O3 -ffp-contract=off -Wall -Wextra -Wconversion -Wshadow -Werror \
      -Wno-uninitialized -Wno-maybe-uninitialized "$@" -Isrc -Itests -isystem "$build/include" \
      -c "$source" -o "${objects[-1]}" &
    processes+=($!)
    ((${#processes[@]} % 2)) || { for process in "${processes[@]}"; do wait "$process"; done; processes=(); }
  done
  for process in "${processes[@]}"; do wait "$process"; done
  "$compiler" -static "${objects[@]}" -o "$build/$name"
}
probe neon aarch64-linux-gnu-g++ -DXTAPE_ARCH=Baseline
qemu-aarch64 "$build/neon" | tee "$build/neon.txt"
if grep -q ' avx2 ' /proc/cpuinfo; then
  probe avx2 g++ -DXTAPE_ARCH=Avx2 -mavx2 -mfma
  "$build/avx2" >"$build/avx2.txt"
  diff "$build/avx2.txt" "$build/neon.txt"
  echo "aarch64.sh: $(wc -l <"$build/neon.txt") results have the bits of AVX2"
else
  echo "aarch64.sh: results are not compared with AVX2: this processor has none"
fi
[[ -n ${XTAPE_AARCH64_ALL-} ]] || exit 0

bash tools/setup.sh tests
bash tools/setup.sh aarch64_libraries
build=build/aarch64
mkdir -p "$build"
rm -f "$build"/catch2_*.deb
(cd "$build" && apt-get download -q catch2:arm64 && dpkg -x catch2_*_arm64.deb catch2) >/dev/null  # not beside this one's
headers=/usr/lib/$(gcc -print-multiarch)/cmake  # packages of headers alone look after one architecture's path
# What it says of paths of libraries is of no use: qemu is told where they are.
if ! log=$(cmake --preset dev -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_LIBRARY_ARCHITECTURE=aarch64-linux-gnu \
  -DCMAKE_PREFIX_PATH="$headers" -DCatch2_DIR="$PWD/$build/catch2/usr/lib/cmake/Catch2" \
  -DXTAPE_UNITY=ON -DXTAPE_MPI=OFF -DXTAPE_BUILD_EXAMPLES=OFF 2>&1); then
  printf '%s\n' "$log" >&2
  exit 1
fi
targets=(test_arithmetic_hashes test_ops_harness test_kernels_cross_entropy test_layers_golden
  test_layers_attention_cached test_layers_attention_gradients)
cmake --build "$build" --target "${targets[@]}"
export OPENBLAS_NUM_THREADS=1  # with more, a program may not even begin under qemu
for target in "${targets[@]}"; do
  echo "== $target"
  qemu-aarch64 -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib "$build/tests/$target"
done
