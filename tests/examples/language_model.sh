#!/usr/bin/env bash
# The program language_model as a person uses it. Usage: language_model.sh PROGRAM
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

awk 'BEGIN { for (i = 0; i < 400; ++i) print "abcdefg hijk " i % 10 }' >train.txt
head -40 train.txt >dev.txt
train=(train --layers 1 --width 32 --heads 2 --block 16 --dev dev.txt)
printf '%s\n' '[train]' train=train.txt steps=150 report=75 warmup=10 learning-rate=1e-2 >small.ini
sed 's/1e-2/2e-2/' small.ini >other.ini
sed 's/steps=150/steps=1000000/' small.ini >long.ini
sed 's/train.txt/reversed.txt/' small.ini >reversed.ini
tac train.txt >reversed.txt
"$program" "${train[@]}" --config small.ini --model model >log

# Told to stop and resumed, it ends with the same weights, whenever that was.
"$program" "${train[@]}" --config small.ini --model parts >log2 2>&1 &
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
  "$program" "${train[@]}" --config small.ini --model parts --resume >log3
fi
cmp model/weights.safetensors parts/weights.safetensors

refused() {
  local text=$1 said
  shift
  [[ $* == *--config* ]] || set -- "$@" --config small.ini
  if said=$("$program" "${train[@]}" "$@" 2>&1); then
    echo "not refused: $*" >&2
    exit 1
  fi
  [[ $said == *"$text"* ]] || { echo "'$*' said: $said; expected: $text" >&2; exit 1; }
}
refused "a model is here already" --model model
refused "nothing to resume" --model nowhere --resume
refused "cannot resume" --model model --resume --dropout 0.5
refused "--learning-rate is 0.02, expected 0.01" --model model --resume --config other.ini
refused "contents of --train is 6000 bytes" --model model --resume --config reversed.ini
"$program" "${train[@]}" --config small.ini --model model --resume >log4
grep -q '^this training was finished before' log4
# A second process is refused, by the number of the first.
"$program" "${train[@]}" --model busy --config long.ini >log5 2>&1 &
child=$!
for _ in $(seq 500); do [[ -e busy/options.json ]] && break; sleep 0.02; done
refused "busy/checkpoints: in use: process $child" --model busy --overwrite --config long.ini
kill -KILL "$child"
wait "$child" 2>/dev/null || true
if said=$("$program" evaluate busy dev.txt 2>&1); then exit 1; fi
[[ $said == *"no weights yet"*"--resume"* ]] || { echo "evaluate said: $said" >&2; exit 1; }
# Options that claim what the files do not hold.
while read -r option value; do
  rm -rf x
  cp -r model x
  sed -i -E "s/\"$option\": [0-9]+/\"$option\": $value/" x/options.json
  if said=$("$program" evaluate x dev.txt 2>&1); then echo "accepted: $option $value" >&2; exit 1; fi
  [[ $said == *x/options.json*"$option"*"$value"* ]] || { echo "$option $value: $said" >&2; exit 1; }
done <<'O'
vocabulary 1000000000
hidden_dim 1000000000
intermediate_dim 1000000000
layers 1000000
max_length 1000000000
O
awk 'BEGIN { for (i = 0; i < 100000; ++i) printf "[" }' >x/options.json
if said=$("$program" evaluate x dev.txt 2>&1); then exit 1; fi
[[ $said == *"nested too deeply"* ]] || { echo "nested: $said" >&2; exit 1; }
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
