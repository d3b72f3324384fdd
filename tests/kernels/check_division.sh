#!/bin/sh
# Fails where an object divides, or takes roots, 256 bits at a time: processors are in use
# that at times get a lane wrong (see src/kernels/simd.hpp). Arguments: objdump, objects.
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
  echo "no division at all, so that nothing was checked"
  found=1
fi
exit $found
