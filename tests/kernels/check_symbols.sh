#!/bin/sh
# Fails where an object of kernels for a wider instruction set holds a weak function whose name does not
# tell which: the linker may keep that one for everybody, also where the processor lacks the instructions.
# Arguments: nm, a pattern for names that tell, objects.
set -eu
nm=$1
tells=$2
shift 2
found=0
for object in "$@"; do
  # W and V: weak; u: unique. What begins with DW.ref is an address and no code.
  names=$("$nm" --demangle "$object" | grep -E ' [WVu] ' | grep -vE "$tells| DW\\.ref\\." || true)
  if [ -n "$names" ]; then
    echo "$object:"
    echo "$names"
    found=1
  fi
  functions=$("$nm" "$object" | grep -cE ' [TW] ' || true)
  if [ "$functions" -eq 0 ]; then
    echo "$object: no functions at all, so that nothing was checked"
    found=1
  fi
done
exit $found
