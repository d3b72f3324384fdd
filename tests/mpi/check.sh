#!/usr/bin/env bash
# Trains on processes: the same bytes for every number of ranks, and what failures look like:
#   bash tests/mpi/check.sh RANKS_PROGRAM
set -euo pipefail
program=$(realpath "$1")
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
export XTAPE_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
launch=(timeout -k 5 240 mpirun)
# Options of Open MPI alone: more ranks than processors, and shared memory without ptrace.
if mpirun --version 2>&1 | grep -q "Open MPI"; then
  launch+=(--oversubscribe --bind-to none)
fi
checks=0
# The checksum that the lead prints, or why there is none: trained RANKS ARGUMENTS...
trained() {
  local ranks=$1 code=0 start=$SECONDS
  shift
  "${launch[@]}" -n "$ranks" "$program" "$@" 2>"$temporary/err" || code=$?
  ((code == 0)) || echo "status $code after $((SECONDS - start)) s: $(tail -c 500 "$temporary/err")"
}
expect() { # WHAT CONDITION...
  local what=$1
  shift
  checks=$((checks + 1))
  if ! "$@"; then
    echo "FAILED: $what" >&2
    exit 1
  fi
}
holds() { grep -qF -- "$1" "$2"; }

whole=$("$program" "$temporary/alone" 8)
[[ -n $whole ]]
for ranks in 1 2 3 4 5 8; do
  result=$(trained "$ranks" "$temporary/$ranks" 8)
  expect "$ranks ranks have the bits of one process: $result" test "$result" == "$whole"
done

# fails NAME RANKS STATUS TEXT ARGUMENTS...: the run ends within 10 s, with this status and text.
fails() {
  local name=$1 ranks=$2 status=$3 text=$4 code=0 start=$SECONDS
  shift 4
  "${launch[@]}" -n "$ranks" "$program" "$temporary/$name" "$@" >"$temporary/out" 2>&1 || code=$?
  expect "$name: ended in time" test $((SECONDS - start)) -le 10
  if [[ $status == any ]]; then
    expect "$name: a status other than 0" test "$code" -ne 0
  else
    expect "$name: status $status, not $code" test "$code" == "$status"
  fi
  expect "$name: says '$text': $(<"$temporary/out")" holds "$text" "$temporary/out"
}
# Killed at different steps and ranks, and resumed by other numbers of ranks.
kills=${XTAPE_KILLS:-4}
for ((i = 0; i < kills; ++i)); do
  step=$((1 + i * 5 % 17)) rank=$((i % 4)) next=$((1 + i * 3 % 8))
  fails "kill$i" 4 any "signal 9" 8 no kill "$step" "$rank"
  result=$(trained "$next" "$temporary/kill$i" 8 resume)
  expect "killed in step $step on rank $rank, resumed with $next ranks: $result" test "$result" == "$whole"
done
fails throw 3 1 "fails on purpose" 8 no throw 4 1
fails stop 3 75 "no answer: rank" 8 no stop 4 1
fails return 3 any "which has ended" 8 no return 0 1
fails few 4 1 "fewer shards than ranks: shards is 2, expected at least 4" 2

result=$(trained 3 "$temporary/signal" 8 no signal 4 2)
expect "SIGUSR1 on one rank stops all: $result" test "${result#* }" == interrupted
result=$(trained 2 "$temporary/signal" 8 resume)
expect "resumed after SIGUSR1: $result" test "$result" == "$whole"
echo "$checks checks of teams of processes passed"
