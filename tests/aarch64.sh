#!/usr/bin/env bash
# Builds kernels for aarch64 with a cross compiler, and runs them under qemu: bash tests/aarch64.sh
# Products must have the bits of their definition, and other results those of AVX2. Only kernels are built, so nothing of
# the other architecture but the C library is needed.
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
