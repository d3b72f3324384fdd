#!/usr/bin/env bash
# seq2seq and language_model under mpirun: the bytes of one process for every number of ranks, and what is refused.
# Usage: seq2seq.sh SEQ2SEQ LANGUAGE_MODEL
set -euo pipefail
program=$(realpath "$1") writer=$(realpath "$2")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
cd /
# shellcheck source=tests/examples/support.sh
. "$here/../examples/support.sh"
export XTAPE_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
launch=(timeout -k 5 240 mpirun)  # a busy machine: a run of 10 s has taken 97
open_mpi=0
if mpirun --version 2>&1 | grep -q "Open MPI"; then
  open_mpi=1
  launch+=(--oversubscribe --bind-to none)
fi
ranks() { # COUNT COMMAND...: standard input goes to rank 0
  local count=$1
  shift
  "${launch[@]}" -n "$count" "$@"
}

awk 'BEGIN { srand(3); for (i = 0; i < 120; ++i) { s = ""; t = ""; n = 2 + int(4 * rand())
  for (j = 0; j < n; ++j) { c = sprintf("%c", 97 + int(4 * rand())); s = s c; t = c t }; print s "\t" t } }' >all.tsv
head -100 all.tsv >train.tsv
tail -20 all.tsv >dev.tsv
printf '%s\n' '[train]' train=train.tsv dev=dev.tsv width=16 heads=2 hidden=16 layers=1 max-length=20 batch-size=10 \
  learning-rate=1e-2 warmup=5 epochs=3 ema=0.9 save-steps=4 batch-loss=true shards=8 >small.ini
small=(train --config small.ini)

# Returns the figures of a report. mpirun gives a rank a terminal, hence the bar, even if its own output is a file.
report() { grep -oE '(dev: |[0-9]+ pairs, |the weights are those of ).*' "$1"; }
alike() { # FOLDER WHAT
  for file in weights.safetensors options.json source.vocab target.vocab; do
    cmp "whole/$file" "$1/$file" || fail "$2: other bytes in $file"
  done
  diff <(cd whole/checkpoints && sha256sum *) <(cd "$1/checkpoints" && sha256sum *) || fail "$2: other checkpoints"
}

"$program" "${small[@]}" --model whole >whole.log 2>whole.err || fail "$(cat whole.err)"
for count in 1 2 3 4; do
  ranks "$count" "$program" "${small[@]}" --model "m$count" >"m$count.log" 2>err </dev/null || fail "$count ranks: $(cat err)"
  alike "m$count" "$count ranks"
  diff <(report whole.log) <(report "m$count.log") || fail "$count ranks: another report"
done


# Stopped by SIGUSR1 and Ctrl-C, killed, and resumed by other numbers of ranks. Epochs do not change a constant rate.
long=("${small[@]}" --schedule constant --score-every 0)
"$program" "${long[@]}" --epochs 40 --model whole2 >log || fail "no run without ranks: $(cat log)"
stopped() { # FOLDER SIGNAL RANKS [OPTIONS...]: starts a run, and sends the signal after the first checkpoint
  "${launch[@]:4}" -n "$3" "$program" "${long[@]}" --epochs 100000 --model "$1" "${@:4}" >"$1.log" 2>"$1.err" </dev/null &
  child=$! code=0
  for _ in $(seq 2000); do compgen -G "$1/checkpoints/checkpoint-*" >/dev/null && break; sleep 0.02; done
  local target=$child
  if [[ $2 == KILL ]]; then  # a rank, which is a child of mpirun, at some instant
    sleep "0.$(printf %03d $((RANDOM % 300)))"
    target=$(ps -o pid= --ppid "$child" | sed -n "$((1 + RANDOM % $3))p" | tr -d ' ')
  fi
  local start=$SECONDS
  kill "-$2" "$target"
  wait "$child" 2>/dev/null || code=$?
  ((SECONDS - start <= 10)) || fail "$2: ended after $((SECONDS - start)) s"
}
goes_on() { # FOLDER RANKS
  local code=0 start=$SECONDS
  ranks "$2" "$program" "${long[@]}" --epochs 40 --model "$1" --resume >log 2>err </dev/null || code=$?
  ((code == 0)) || fail "$1 does not go on: status $code after $((SECONDS - start)) s: $(cat err)"
  cmp whole2/weights.safetensors "$1/weights.safetensors" || fail "$1: other bytes after going on"
}
stopped usr1 USR1 3
same "$code" 0 "status after SIGUSR1 ($(tail -c 300 usr1.err))"
grep -q '^interrupted; the same command with --resume goes on' usr1.log || fail "SIGUSR1: $(cat usr1.log)"
goes_on usr1 2
if ((open_mpi)); then
  launch+=(--mca odls_base_sigkill_timeout 3)  # seconds for the last step and the save, which mpirun waits in full
  stopped int INT 2
  ((code != 0)) || fail "status 0 after Ctrl-C"
  goes_on int 4
