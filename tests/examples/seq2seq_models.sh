#!/usr/bin/env bash
# Models that live on: fine-tuning, frozen layers, averages, ensembles, optimizers and schedules, alignments, JSON lines,
# and what a model's folder says of itself. Usage: seq2seq_models.sh PROGRAM
set -euo pipefail
program=$1
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"

awk 'BEGIN { srand(3); for (i = 0; i < 300; ++i) { s = t = ""; n = 2 + int(4 * rand())
  for (j = 0; j < n; ++j) { c = sprintf("%c", 97 + int(6 * rand())); s = s c; t = c " " t }
  sub(/ $/, "", t); print s "\t" t } }' >first.tsv
tail -60 first.tsv >dev.tsv
# The second file has letters that the first has not.
sed 's/a/y/g' first.tsv >second.tsv
sed 's/a/y/g' dev.tsv >dev2.tsv
tiny=(--target-tokens space --layers 1 --width 24 --heads 2 --hidden 32 --max-length 20)
fast=(--learning-rate 5e-3 --warmup 10 --batch-size 20)
"$program" train --train first.tsv --dev dev.tsv --model one "${tiny[@]}" "${fast[@]}" --epochs 10 --keep 3 >log

# Scores of every second epoch are told with the weights that have them.
"$program" train --train first.tsv --dev dev.tsv --model rare "${tiny[@]}" "${fast[@]}" --epochs 4 --best last --score-every 2 >log
grep -q '^the weights are those of epoch 4: val_loss [0-9.]*, val_exact' log || fail "log: $(tail -3 log)"

# Rounded products belong to the run.
"$program" train --train first.tsv --dev dev.tsv --model rounded "${tiny[@]}" "${fast[@]}" --schedule constant --epochs 1 --products bfloat16 >log
grep -q '^| `--products` | bfloat16 |' rounded/README.md || fail "README.md: $(<rounded/README.md)"
refused 1 'cannot resume with other options or data: --products' "$program" train --train first.tsv --dev dev.tsv --model rounded \
  "${tiny[@]}" "${fast[@]}" --schedule constant --epochs 2 --resume

# The folder says what is in it.
grep -q 'It was trained on 300 pairs of first.tsv, and chosen by 60 pairs of dev.tsv.' one/README.md || fail "card: $(<one/README.md)"
grep -q '^Scores on the dev pairs: val_loss ' one/README.md || fail "card: $(<one/README.md)"
grep -q '`--epochs` | 10 |' one/README.md || fail "card: $(<one/README.md)"
same "$(tr -d ' \n' <one/log.json | sed 's/.*"epochs":\[\([0-9,]*\)\].*/\1/')" 0,1,2,3,4,5,6,7,8,9 "epochs in log.json"
grep -q val_loss one/log.json && grep -q '</svg>' one/curves.svg || fail "no log or curves"

# A README.md that somebody wrote stays.
mkdir mine
echo 'my notes' >mine/README.md
"$program" train --train dev.tsv --dev dev.tsv --model mine "${tiny[@]}" --epochs 1 --score-every 0 >log
same "$(<mine/README.md)" 'my notes' "a README.md of somebody"

# A model of the first letters learns the second ones, with its own options and tokens.
"$program" train --init one --train second.tsv --dev dev2.tsv --model two "${fast[@]}" --epochs 1 >log
grep -q 'in part: source_embedding/embeddings is (10, 24) there, and (11, 24) here' log || fail "taken: $(<log)"
grep -q '^from one: .* of .* arrays' log || fail "taken: $(<log)"
if grep -q 'not taken' log; then fail "taken: $(<log)"; fi
grep -q 'It began with the weights of one.' two/README.md || fail "card: $(<two/README.md)"
"$program" train --train second.tsv --dev dev2.tsv --model cold "${tiny[@]}" "${fast[@]}" --epochs 1 >log
loss() { "$program" evaluate "$1" dev2.tsv | sed -n 's/^loss *\([0-9.]*\).*/\1/p'; }
awk -v a="$(loss two)" -v b="$(loss cold)" 'BEGIN { exit !(a < 0.8 * b) }' || fail "fine-tuned $(loss two), from nothing $(loss cold)"
# Old letters are still read.
printf 'abc\n' | "$program" translate two 2>err >out
[[ ! -s err ]] || fail "an old letter is unknown: $(<err)"
# The same twice, and resumed.
"$program" train --init one --train second.tsv --dev dev2.tsv --model twice "${fast[@]}" --epochs 1 >log
cmp two/weights.safetensors twice/weights.safetensors
"$program" train --init one --train second.tsv --dev dev2.tsv --model two "${fast[@]}" --epochs 1 --resume >log
grep -q 'finished before' log || fail "resumed: $(<log)"
# The tokens of --init belong to the run, and its folder is another one.
"$program" train --train first.tsv --dev dev.tsv --model start "${tiny[@]}" --epochs 1 >log
"$program" train --init start --train first.tsv --dev dev.tsv --model after "${fast[@]}" --schedule constant --epochs 1 >log
"$program" train --train second.tsv --dev dev2.tsv --model start "${tiny[@]}" --epochs 1 --overwrite >log
refused 1 'cannot resume with other options or data: tokens of --init' "$program" train --init start --train first.tsv --dev dev.tsv \
  --model after "${fast[@]}" --schedule constant --epochs 2 --resume
