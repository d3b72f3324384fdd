#!/usr/bin/env bash
# Trainings that are killed at random instants and go on: each ends with the bytes of one that was left alone.
# Usage: seq2seq_kills.sh PROGRAM [KILLS [DISTURBED]]
# KILLS runs are killed by SIGKILL alone. DISTURBED further ones also meet a full disk, a signal, or a second process.
set -euo pipefail
program=$1
kills=${2-5}
disturbed=${3-3}
RANDOM=${XTAPE_KILLS_SEED-1}
folder=$(mktemp -d)
cleanup() { umount "$folder/disk" 2>/dev/null || true; rm -rf "$folder"; }
trap cleanup EXIT
cd "$folder"

fail() { echo "seq2seq_kills.sh: $*" >&2; exit 1; }
awk 'BEGIN { srand(3); for (i = 0; i < 240; ++i) { s = ""; t = ""; n = 2 + int(4 * rand())
  for (j = 0; j < n; ++j) { c = sprintf("%c", 97 + int(4 * rand())); s = s c; t = c t }; print s "\t" t } }' >all.tsv
head -200 all.tsv >train.tsv
tail -40 all.tsv >dev.tsv
train=(train --train train.tsv --dev dev.tsv --width 16 --heads 2 --hidden 16 --layers 1 --max-length 20
  --batch-size 10 --learning-rate 1e-2 --warmup 5 --epochs 8 --ema 0.9 --dropout 0.1 --patience 6 --save-steps 3)

begin=$(date +%s%N)
"$program" "${train[@]}" --model whole >log 2>&1 || fail "$(cat log)"
duration=$((($(date +%s%N) - begin) / 1000))  # in microseconds
[[ -n $(sed -n 's/^the weights are those of epoch //p' log) ]] || fail "no figures: $(cat log)"

# Sleeps for a random part of a whole run, or of its first part of $1. A tenth of the instants lie in the first
# hundredth.
nap() {
  local most=$((duration / ${1-1}))
  if ((RANDOM % 10 == 0)); then most=$((duration / 100 + 1)); fi
  sleep "$(awk -v t=$((RANDOM * 32768 + RANDOM)) -v m="$most" 'BEGIN { printf "%.6f", t % m / 1e6 }')"
}
# Starts the next part of the run into $1, in the background.
start() {
  local more=()
  [[ -e $1/options.json ]] && more=(--resume)
  "$program" "${train[@]}" --model "$1" "${more[@]}" >"$1.log" 2>&1 &
  child=$!
}
check() {
  cmp whole/weights.safetensors "$1/weights.safetensors" || fail "other bytes after $1: $(cat "$1.log")"
  [[ -z $(find "$1" -name '*.tmp.*') ]] || fail "temporaries stay: $(find "$1")"
  for file in options.json source.vocab target.vocab; do cmp "whole/$file" "$1/$file"; done
  [[ $(printf 'ab\n' | "$program" translate "$1" 2>&1) == "$expected" ]] || fail "another translation after $1"
}
expected=$(printf 'ab\n' | "$program" translate whole)

killed=0
deaths=0
while ((killed < kills)); do
  name=k$killed
  for ((part = 0; ; ++part)); do
    start "$name"
    # Some runs are killed once, others up to six times.
    if ((part > killed % 6)); then break; fi
    nap
    kill -KILL "$child" 2>/dev/null || true
    status=0
    wait "$child" 2>/dev/null || status=$?
    ((status == 137)) || break
    deaths=$((deaths + 1))
  done
  wait "$child" 2>/dev/null || { ((status == 0)) || fail "part $part of $name: $(cat "$name.log")"; }
  check "$name"
  rm -rf "$name"
  killed=$((killed + 1))
done

full=0 signals=0 seconds=0
for ((i = 0; i < disturbed; ++i)); do
  name=d$i
  # A kill, too.
  start "$name"
  nap
  kill -KILL "$child" 2>/dev/null || true
  wait "$child" 2>/dev/null || true
  case $((i % 3)) in
    0)  # the disk has room for some of the next files only
      mkdir -p disk "$name"
      room=$(($(du -sk "$name" | cut -f1) + 4 + RANDOM % 40))
      if mount -t tmpfs -o "size=${room}k" none disk 2>/dev/null; then
        cp -r "$name/." disk/
        start disk
        status=0
        wait "$child" || status=$?
        if ((status != 0)); then
          grep -qE 'No space left on device' disk.log || fail "full disk: status $status: $(cat disk.log)"
          full=$((full + 1))
        fi
        rm -rf "$name"
        cp -r disk "$name"
        umount disk
      else
        (trap '' XFSZ; ulimit -f $((1 + RANDOM % 40)); start "$name"; wait "$child") || full=$((full + 1))
      fi
      ;;
    1)
      start "$name"
      nap
      if ((RANDOM % 2)); then kill -TERM "$child" 2>/dev/null || true; else kill -INT "$child" 2>/dev/null || true; fi
      status=0
      wait "$child" || status=$?
      ((status == 0 || status == 130 || status == 143)) || fail "signal: status $status: $(cat "$name.log")"
      signals=$((signals + 1))
      ;;
    2)
      start "$name"
      first=$child
      nap 5
      status=0
      "$program" "${train[@]}" --model "$name" --overwrite >second.log 2>&1 & second=$!
      wait "$second" || status=$?
      # The first may have ended before, and then the second is the whole run.
      if ((status != 0)); then
        grep -q "in use: process $first " second.log || fail "second process: $(cat second.log)"
        seconds=$((seconds + 1))
      fi
      if ((RANDOM % 2)); then kill -KILL "$first" 2>/dev/null || true; fi
      wait "$first" 2>/dev/null || true
      ;;
  esac
  start "$name"
  wait "$child" || fail "after a disturbance $((i % 3)): $(cat "$name.log")"
  check "$name"
  rm -rf "$name" disk
done
echo "seq2seq kills: $killed runs killed $deaths times, $disturbed disturbed ($full full disks, $signals signals," \
  "$seconds second processes refused); all with the same bytes"
