#!/usr/bin/env bash
# Other people's data: pairs and lines that are too long, empty, malformed or odd. Usage: seq2seq_data.sh PROGRAM
set -euo pipefail
program=$1
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"

small=(--width 8 --heads 1 --hidden 8 --layers 1 --epochs 2)
for _ in $(seq 50); do printf 'abc\tcba\nde\ted\n'; done >t.tsv
"$program" train --train t.tsv --dev t.tsv --model m "${small[@]}" --max-length 20 >log

# Training leaves out pairs that are too long, whatever they are for.
long=$(repeated 300 a)
printf 'ab\tba\n%s\taa\naa\t%s\n' "$long" "$long" >dev.tsv
{ cat t.tsv; printf 'ab\tQ%s\n' "$long"; } >train.tsv
for every in 0 1; do
  "$program" train --train train.tsv --dev dev.tsv --model long$every "${small[@]}" --score-every $every >log
  grep -q '^dev.tsv: 2 pairs are left out' log || fail "pairs left out: $(<log)"
  grep -q '^train.tsv: 1 pair is left out' log || fail "a pair left out: $(<log)"
  grep -q '^100 pairs, 1 of dev' log || fail "pairs: $(<log)"
  [[ -s long$every/weights.safetensors ]] || fail "no weights"
done
# They are not in the vocabulary either, because no weight of theirs would be trained.
if grep -q '^Q' long1/target.vocab; then fail "a token of a pair that is left out"; fi
printf '%s\taa\n' "$long" >only.tsv
refused 1 'no pair is left' "$program" train --train t.tsv --dev only.tsv --model none "${small[@]}"
refused 1 'no pair is left' "$program" train --train only.tsv --dev t.tsv --model none "${small[@]}"
[[ ! -e none ]] || fail "a folder of a training that was refused"

# evaluate counts them as wrong, leaves them out, or cuts them.
{ cat t.tsv; printf '%s\taa\n' "$(repeated 30 a)"; } >test.tsv
figure() { sed -n "s/^$1 *\([0-9.]*\).*/\1/p" figures; }
"$program" evaluate m t.tsv >figures
plain=$(figure 'exact match')
"$program" evaluate m test.tsv >figures
grep -q '^1 source is longer than 20 tokens: counted as wrong' figures || fail "figures: $(<figures)"
same "$(figure pairs)" 101 "pairs"
awk -v a="$plain" -v b="$(figure 'exact match')" 'BEGIN { d = a * 100 / 101 - b; exit !(d * d < 1e-3) }' || fail "exact match"
"$program" evaluate m test.tsv --too-long leave-out --json json >figures
grep -q 'tokens: left out' figures && grep -q '"too_long": 1' json || fail "figures: $(<figures)"
same "$(figure pairs)" 100 "pairs"
same "$(figure 'exact match')" "$plain" "exact match"
"$program" evaluate m test.tsv --crop >figures
grep -q 'cut, as --crop says' figures || fail "figures: $(<figures)"
same "$(figure pairs)" 101 "pairs"

# translate: as many lines as the input has, whatever they are, from a file and from standard input.
{
  printf '\xef\xbb\xbfabc\r\n\n'
  repeated 25 a
  printf '\nde\n\xff\xfe\nab\x00c\n\tabc \nabc'
} >lines
for n in 1 3; do
  options=(--beam 3 --n-best $n)
  refused 1 'lines: line 3: too long: it has 25 tokens, expected at most 20' "$program" translate m lines "${options[@]}"
  cp out from_file
  cp err said
  grep -q 'lines: line 5: malformed UTF-8' err && grep -q 'lines: line 6: NUL byte' err || fail "said: $(<err)"
  grep -q '3 of 8 lines could not be translated' err || fail "said: $(<err)"
  same "$(wc -l <from_file)" $((8 * n)) "the number of lines"
  same "$(sed -n "$((2 * n + 1)),$((3 * n))p;$((4 * n + 1)),$((6 * n))p" from_file | tr -d '\n')" "" "what is not translated"
  code=0
  "$program" translate m "${options[@]}" <lines >out 2>err || code=$?
  same "$code" 1 "status from standard input"
  cmp out from_file
  cmp <(sed 's/standard input/lines/' err) said