refused 1 'it is the folder of --model' "$program" train --init start --train first.tsv --dev dev.tsv --model ./start --overwrite --epochs 1
refused 1 'no subwords are learned' "$program" train --init start --train first.tsv --dev dev.tsv --model none --subwords 50
# Weights that are no numbers are not saved; nor is a training that would learn nothing begun.
for best in val_loss last; do
  refused 1 'the weights are of no use' "$program" train --train first.tsv --dev dev.tsv --model diverged "${tiny[@]}" --optimizer sgd \
    --learning-rate 1e30 --clip-norm 0 --score-every 0 --epochs 2 --best $best --overwrite
  [[ ! -e diverged/weights.safetensors ]] || fail "weights of a training that diverged"
done
refused 1 'nothing would be learned' "$program" train --train first.tsv --dev dev.tsv --model none "${tiny[@]}" --epochs 1 --accumulate 1000
refused 1 'not an option of this schedule' "$program" train --train first.tsv --dev dev.tsv --model none "${tiny[@]}" --decay-steps 9 --schedule constant
refused 1 'not an option of this schedule' "$program" train --train first.tsv --dev dev.tsv --model none "${tiny[@]}" --final-rate 0.1 --schedule noam
refused 1 'no pair is left for validation' "$program" train --train dev.tsv --dev-split 1e-9 --model none "${tiny[@]}"
refused 1 'no pair is left to learn from' "$program" train --train dev.tsv --dev-split 0.999999 --model none "${tiny[@]}"
echo 'source,target' >header.csv
refused 1 'header.csv: no pairs' "$program" train --train header.csv --dev dev.tsv --model none "${tiny[@]}"
# An output that names an input would destroy it.
cut -f 1 dev.tsv >lines
cp lines kept
refused 1 '--alignment: it is an input' "$program" translate one lines --alignment ./lines
cmp lines kept
refused 1 '--json: it is an input' "$program" evaluate one dev.tsv --json dev.tsv
refused 1 '--json: it is an input' "$program" score lines dev.tsv --json lines
cmp lines kept
# Limits that are beyond all lengths, short models, tokens as people spell them, translations that are right.
"$program" translate one lines --ensemble rare --length-factor 1e300 >out
same "$(wc -l <out)" 60 "translations of an ensemble with a large limit"
"$program" train --train first.tsv --dev dev.tsv --model short "${tiny[@]/#20/6}" --positions learned --epochs 1 >log
"$program" inspect short >log
printf 'x <end>\tx <end>\nX y\tx Y\n' >marks.tsv
"$program" train --train marks.tsv --dev marks.tsv --model marks --source-tokens space "${tiny[@]}" --lowercase --epochs 60 --batch-size 2 \
  --learning-rate 1e-2 --warmup 5 --dropout 0 --score-every 0 >log
same "$("$program" evaluate marks marks.tsv --show 9 | grep -c right:)" 0 "wrong translations"
echo '{"source": "x <end>"}' | "$program" translate marks --json | grep -q '"source_tokens":\["x","<end>"\],"translations":.*"tokens":\["x","<end>"\]' ||
  fail "tokens of JSON lines"
