#!/usr/bin/env bash
# Plain text: subwords, scores as sacrebleu's, tables with a header, a dev set split off, unknown words, and limits of
# length. Usage: seq2seq_text.sh PROGRAM
set -euo pipefail
program=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"

# number FILE KEY: a number of a flat JSON text. close A B WHAT: equal to 1e-9.
number() { sed -n "s/^ *\"$2\": \([0-9.e-]*\),*/\1/p" "$1"; }
close() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d * d < 1e-18) }' || fail "$3 is $1, expected $2"; }

# Scores of plain text, beside what the sacrebleu package printed.
golden=$root/tests/golden/sacrebleu
for case in cased lowercase; do
  option=$([[ $case == cased ]] || echo --lowercase)
  "$program" score "$golden/translations.txt" "$golden/references.tsv" --json figures.json $option >figures
  sed -n "/\"$case\"/,/}/p" "$golden/scores.json" >expected
  for key in sacrebleu chrf; do
    close "$(number figures.json $key)" "$(number expected $key)" "$key of $case text"
    # The signatures differ in the version alone.
    same "$(sed -n "s/.*\"${key}_signature\": \"\(.*\)version.*/\1/p" figures.json)" \
      "$(sed -n "s/.*\"${key}_signature\": \"\(.*\)version.*/\1/p" expected)" "signature of $key"
  done
done
grep -q '^sacreBLEU   77.27  nrefs:2|case:lc|eff:no|tok:13a|smooth:exp|version:xtape-' figures || fail "figures: $(<figures)"
head -3 "$golden/translations.txt" >few
refused 1 'few: another number of lines: it has 3, expected 12' "$program" score few "$golden/references.tsv"
printf 'x y\n' >one.txt
printf 'a\tz z z z z\n' >one.tsv
"$program" score one.txt one.tsv >figures
grep -q '^sacreBLEU   0.00 ' figures && grep -q '^chrF        0.00 ' figures || fail "figures: $(<figures)"

# sacrebleu itself on 1,000 pairs, where both are installed: some words of the references are lost or moved.
data=${XTAPE_TASK_DATA-}/multi30k/de_en_raw/test.tsv.gz
python=${XTAPE_PYTHON-python3}
if [[ -r $data ]] && "$python" -c 'import sacrebleu' 2>/dev/null; then
  gzip -dc "$data" | head -1000 >real.tsv
  awk -F'\t' '{ n = split($2, w, " "); line = ""
    for (i = 1; i <= n; ++i) { if ((NR + i) % 7 == 0) continue; line = line (line == "" ? "" : " ") ((NR * i) % 11 == 0 && i < n ? w[i + 1] : w[i]) }
    print line }' real.tsv >real.txt
  "$program" score real.txt real.tsv --json figures.json >figures
  "$python" "$root/tests/golden/make/sacrebleu_scores.py" real.txt real.tsv >expected
  for key in sacrebleu chrf; do close "$(number figures.json $key)" "$(number expected $key)" "$key of real text"; done
  echo "1,000 real pairs: sacreBLEU $(number figures.json sacrebleu), chrF $(number figures.json chrf), as sacrebleu says"
else
  echo "skipped: sacrebleu on real pairs (XTAPE_TASK_DATA names the folder of the data, XTAPE_PYTHON a Python with sacrebleu)"
fi

# A table with a header; a dev set of its own.
tiny=(--width 16 --heads 2 --hidden 32 --layers 1 --max-length 40)
small=("${tiny[@]}" --epochs 2)
awk 'BEGIN { print "id,german,\"english\",more"; split("Hund Katze Maus Vogel", g, " "); split("dog cat mouse bird", e, " ")
  for (i = 0; i < 200; ++i) { a = 1 + i % 4; b = 1 + int(i / 4) % 4
    printf "%d,\"Ein \"\"%s\"\", und %s%d.\",\"A \"\"%s\"\", and a %s%d.\",\n", i, g[a], g[b], i % 10, e[a], e[b], i % 10 } }' >table.csv