fi
RANDOM=1
for ((i = 0; i < ${XTAPE_KILLS:-2}; ++i)); do
  rm -rf kill
  stopped kill KILL 4 --save-steps 1  # mostly during a save
  ((code != 0)) || fail "status 0 after kill $i"
  grep -q 'signal 9' kill.err || fail "kill $i: $(cat kill.err)"
  goes_on kill $((1 + (7 * i + 2) % 8))
done

# translate and evaluate: the same lines in the same order, and the same status.
for i in $(seq 300); do awk -v s="$i" 'BEGIN { srand(s); n = 2 + int(6 * rand()); t = ""
  for (j = 0; j < n; ++j) t = t sprintf("%c", 97 + int(4 * rand())); print t }'; done >lines
{ repeated 30 a; echo; } >>lines  # too long
while read -r options; do
  code=0 code2=0
  # shellcheck disable=SC2086
  "$program" translate whole $options <lines >out1 2>err1 || code=$?
  # shellcheck disable=SC2086
  ranks 3 "$program" translate whole $options <lines >out2 2>err2 || code2=$?
  same "$code2" "$code" "status of translate $options"
  cmp out1 out2 || fail "other translations by 3 ranks: $options"
  while read -r line; do grep -qF -- "$line" err2 || fail "3 ranks do not say: $line"; done <err1
done <<'O'
--batch-size 8 --scores
--beam 3 --n-best 2 --batch-size 16 --crop
--sample --n-best 2 --top-k 3 --batch-size 8
O
# So do ensembles, alignments and JSON lines; and a run that begins with another model.
head -40 lines >few
sed 's/.*/{"source": "&"}/' few >objects
"$program" translate whole few --batch-size 4 --ensemble whole2 --alignment pairs1 >out1
ranks 3 "$program" translate whole few --batch-size 4 --ensemble whole2 --alignment pairs3 >out3 </dev/null
cmp out1 out3 && cmp pairs1 pairs3 || fail "an ensemble of 3 ranks"
"$program" translate whole objects --batch-size 4 --json >out1
ranks 3 "$program" translate whole objects --batch-size 4 --json >out3 </dev/null
cmp out1 out3 || fail "JSON lines of 3 ranks"
"$program" "${small[@]}" --init whole2 --model tuned1 --epochs 1 >log
ranks 2 "$program" "${small[@]}" --init whole2 --model tuned2 --epochs 1 >log 2>err </dev/null || fail "--init: $(cat err)"
cmp tuned1/weights.safetensors tuned2/weights.safetensors && cmp tuned1/log.json tuned2/log.json || fail "--init by 2 ranks"
refused + 'has no work to share' ranks 2 "$program" average whole whole2 --model x
"$program" evaluate whole dev.tsv --batch-size 4 --json one.json | grep -v '^decoding' >one
ranks 3 "$program" evaluate whole dev.tsv --batch-size 4 --json three.json 2>err </dev/null | grep -v '^decoding' >three
diff one three && diff <(grep -v seconds one.json) <(grep -v seconds three.json) || fail "other figures by 3 ranks"

# Refused before the first step, with the remedy. Rank 0 alone reads the files and the folder.
refused + '--shards: fewer than ranks: it is 2, expected at least 4' ranks 4 "$program" "${small[@]}" --shards 2 --model x
refused + 'ranks differ: seed is 2 on rank 1' "${launch[@]}" -n 1 "$program" "${small[@]}" --model x : \
  -n 1 "$program" "${small[@]}" --model x --seed 2
refused + 'a model is here already' ranks 2 "$program" "${small[@]}" --model whole
refused + 'expected once, because it has no work to share' ranks 2 "$program" inspect whole
refused + 'ranks differ: the hash of the model' "${launch[@]}" -n 1 "$program" translate whole : -n 1 "$program" translate whole2 </dev/null
refused + 'but rank 0 finds 1, expected all' env OMPI_COMM_WORLD_SIZE=2 "$program" translate whole
[[ ! -e x/options.json ]] || fail "a refused run left options"
"${launch[@]}" -n 1 "$program" "${small[@]}" --model apart : -n 1 "$program" "${small[@]}" --train /nowhere --model apart2 \
  >log 2>err </dev/null || fail "rank 1 needs the data: $(cat err)"
cmp whole/weights.safetensors apart/weights.safetensors || fail "other bytes with data on rank 0 alone"

# language_model
for i in $(seq 60); do echo "the quick brown fox $i jumps"; done >text
write=(train --train text --dev text --layers 1 --width 16 --heads 2 --block 8 --batch-size 6 --steps 30 --report 10
  --warmup 2 --dropout 0.1)
"$writer" "${write[@]}" --shards 4 --model w1 >log
ranks 3 "$writer" "${write[@]}" --shards 4 --model w3 >log 2>err </dev/null || fail "language_model: $(cat err)"
for file in weights.safetensors options.json vocabulary.txt; do cmp "w1/$file" "w3/$file" || fail "language_model: $file"; done
refused + 'expected at least 2' ranks 2 "$writer" "${write[@]}" --model w4
refused + 'has no work to share' ranks 2 "$writer" write w1
echo "seq2seq and language_model under mpirun: all right, $SECONDS s"