same "$("$program" inspect marks --sentence 'x zzz' --picture at.svg | head -n 1)" "$(echo 'x zzz' | "$program" translate marks 2>/dev/null)" "inspect and translate"
# Rates of dropout are options of the model, too.
"$program" train --train first.tsv --dev dev.tsv --model rates "${tiny[@]}" --dropout 0.2345678 --attention-dropout 0 --epochs 1 >log
"$program" train --init rates --train first.tsv --dev dev.tsv --model rates2 --epochs 1 >log
rates() { tr -d ' \n' <"$1/options.json" | grep -o '"[a-z_]*dropout":[^,}]*'; }
same "$(rates rates2)" "$(rates rates)" "rates of dropout"
grep -q '^| `--dropout` | 0.2345678 |' rates2/README.md || fail "README.md: $(<rates2/README.md)"
# Other options: what does not fit is listed.
"$program" train --init one --train first.tsv --dev dev.tsv --model deep --layers 2 --hidden 40 --epochs 1 >log
grep -q 'not taken: encoder/0/feed_forward/intermediate/kernel is (24, 32) there, expected (24, 40)' log || fail "taken: $(<log)"
grep -q 'new: decoder/1/' log || fail "taken: $(<log)"
refused 1 'nothing fits' "$program" train --init one --train first.tsv --dev dev.tsv --model none --width 8 --hidden 9 --no-bias --layers 1
refused 1 'nowhere: no model is here' "$program" train --init nowhere --train first.tsv --dev dev.tsv --model none
# Frozen layers stay.
"$program" train --init one --train first.tsv --dev dev.tsv --model frozen "${fast[@]}" --epochs 1 --record initial \
  --freeze encoder,source_embedding >log
tensors() { LC_ALL=C grep -aoE '"(encoder|source_embedding|decoder|output)[^"]*"' "$1" | sort -u; }
[[ $(tensors frozen/weights.safetensors) ]] || fail "no names of tensors"
"$program" average one frozen --model both >log
python=$(command -v python3 || true)
if [[ $python ]]; then
  "$python" - <<'P' || fail "frozen layers"