"$program" train --train table.csv --columns german,english,more --dev-split 0.2 --model table "${small[@]}" >log
grep -Eq '^1[4-7][0-9] pairs, [2-5][0-9] of dev' log || fail "a dev set split off: $(<log)"
gzip -c table.csv >other.csv.gz
"$program" evaluate table other.csv.gz --columns german,english >figures
grep -q '^pairs       200' figures || fail "figures: $(<figures)"
refused 1 "--columns: no such column: it is 'french', expected one of 'id', 'german', 'english', 'more'" \
  "$program" evaluate table table.csv --columns german,french
printf 'a,b\n1,2\n3\n' >ragged.csv
refused 1 'ragged.csv: line 3: ragged: it has 1 columns, expected 2' "$program" evaluate table ragged.csv
printf 'a,b\n1,"2\n3\n' >open.csv
refused 1 'open.csv: line 2: open quote' "$program" evaluate table open.csv
printf 'a,b\n1,2"3"\n' >inside.csv
refused 1 'inside.csv: line 2: a quote inside a field' "$program" evaluate table inside.csv
printf 'a\n1\n' >single.csv
refused 1 'single.csv: line 1: no columns' "$program" evaluate table single.csv
refused 1 '--dev, --dev-split: none is given' "$program" train --train table.csv --model none "${small[@]}"
refused 1 '--dev, --dev-split: both are given' "$program" train --train table.csv --dev table.csv --dev-split 0.1 --model none "${small[@]}"
refused 1 '--dev-split: no pair is left' "$program" train --train table.csv --dev-split 1e-9 --model none "${small[@]}"
refused 1 '--dev-split: no pair is left to learn from' "$program" train --train table.csv --dev-split 1 --model none "${small[@]}"

# Every seed has the same dev pairs, and so the same tokens: the models make an ensemble.
"$program" train --train table.csv --columns german,english --dev-split 0.2 --model other "${small[@]}" --seed 5 >log
grep -q '^the training has [0-9]* steps and --warmup 100' log || fail "log: $(<log)"
"$program" evaluate table table.csv --columns german,english --ensemble other >figures

# Unknown input is counted. Unknown words are written only on request: this model learns little else.
for i in $(seq 300); do printf 'a b\tx%s\n' "$i"; done >rare.tsv
"$program" train --train rare.tsv --dev rare.tsv --model rare --source-tokens space --target-tokens space --min-frequency 2 \
  "${small[@]}" --learning-rate 1e-2 --warmup 5 >log
printf 'a b c\nd b\n' | "$program" translate rare >out 2>err
same "$(<err)" 'seq2seq: 2 of 5 tokens of the input are unknown to the model: not in its training file' "what was said"
if grep -q unk out; then fail "an unknown word was written: $(<out)"; fi
same "$(printf 'a b\n' | "$program" translate rare --allow-unknown)" '<unk>' "an unknown word that is allowed"
printf 'a z\tx1\n' >unknown.tsv
"$program" evaluate rare unknown.tsv >figures 2>err
same "$(<err)" 'seq2seq: 1 of 2 tokens of the input is unknown to the model: not in its training file' "what evaluate said"

# A limit of length relative to the source.
for _ in $(seq 100); do printf 'a\tb%s\n' "$(repeated 30 ' b')"; done >long.tsv
"$program" train --train long.tsv --dev long.tsv --model long --source-tokens space --target-tokens space "${tiny[@]}" \
  --epochs 8 --learning-rate 1e-2 --warmup 5 --length-factor 2 >log
for options in '' '--beam 3' '--sample'; do
  same "$(echo a | "$program" translate long --length-factor 2 $options | wc -w)" 12 "words with a limit and '$options'"
done
(($(echo a | "$program" translate long | wc -w) > 20)) || fail "words without a limit"

