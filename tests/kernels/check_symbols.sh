#!/bin/sh
# Fails if a kernel object of a wider instruction set holds a weak function whose name does not tell the set.
# The linker may keep that function for the whole program, which then fails on a lesser processor.
# Arguments: nm, a pattern for names that tell, objects.
set -eu
nm=$1
tells=$2
shift 2
found=0
for object in "$@"; do
  # W and V: weak; u: unique. Names that begin with DW.ref are addresses, not code.
  names=$("$nm" --demangle "$object" | grep -E ' [WVu] ' | grep -vE "$tells| DW\\.ref\\." || true)
  if [ -n "$names" ]; then
    echo "$object:"
    echo "$names"
    found=1
  fi
  functions=$("$nm" "$object" | grep -cE ' [TW] ' || true)
  if [ "$functions" -eq 0 ]; then
    echo "$object: no functions at all: nothing was checked"
    found=1
  fi
done
exit $found