import json, struct
def read(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    return {k: data[8 + n:][v["data_offsets"][0]:v["data_offsets"][1]] for k, v in head.items() if k != "__metadata__"}
a, b, mean = (read(f"{m}/weights.safetensors") for m in ("one", "frozen", "both"))
for name in a:
    assert (a[name] == b[name]) == name.startswith(("encoder/", "source_embedding/")), name
def floats(x): return struct.unpack(f"<{len(x) // 4}f", x)
for name in a:
    for x, y, z in zip(floats(a[name]), floats(b[name]), floats(mean[name])):
        assert abs((x + y) / 2 - z) <= 1e-6 * max(1, abs(z)), name
P
fi
refused 1 '--freeze nothing' "$program" train --init one --train first.tsv --dev dev.tsv --model none --freeze nothing
refused 1 'nothing is left to train' "$program" train --train first.tsv --dev dev.tsv --model none "${tiny[@]}" \
  --freeze encoder,decoder,source_embedding,target_embedding,output,encoder_norm,decoder_norm
[[ ! -e none ]] || fail "a folder of a training that was refused"

# The mean of checkpoints.
"$program" average one --last 3 --model mean >log
grep -q '^the mean of 3 sets of weights is in mean' log || fail "said: $(<log)"
grep -q '^- one/checkpoints/checkpoint-00000010.safetensors' mean/README.md || fail "card: $(<mean/README.md)"
"$program" evaluate mean dev.tsv >figures
"$program" average one one --model same >log
cmp one/weights.safetensors same/weights.safetensors
refused 1 'a model is here already' "$program" average one --model mean
refused 1 '--last: too many: it is 4, expected at most 3' "$program" average one --last 4 --model none
refused 1 'deep: another model' "$program" average one deep --model none

# A model with itself is the model; two models are others.
"$program" train --train first.tsv --dev dev.tsv --model seed "${tiny[@]}" "${fast[@]}" --epochs 4 --seed 9 >log
cut -f1 dev.tsv >lines
for options in '' '--beam 4' '--beam 4 --n-best 3 --length-penalty 1' '--beam 3 --length-penalty 0' '--length-factor 0.2'; do
  "$program" translate one lines $options --scores >alone
  "$program" translate one lines $options --scores --ensemble one >pair
  cmp alone pair || fail "an ensemble of one model with '$options'"
done
"$program" translate one lines --scores >alone
"$program" translate one lines --scores --ensemble seed >pair
cmp -s alone pair && fail "the second model has no say"
"$program" evaluate one dev.tsv --ensemble seed >figures
grep -q '^loss and perplexity are of the first model alone' figures || fail "figures: $(<figures)"
refused 1 '--ensemble two: another language' "$program" translate one lines --ensemble two
refused 1 '--sample: cannot be combined with --ensemble' "$program" translate one lines --ensemble seed --sample

# Alignments: this model reads from behind. JSON lines come back with everything.
"$program" translate one lines --alignment pairs >out
same "$(wc -l <pairs)" 60 "lines of alignments"
paste -d' ' out pairs | awk '{ n = NF / 2; for (i = 1; i <= n; ++i) { split($(n + i), p, "-"); if (p[2] != i - 1) exit 1 } }' || fail "pairs: $(head -3 pairs)"
"$program" translate one lines --beam 2 --n-best 2 --alignment pairs2 >out2
same "$(wc -l <pairs2)" 120 "lines of alignments of two translations"
"$program" translate one lines --ensemble one --alignment pairs3 >out3
cmp pairs pairs3
refused 1 'out/none: cannot be written' "$program" translate one lines --alignment out/none
{
  printf '{"id": 7, "source": "abc"}\n{"source": ""}\nabc\n{"text": "abc"}\n{"source": 3}\n'
  repeated 99999 '['
  printf '\n{"source": "\\u0063ba"}\n'
} >objects
refused 1 'objects: line 3: malformed JSON' "$program" translate one objects --json --beam 2 --n-best 2
same "$(wc -l <out)" 7 "lines of JSON"
grep -q '4 of 7 lines could not be translated' err && grep -q 'line 6: nested too deeply' err || fail "said: $(<err)"
grep -q "line 4: no text 'source'" err || fail "said: $(<err)"
[[ $(sed -n 1p out) == '{"id":7,"source":"abc","source_tokens":["a","b","c"],"translations":[{"text":"'*'","score":'*'"alignment":"'* ]] || fail "JSON: $(sed -n 1p out)"
same "$(sed -n 2p out)" '{"source":"","source_tokens":[],"translations":[]}' "an empty source"
same "$(sed -n 3p out)" '{"translations":[]}' "what is no JSON"
same "$(sed -n 5p out)" '{"source":3,"translations":[]}' "an object without a text"
text=$(sed -n 7p out | sed 's/.*"translations":\[{"text":"\([^"]*\)".*/\1/')
same "$text" "$(echo cba | "$program" translate one --beam 2)" "the text of JSON"
refused 1 '--json: cannot be combined' "$program" translate one objects --json --scores
"$program" translate one lines --sample --n-best 3 --seed 1 --scores >out
same "$(wc -l <out)" 180 "three samples of each line"

# Every optimizer and schedule trains; options that a formula has not are refused.
short=(train --train dev.tsv --dev dev.tsv "${tiny[@]}" --batch-size 20 --epochs 2 --score-every 0)
for optimizer in adam adamw sgd adamax nadam lamb lion adagrad adadelta rmsprop adafactor; do
  "$program" "${short[@]}" --model "o_$optimizer" --optimizer $optimizer --weight-decay 0.01 >log
  [[ $optimizer == adam || $optimizer == adamw ]] && continue  # one formula, two defaults
  cmp -s o_adam/weights.safetensors "o_$optimizer/weights.safetensors" && fail "$optimizer is adam"
done
for schedule in constant cosine restarts noam exponential inverse-time polynomial 'piecewise --boundaries 2,4 --factors 0.5,0.1'; do
  decay=(--decay-steps 3)
  if [[ $schedule =~ ^(constant|noam|piecewise) ]]; then decay=(); fi
  "$program" "${short[@]}" --model "s_${schedule%% *}" --warmup 0 --learning-rate 1e-2 --schedule $schedule "${decay[@]}" >log
  [[ $schedule == constant ]] && continue
  cmp -s s_constant/weights.safetensors "s_${schedule%% *}/weights.safetensors" && fail "$schedule is constant"
done
"$program" "${short[@]}" --model momentum --optimizer sgd --momentum 0.9 --nesterov >log
cmp -s momentum/weights.safetensors o_sgd/weights.safetensors && fail "no momentum"
refused 1 '--momentum: not an option of this optimizer' "$program" "${short[@]}" --model none --momentum 0.9
refused 1 '--boundaries, --factors: other lengths: they have 1 and 0' "$program" "${short[@]}" --model none --schedule piecewise --boundaries 3
# Two batches an update are half the updates.
"$program" "${short[@]}" --model accumulated --accumulate 2 >log
cmp -s accumulated/weights.safetensors o_adam/weights.safetensors && fail "--accumulate changes nothing"
[[ ! -e none ]] || fail "a folder of a training that was refused"
echo "seq2seq_models: all right"