# Subwords, where the program was built with them.
text=(train --train table.csv --columns german,english --dev-split 0.2 "${tiny[@]}" --source-tokens sentencepiece
  --target-tokens sentencepiece --subword-coverage 1)
train=("${text[@]}" --epochs 2 --subwords 80)
if "$program" "${train[@]}" --model text >log 2>err; then :; else
  grep -q 'sentencepiece is not built in' err || fail "subwords: $(<err)"
  echo "skipped: subwords (built without SentencePiece)"
  # --columns of a table names two columns at least, and only a file .csv has a header.
printf 'german,english\nab,ba\n' >two.csv
refused 1 '--columns: one name' "$program" evaluate text two.csv --columns german
printf 'ab\tba\n' >two.tsv
refused 1 '--columns: two.tsv has no header' "$program" evaluate text two.tsv --columns german,english
echo "seq2seq_text: all right"
  exit 0
fi
[[ ! -s err ]] || fail "training said: $(<err)"
grep -q 'sacreBLEU .*, chrF ' log || fail "no scores of text: $(<log)"
grep -q '▁' text/source.vocab && [[ -s text/source.spm && -s text/target.spm ]] || fail "no subwords"
cmp -s text/source.spm text/target.spm && fail "one model for two languages"
# Text comes back as text, with its quotes and points.
"$program" "${text[@]}" --model learned --subwords 80 --epochs 60 --learning-rate 1e-2 --warmup 20 --score-every 0 >log
same "$(echo 'Ein "Hund", und Maus7.' | "$program" translate learned)" 'A "dog", and a mouse7.' "a translation"
"$program" evaluate learned table.csv --columns german,english >figures
grep -Eq '^sacreBLEU   (9[5-9]|100)\.[0-9]*  nrefs:1\|case:mixed' figures || fail "figures: $(<figures)"
echo 'Ein "Hund", und Maus7. 日本' | "$program" translate learned >out 2>err
grep -q 'unknown to the model' err || fail "no word of unknown characters: $(<err)"
"$program" inspect learned --sentence 'Ein "Hund", und Maus7.' >/dev/null
# BPE, one model for both sides, and shared tables.
"$program" "${train[@]}" --model joint --subword-kind bpe --joint-subwords >log
cmp joint/source.spm joint/target.spm
"$program" "${train[@]}" --model tied --subword-kind bpe --tying all >log
cmp tied/source.spm joint/source.spm
cmp tied/source.vocab tied/target.vocab
cmp -s text/source.spm joint/source.spm && fail "unigram and BPE are the same"
# One side only.
"$program" train --train table.csv --columns german,english --dev-split 0.2 "${small[@]}" --target-tokens sentencepiece \
  --subwords 80 --subword-coverage 1 --model half >log
[[ ! -e half/source.spm ]] || fail "subwords nobody asked for"
# The same twice, and when it goes on.
"$program" "${train[@]}" --model again >log
cmp text/weights.safetensors again/weights.safetensors
"$program" "${train[@]}" --model text --resume >log
grep -q 'finished before' log || fail "resumed: $(<log)"
refused 1 '--subwords' "$program" "${text[@]}" --epochs 2 --model text --resume --subwords 90
# Files that do not fit, and numbers that cannot be.
cp -r text broken
cp joint/target.spm broken/target.spm
refused 1 'broken/target.spm: another model of subwords' "$program" translate broken
head -c 100 text/target.spm >broken/target.spm
refused 1 'broken/target.spm: ' "$program" translate broken
rm broken/target.spm
refused 1 'broken/target.spm: cannot be read' "$program" translate broken
refused 1 '--subwords: too few: it is 10, expected at least' "$program" "${text[@]}" --epochs 2 --model none --subwords 10
[[ ! -e none ]] || fail "a folder of a training that was refused"
"$program" "${text[@]}" --epochs 2 --model many --subwords 100000 >log  # fewer, as the text has no more
echo "seq2seq_text: all right"
