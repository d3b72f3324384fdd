#!/bin/sh
# Fails if an object divides 256 bits at once or takes their roots, because some processors get a lane
# wrong (see src/kernels/avx2_division.hpp). Arguments: objdump, objects.
set -eu
objdump=$1
shift
halves=0
found=0
for object in "$@"; do
  code=$("$objdump" -d "$object")
  if echo "$code" | grep -E 'v(div|sqrt)p[sd][[:space:]].*%ymm'; then
    echo "$object"
    found=1
  fi
  halves=$((halves + $(echo "$code" | grep -cE 'v(div|sqrt)p[sd][[:space:]].*%xmm' || true)))
done
if [ "$halves" -eq 0 ]; then
  echo "no division at all: nothing was checked"
  found=1
fi
exit $found
