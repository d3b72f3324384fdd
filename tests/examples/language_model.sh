#!/usr/bin/env bash
# The program language_model as a person uses it. Usage: language_model.sh PROGRAM
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

awk 'BEGIN { for (i = 0; i < 400; ++i) print "abcdefg hijk " i % 10 }' >train.txt
head -40 train.txt >dev.txt
train=(train --train train.txt --dev dev.txt --layers 1 --width 32 --heads 2 --block 16
  --steps 150 --report 75 --warmup 10 --learning-rate 1e-2)
"$program" "${train[@]}" --model model >log

# Told to stop and resumed, it ends with the same weights, whenever that was.
"$program" "${train[@]}" --model parts >log2 2>&1 &
child=$!
for _ in $(seq 200); do
  [[ -e parts/options.json ]] && break
  sleep 0.01
done
sleep 0.1
kill -TERM "$child" 2>/dev/null || true
wait "$child"
if [[ ! -f parts/weights.safetensors ]]; then
  grep -q resume log2
  "$program" "${train[@]}" --model parts --resume >log3
fi
cmp model/weights.safetensors parts/weights.safetensors

refused() {
  local text=$1 said
  shift
  if said=$("$program" "${train[@]}" "$@" 2>&1); then
    echo "not refused: $*" >&2
    exit 1
  fi
  [[ $said == *"$text"* ]] || { echo "'$*' said: $said; expected: $text" >&2; exit 1; }
}
refused "a model is here already" --model model
refused "nothing to resume" --model nowhere --resume
refused "cannot resume" --model model --resume --dropout 0.5
loss=$("$program" evaluate model dev.txt | awk '{ print $2 }')
# Guessing one of the 24 characters costs 3.2.
awk -v l="$loss" 'BEGIN { exit !(l > 0 && l < 1) }' || { echo "it learned nothing: loss $loss" >&2; exit 1; }
[[ $("$program" write model --prompt abc --length 50 --seed 2) == abc* ]]
diff <("$program" write model --prompt abc --seed 2) <("$program" write model --prompt abc --seed 2)
if "$program" evaluate nowhere dev.txt 2>said; then exit 1; fi
grep -q nowhere said
printf 'ab' >short.txt
if "$program" train --train short.txt --dev dev.txt --model other 2>said; then exit 1; fi
grep -q 'too short' said
echo "language_model: all right"
