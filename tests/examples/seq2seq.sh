#!/usr/bin/env bash
# The program seq2seq as a person uses it: trains on lists of numbers, stops and goes on, translates,
# evaluates, draws; and what it says of mistakes. Usage: seq2seq.sh PROGRAM
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "seq2seq.sh: $*" >&2; exit 1; }
# The command must fail with this text in what it says.
refused() {
  local text=$1 said
  shift
  if said=$("$program" "$@" 2>&1 </dev/null); then fail "not refused: $*"; fi
  [[ $said == *"$text"* ]] || fail "'$*' said: $said; expected: $text"
}

awk 'BEGIN { srand(7); for (i = 0; i < 400; ++i) { s = ""; t = ""; n = 2 + int(4 * rand())
  for (j = 0; j < n; ++j) { c = sprintf("%c", 97 + int(6 * rand())); s = s c; t = c " " t }
  sub(/ $/, "", t); print s "\t" t } }' >all.tsv
head -360 all.tsv >train.tsv
tail -40 all.tsv | awk -F'\t' '{ print $0 "\tz z" }' >dev.tsv
cat >small.ini <<'I'
[train]
target-tokens = space
layers = 1
width = 32
heads = 2
hidden = 48
dropout = 0.1
learning-rate = 5e-3
warmup = 10
batch-size = 20
epochs = 6
I
train=(train --config small.ini --train train.tsv --dev dev.tsv)

"$program" "${train[@]}" --model whole --tensorboard board >log 2>&1 || fail "$(cat log)"
grep -q 'epoch\|Epoch' log || fail "no progress: $(cat log)"
ls board/*/events.out.tfevents* >/dev/null

# Told to stop and resumed, it ends with the same weights, whenever that was.
"$program" "${train[@]}" --model parts --save-steps 7 >log2 2>&1 &
child=$!
for _ in $(seq 200); do
  [[ -n $(ls parts/checkpoints 2>/dev/null) ]] && break
  sleep 0.02
done
kill -TERM "$child" 2>/dev/null || true
wait "$child" || fail "interrupted: $(cat log2)"
if [[ ! -f parts/weights.safetensors ]]; then
  grep -q 'resume' log2 || fail "no word of --resume: $(cat log2)"
  "$program" "${train[@]}" --model parts --save-steps 7 --resume >log3 2>&1 || fail "$(cat log3)"
fi
cmp whole/weights.safetensors parts/weights.safetensors

# What other programs are to train on is what this one trained on.
"$program" "${train[@]}" --model recorded --epochs 1 --record record >log4 2>&1 || fail "$(cat log4)"
[[ $(wc -l <record/train.jsonl) == 18 && $(wc -l <record/dev.jsonl) == 1 ]] || fail "batches recorded"
[[ $(stat -c %s record/initial.safetensors) == $(stat -c %s whole/weights.safetensors) ]]
cmp -s record/initial.safetensors recorded/weights.safetensors && fail "the weights recorded are not the first"
refused "all.tsv/none" "${train[@]}" --model refused --record all.tsv/none

# With a start and an end around the source.
"$program" "${train[@]}" --model ends --epochs 2 --source-ends --batch-loss --record ends_record >log5 2>&1 || fail "$(cat log5)"
grep -q 'val_batch_loss' log5 || fail "no mean over batches: $(cat log5)"
head -1 ends_record/train.jsonl | grep -q '"source":\[\[2,' || fail "no start in front of the source"
"$program" inspect ends --sentence abcd --picture ends.svg >/dev/null
grep -q '&lt;s&gt;' ends.svg || fail "no start in the picture"
[[ $(printf 'abc\n\n' | "$program" translate ends | sed -n 2p) == "" ]]
refused "cannot resume" "${train[@]}" --model ends --resume

# A decoder deeper than its encoder, and one as deep as it.
"$program" "${train[@]}" --model deeper --epochs 1 --decoder-layers 2 >log6 2>&1 || fail "$(cat log6)"
"$program" inspect deeper >layers
grep -q 'decoder/1 ' layers || fail "no second layer in the decoder: $(cat layers)"
grep -q 'encoder/1 ' layers && fail "a second layer in the encoder: $(cat layers)"
"$program" inspect whole >layers
grep -q 'decoder/1 ' layers && fail "a second layer nobody asked for"
refused "--decoder-layers" "${train[@]}" --model refused --decoder-layers 0

"$program" evaluate whole dev.tsv --json figures.json --show 2 >figures
exact=$(sed -n 's/.*"exact": \([0-9.]*\).*/\1/p' figures.json)
awk -v e="$exact" 'BEGIN { exit !(e > 20) }' || fail "it learned nothing: exact match $exact"
grep -q 'WER' figures

printf 'abc\n\nfed\n' >lines
[[ $("$program" translate whole lines | wc -l) == 3 ]]
diff <("$program" translate whole lines) <("$program" translate whole <lines)
[[ $("$program" translate whole lines --beam 4 --n-best 2 --scores | wc -l) == 6 ]]
diff <("$program" translate whole lines --sample --seed 3) <("$program" translate whole lines --sample --seed 3)
diff <("$program" translate whole lines) <("$program" translate whole lines --sample --top-k 1)
"$program" inspect whole | grep 'Total params' >/dev/null
"$program" inspect whole --sentence abcd --picture map.svg >/dev/null
grep -q '</svg>' map.svg

refused "a model is here already" "${train[@]}" --model whole
refused "nothing to resume" "${train[@]}" --model other --resume
refused "cannot resume" "${train[@]}" --model whole --resume --width 16
refused "no model is here" translate nowhere lines
refused "missing.tsv" train --train missing.tsv --dev dev.tsv --model other
refused "--n-best" translate whole lines --n-best 3
refused "--beam" translate whole lines --sample --beam 2
refused "multiple" "${train[@]}" --model other --heads 5
sed 's/^layers/layrs/' small.ini >misspelt.ini
refused "layrs" train --config misspelt.ini --train train.tsv --dev dev.tsv --model other
printf 'abc\n' >ragged.tsv
refused "ragged.tsv" train --train ragged.tsv --dev dev.tsv --model other
printf 'a\xff\tb\n' >latin.tsv
refused "latin.tsv" train --train latin.tsv --dev dev.tsv --model other
head -c 300 /dev/zero | tr '\0' a >long
refused "too long" translate whole long
head -c 100 whole/weights.safetensors >cut && cp -r whole torn && mv cut torn/weights.safetensors
refused "torn/weights.safetensors" translate torn lines
[[ ! -e other/weights.safetensors ]]
"$program" train --help | grep -- --label-smoothing >/dev/null
echo "seq2seq: all right"