done
same "$(sed -n 1p from_file)" "$(printf 'abc\n' | "$program" translate m --beam 3)" "a line behind a byte order mark"
gzip -c lines >lines.gz
refused 1 'lines.gz: line 3: too long' "$program" translate m lines.gz --beam 3 --n-best 3
cmp out from_file
"$program" translate m --beam 3 --n-best 3 <lines.gz >out 2>err || true
cmp out from_file
# What was read before the damage is translated.
head -c 40 lines.gz >cut.gz
refused 1 'truncated gzip' "$program" translate m cut.gz
refused 1 'truncated gzip' "$program" translate m <cut.gz
same "$(printf '' | "$program" translate m | wc -l)" 0 "lines of an empty input"
: >empty
same "$("$program" translate m empty | wc -l)" 0 "lines of an empty file"
repeated 25 a >one
"$program" translate m one --crop >out 2>err
same "$(wc -l <out)" 1 "lines with --crop"
grep -q '1 line was cut to 20 tokens' err || fail "said: $(<err)"
cmp out <(repeated 20 a | "$program" translate m)
refused 1 '' "$program" translate m one --scores
same "$(<out)" $'-inf\t' "the score of no translation"
# Fewer hypotheses than asked for, with few tokens and little length.
same "$(printf 'abc\n' | "$program" translate m --beam 60 --n-best 60 --max-length 1 | wc -l)" 60 "lines of few hypotheses"
# The number of a line counts from the beginning of the input.
{ for _ in $(seq 1030); do echo abc; done; repeated 29 a; } >late
refused 1 'late: line 1031: too long' "$program" translate m late
same "$(wc -l <out)" 1031 "lines of a long input"
refused 1 'standard input: line 1031: too long' "$program" translate m <late
refused 1 '--n-best: too many' "$program" translate m one --n-best 2

# A sample depends on its line number, the seed and its own number alone.
for _ in $(seq 300); do echo abc; done >same.txt
sample=("$program" translate m --sample --seed 5)
"${sample[@]}" same.txt >s1
for batch in 1 7 64; do
  "${sample[@]}" --batch-size $batch <same.txt >s2
  cmp s1 s2
done
(($(sort -u s1 | wc -l) > 100)) || fail "samples repeat"
"${sample[@]}" same.txt --n-best 2 >s3
cmp s1 <(sed -n '1~2p' s3)
cmp -s s1 <(sed -n '2~2p' s3) && fail "the second sample is the first"
for other in ab '' "$(repeated 25 a)" abcdea $'\xff'; do
  printf 'abcde\n%s\ncba\n' "$other" | "${sample[@]}" 2>err | sed -n '1p;3p' >"other.${#other}" || true
done
for file in other.*; do cmp other.0 "$file"; done

# Words that are spelled as special tokens are words.
for _ in $(seq 90); do printf 'a <pad>\t<end> x\nc d\ty <pad> z\ne <end>\t\\<end> <start>\n'; done >special.tsv
"$program" train --train special.tsv --dev special.tsv --model special --source-tokens space --target-tokens space \
  --width 16 --heads 2 --hidden 32 --layers 1 --epochs 12 --learning-rate 1e-2 --warmup 10 >log
same "$(printf 'a <pad>\nc d\ne <end>\n' | "$program" translate special)" $'<end> x\ny <pad> z\n\\<end> <start>' "a translation"
"$program" evaluate special special.tsv >figures
same "$(figure 'exact match')" 100.00 "exact match of special words"
"$program" inspect special --sentence 'e <end>' --picture special.svg >out
same "$(head -1 out)" '\<end> <start>' "the translation of inspect"
"$program" train --help | grep -A3 -e --source-tokens | grep '<pad>' >/dev/null || fail "no word of special tokens in --help"

# BLEU is of tokens as they are.
for _ in $(seq 100); do printf 'a b c\tu v w x y\nc b a\ty x w v u\n'; done >lower.tsv
printf 'a b c\tU V W X Y\nc b a\tY X W V U\n' >upper.tsv
for option in '' --lowercase; do
  "$program" train --train lower.tsv --dev lower.tsv --model "case$option" --source-tokens space --target-tokens space \
    --width 16 --heads 2 --hidden 32 --layers 1 --epochs 16 --learning-rate 1e-2 --warmup 10 $option >log
  "$program" evaluate "case$option" upper.tsv >figures
  if [[ $option == '' ]]; then expected=0.00; else expected=100.00; fi
  same "$(figure BLEU)" $expected "BLEU with '$option'"
  same "$(figure 'exact match')" $expected "exact match with '$option'"
done
"$program" evaluate --help | grep 'Case counts' >/dev/null || fail "no word of case in --help"
echo "seq2seq_data: all right"
