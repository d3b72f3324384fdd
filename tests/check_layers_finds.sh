#!/usr/bin/env bash
# check_layers.sh finds each of the includes that pointed up before there was an order.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$here/../include" "$here/../src" "$here/../docs" "$copy"

missed=0
bash "$here/check_layers.sh" "$copy"
while read -r file include; do
  cp "$copy/$file" "$copy/kept"
  echo "#include $include" >>"$copy/$file"
  if output=$(bash "$here/check_layers.sh" "$copy" 2>&1) || [[ $output != *"$file"* ]]; then
    echo "not found: $file includes $include" >&2
    missed=1
  fi
  mv "$copy/kept" "$copy/$file"
done <<'INCLUDES'
src/tape/arithmetic.cpp <xtape/ops/elementwise.hpp>
src/tape/arithmetic.cpp <xtape/ops/shape.hpp>
src/tape/gradients.cpp <xtape/ops/elementwise.hpp>
src/tape/tape.cpp <xtape/ops/elementwise.hpp>
src/tape/tape.cpp <xtape/ops/reductions.hpp>
src/base/check.hpp <xtape/ops/elementwise.hpp>
include/xtape/tape/tape.hpp <xtape/params/params.hpp>
src/tape/tape.cpp <xtape/params/params.hpp>
include/xtape/io/weights.hpp <xtape/optim/optimizer.hpp>
src/io/file.hpp <xtape/run/training_progress.hpp>
src/kernels/isa.cpp "base/message.hpp"
src/threads/loops.hpp "products/gemm.hpp"
src/optim/schedules.cpp <xtape/losses/losses.hpp>
src/data/batches.cpp <xtape/run/callback.hpp>
INCLUDES
exit "$missed"
