#!/usr/bin/env bash
# Runs of seq2seq train that stop, go on, meet another process, or find what others left; and figures that the saved
# model must reproduce. Usage: seq2seq_resume.sh PROGRAM
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "seq2seq_resume.sh: $*" >&2; exit 1; }
# The command must fail with each of the texts in what it says: refused TEXT... -- COMMAND...
refused() {
  local texts=() said text
  while [[ $1 != -- ]]; do texts+=("$1"); shift; done
  shift
  if said=$(timeout 60 "$program" "$@" 2>&1 </dev/null); then fail "not refused: $*"; fi
  for text in "${texts[@]}"; do [[ $said == *"$text"* ]] || fail "'$*' said: $said; expected: $text"; done
}

awk 'BEGIN { srand(3); for (i = 0; i < 120; ++i) { s = ""; t = ""; n = 2 + int(4 * rand())
  for (j = 0; j < n; ++j) { c = sprintf("%c", 97 + int(4 * rand())); s = s c; t = c t }; print s "\t" t } }' >all.tsv
head -100 all.tsv >train.tsv
tail -20 all.tsv >dev.tsv
# Options on the command line go before those of a recipe.
printf '%s\n' '[train]' train=train.tsv dev=dev.tsv width=16 heads=2 hidden=16 layers=1 max-length=20 batch-size=10 \
  learning-rate=1e-2 warmup=5 epochs=3 >small.ini
small=(--config small.ini)

# The figures beside a model are those of its weights, whatever chose or averaged them.
i=0
while read -r options; do
  i=$((i + 1))
  # shellcheck disable=SC2086
  "$program" train "${small[@]}" $options --model "m$i" >log 2>&1 || fail "$options: $(cat log)"
  told=$(sed -n 's/^the weights are those of epoch [0-9]*: //p' log)
  "$program" evaluate "m$i" dev.tsv --json figures.json >figures
  loss=$(awk '/^loss/ { print $2 }' figures)
  [[ $told == *"val_loss $loss"* ]] || fail "with '$options' training told '$told', evaluate $(cat figures)"
  for name in wer per bleu exact; do
    value=$(sed -n "s/.*\"$name\": \\([-0-9.e]*\\).*/\\1/p" figures.json)
    [[ $told == *"val_$name $(printf '%.4f' "$value")"* ]] || fail "with '$options' training told '$told', evaluate $(cat figures)"
  done
done <<'O'
--ema 0.9
--ema 0.99 --best last
--best val_wer --ema 0.5 --optimizer adamw
--best val_exact --patience 1
--label-smoothing 0.2 --tying all --batch-loss
--save-steps 3 --clip-norm 0.1 --source-ends --lowercase
O
# They are in the folder of a training that goes on, too.
"$program" train "${small[@]}" --ema 0.9 --model m1 --resume >log 2>&1 || fail "$(cat log)"
grep -q '^this training was finished before, after epoch 3' log || fail "no word of the end: $(cat log)"

# A resumed run names whatever differs. Each option of --help is either refused, or listed there as free.
"$program" train --help >help
# The list is wrapped over lines.
free=$(tr '\n' ' ' <help | tr -s ' ' | sed 's/.*These may change: //')
"$program" train "${small[@]}" --model n >log 2>&1
declare -A others=([--source-tokens]=space [--target-tokens]=space [--norm]=post [--positions]=rotary [--activation]=gelu
  [--tying]=output [--shards]=2 [--kernels]=he_uniform [--embeddings]=glorot_normal [--optimizer]=adamw [--schedule]=noam
  [--best]=last [--learning-rate]=0.02 [--batch-size]=9 [--width]=8 [--heads]=1 [--hidden]=8 [--layers]=2
  [--epochs]=4 [--max-length]=21 [--warmup]=6 [--limit]=99 [--seed]=2 [--min-frequency]=2 [--max-tokens]=900
  [--decoder-layers]=2 [--epsilon]=1e-06 [--columns]=a,b [--accumulate]=2 [--score-every]=2 [--beta-1]=0.8 [--beta-2]=0.9 [--decay-steps]=9 [--restart-length]=3
  [--init]=other [--freeze]=encoder/0/feed_forward [--boundaries]=3,4 [--subwords]=99 [--subword-kind]=bpe [--subword-coverage]=0.95)
