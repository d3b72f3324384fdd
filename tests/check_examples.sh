#!/usr/bin/env bash
# Every public class has an example that is compiled: fails for a class of include/xtape that no file of examples/
# names. Left out by rule: detail namespaces, options, what calls return or hand on (their owners are shown), and bases.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Bases, errors, and types that a program writes as a name, a value of another type, or auto.
through_others=" Activation Allocator Callback Constraint DropoutShape Error Extents Fans Focus FormatError Gradients Incoming Joint Mark Metric Monitor MemoryError
 NoGradient NonFiniteError IoError Outgoing Optimizer OptimizerOf OptimizerSlot OptimizerState OptimizerUpdate Parameter ParameterError RandomKey Regularizer Run ShapeError ShardPlace Shards
 SkippedCheckpoint StoredTensor TapeError TeamError TensorFile TextLines TextTable Validation ValueError WrittenToken Wrt "

missing=0
while read -r name; do
  case $name in *Options | WithScores) continue ;; esac
  [[ $through_others == *[[:space:]]$name[[:space:]]* ]] && continue
  if ! grep -rqwF --include='*.cpp' --include='*.hpp' "$name" examples; then
    echo "no example names $name" >&2
    missing=1
  fi
done < <(awk '
  FNR == 1 { detail = 0 }
  /^namespace (xtape::)?detail/ { detail = 1 }
  /^}  \/\/ namespace (xtape::)?detail/ { detail = 0 }
  !detail && /^(class|struct) [A-Z][A-Za-z0-9]*( final)?( : .*)? ?\{?$/ { print $2 }' \
  $(find include/xtape -name '*.hpp') | sort -u)
exit "$missing"