cp -r n other
count=0
for option in $(grep -oE '^ *--[a-z0-9-]+' help); do
  # Not beside --dev, whose contents are compared.
  [[ $option == --help || $option == --dev-split ]] && continue
  [[ " $free " == *" $option"[,.\ ]* || " $free " == *" $option;"* ]] && continue
  value=()
  grep -qE -- "^ *$option( |$)" help || fail "no $option in --help"
  if grep -qE -- "^ *$option [A-Z]" help; then value=("${others[$option]-0.25}"); fi
  if [[ " --momentum --rho --nesterov --centered " == *" $option "* ]]; then
    refused "$option: not an option of this optimizer" -- train "${small[@]}" --model n --resume "$option" "${value[@]}"
    continue
  fi
  if [[ " --boundaries --factors --power --cycle --decay-rate --staircase --restart-length --restart-height " == *" $option "* ]]; then
    refused "$option: not an option of this schedule" -- train "${small[@]}" --model n --resume "$option" "${value[@]}"
    continue
  fi
  if [[ $option == --columns ]]; then
    refused "train.tsv has no header" -- train "${small[@]}" --model n --resume "$option" "${value[@]}"
    continue
  fi
  if [[ " --subwords --subword-kind --subword-coverage --joint-subwords " == *" $option "* ]]; then
    refused "$option: of no use" -- train "${small[@]}" --model n --resume "$option" "${value[@]}"
    continue
  fi
  refused "n/checkpoints/checkpoint-" "$option is ${value[0]-set}, expected" -- \
    train "${small[@]}" --model n --resume "$option" "${value[@]}"
  count=$((count + 1))
done
((count >= 30)) || fail "only $count options were tried"
tac train.tsv >reversed.tsv
refused "contents of --train is 100 pairs, hash" -- train "${small[@]}" --model n --resume --train reversed.tsv
refused "contents of --dev is 120 pairs" -- train "${small[@]}" --model n --resume --dev all.tsv
[[ $(printf 'ab\n' | "$program" translate n) ]] || fail "a refused run spoiled the model"
mv train.tsv moved.tsv
"$program" train "${small[@]}" --model n --resume --train moved.tsv --patience 9 >log 2>&1 || fail "$(cat log)"
mv moved.tsv train.tsv

# With a constant rate more epochs go on, to the bytes of a run that had them at once.
for e in 2 4; do
  "$program" train "${small[@]}" --schedule constant --epochs $e --model more --resume >log 2>&1 ||
    "$program" train "${small[@]}" --schedule constant --epochs $e --model more >log 2>&1 || fail "$(cat log)"
done
"$program" train "${small[@]}" --schedule constant --epochs 4 --model once >log 2>&1
cmp more/weights.safetensors once/weights.safetensors

# A second process is refused, by the number of the first; a killed one leaves nothing locked.
"$program" train "${small[@]}" --epochs 100000 --model busy --save-steps 3 >log 2>&1 &
child=$!
for _ in $(seq 500); do [[ -e busy/checkpoints/best.safetensors ]] && break; sleep 0.02; done
refused "busy/checkpoints: in use: process $child" -- train "${small[@]}" --epochs 100000 --model busy --resume
refused "in use: process $child" -- train "${small[@]}" --model busy --overwrite
kill -KILL "$child"
wait "$child" 2>/dev/null || true
[[ ! -e busy/weights.safetensors ]]
said=$(printf 'ab\n' | "$program" translate busy 2>&1 >out) || fail "no translation of an interrupted training: $said"
[[ $said == "seq2seq: busy: its training is not finished; the weights are the best so far, of epoch "* ]] || fail "said: $said"
[[ $(wc -l <out) == 1 ]]

# What killed processes left goes, what strangers put there stays, and neither harms.
: >busy/options.json.tmp.2147483000
: >busy/weights.safetensors.tmp.2147483000
: >busy/checkpoints/best.safetensors.tmp.2147483000.1
mkdir busy/checkpoints/checkpoint-99999999.safetensors
echo mine >busy/notes.tmp.2147483000
"$program" train "${small[@]}" --epochs 100000 --model busy --save-steps 3 --resume >log 2>&1 &
child=$!
for _ in $(seq 500); do grep -q 'Epoch' log && break; sleep 0.02; done
sleep 0.2
kill -TERM "$child"
wait "$child" || fail "a stray directory: $(cat log)"
grep -q 'interrupted; the same command with --resume goes on, and translate uses the best' log || fail "$(cat log)"
[[ -d busy/checkpoints/checkpoint-99999999.safetensors && -e busy/notes.tmp.2147483000 ]]
[[ -z $(find busy -name '*.tmp.*' ! -name 'notes.*') ]] || fail "temporaries stay: $(find busy)"
"$program" train "${small[@]}" --model busy --overwrite >log 2>&1 || fail "$(cat log)"
[[ $(printf 'ab\n' | "$program" translate busy 2>&1 | wc -l) == 1 ]]

# Killed before its first epoch ended, it says what to do.
rm -r busy/weights.safetensors busy/checkpoints/best.safetensors
refused "no weights yet" "--resume" -- translate busy
echo "seq2seq resume: all right"
