#!/usr/bin/env bash
# Where output goes: full disks, closed descriptors, unreadable input, and terminals.
# Usage: output.sh SEQ2SEQ LANGUAGE_MODEL
set -euo pipefail
program=$1
writer=$2
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"

for _ in $(seq 50); do printf 'abc\tcba\nde\ted\n'; done >t.tsv
train=(train --train t.tsv --dev t.tsv --width 8 --heads 1 --hidden 8 --layers 1 --epochs 2 --max-length 20)
"$program" "${train[@]}" --model m >log
for _ in $(seq 40); do echo 'abc def ghi'; done >text
write=(train --train text --dev text --layers 1 --width 8 --heads 1 --block 8 --batch-size 4 --steps 4 --report 2)
"$writer" "${write[@]}" --model w >log
printf 'abc\n' >one

# No command ends with status 0 if its output is lost.
commands=("$program translate m one" "$program evaluate m t.tsv" "$program inspect m"
  "$program inspect m --sentence abc --picture p.svg" "$program --help" "$program train --help"
  "$program --version" "$program ${train[*]} --overwrite --model again"
  "$writer evaluate w text" "$writer write w" "$writer --help" "$writer --version"
  "$writer ${write[*]} --overwrite --model again_w")
for command in "${commands[@]}"; do
  code=0
  $command >/dev/full 2>err || code=$?
  same "$code" 1 "status of '$command' on a full disk"
  grep -q 'standard output: cannot be written' err || fail "'$command' said: $(<err)"
done
[[ -s again/weights.safetensors && -s again_w/weights.safetensors ]] || fail "a training was lost with its report"
code=0
(
  trap '' PIPE
  for _ in $(seq 20000); do echo abc; done 2>/dev/null | "$program" translate m 2>err
  exit "${PIPESTATUS[1]}"
) | head -1 >/dev/null || code=$?
grep -q 'standard output: cannot be written' err || fail "a broken pipe: status $code, $(<err)"

# Closed descriptors are open on /dev/null: no report goes into a file that would have their number.
for closed in '>&-' '2>&-' '<&-' '<&- >&- 2>&-'; do
  rm -rf board closed
  eval '"$program" "${train[@]}" --model closed --tensorboard board >>log' "$closed" || fail "training with $closed"
  cmp m/source.vocab closed/source.vocab
  if grep -rac '^Epoch [0-9]\|^dev: \|^the model is' board closed | grep -v ':0$'; then fail "reports in files with $closed"; fi
done
for command in "${commands[@]:0:4}" "$writer evaluate w text" "$writer write w"; do
  refused 1 'standard output: closed' eval "$command >&-"
done
refused 1 'standard input: cannot be read' eval '"$program" translate m <&-'
refused 1 'standard input: cannot be read: Is a directory' eval '"$program" translate m </'
refused 1 'not a regular file' "$program" translate m /
code=0
printf '\xff\n' | "$program" translate m 2>&- >out || code=$?
same "$code:$(wc -l <out)" 1:1 "status and lines without standard error"

# A file that cannot be written is told, whichever it is.
limited() {
  (
    trap '' XFSZ
    ulimit -f 0
    exec "$@"
  ) 2>&1 >/dev/null | cat >&2  # the limit is also one of this file
  return "${PIPESTATUS[0]}"
}
refused + 'figures.json' limited "$program" evaluate m t.tsv --json figures.json
refused + 'picture.svg' limited "$program" inspect m --sentence abc --picture picture.svg
refused + 'cannot be written' limited "$program" "${train[@]}" --model full
refused + 'cannot be written' limited "$writer" "${write[@]}" --model full_w
refused + 'one: cannot be made' "$program" "${train[@]}" --model full --tensorboard one/board
[[ ! -s full/weights.safetensors && ! -e figures.json && ! -e picture.svg ]] || fail "a file that was not written is there"

# Messages are short, and have no control characters.
refused + 'bytes more)' "$program" translate "$(repeated 9000 x)"
(($(wc -c <err) <= 2100)) || fail "a message of $(wc -c <err) bytes"
refused + '\x1b[2J' "$program" translate $'no\x1b[2Jthing'
refused + '\x1b' "$program" train $'--\x1b[2J'
refused + "it is 'trian', expected one of: train translate evaluate inspect" "$program" trian --epochs 3
refused + "it is 'wrte'" "$writer" wrte
refused + "'--trian'" "$program" train --trian t.tsv
same "$("$program" --version)" "seq2seq $("$writer" --version | cut -d' ' -f2)" "the version"
grep -q '^seq2seq [0-9]*\.[0-9]*\.[0-9]*$' <("$program" --version) || fail "no version: $("$program" --version)"
printf 'a\tb\n' >pair.tsv
"$program" train --train pair.tsv --dev pair.tsv --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 --model single --score-every 0 >log
grep -q '^1 pair, 1 of dev; .*; 1 step per epoch$' log || fail "one pair: $(<log)"
if grep -q 'dev:\|->' log; then fail "scores that nobody asked for: $(<log)"; fi

repeated 40 'words_that_are_long_' >long_word
printf '%s%s\tb\n' "$(repeated 100 "$(<long_word)")" "$(repeated 100 "$(<long_word)")" >long_words.tsv
"$program" train --train long_words.tsv --dev long_words.tsv --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 --model words --source-tokens space >log
(($(wc -L <log) <= 2010)) || fail "a message of $(wc -L <log) characters"

# Messages that reach a command line give no advice about C++.
printf 'a\t\n' >empty_field.tsv
printf 'a\n' >ragged.tsv
printf 'a\tb\xff\n' >latin.tsv
no_advice() { if grep -q 'empty_fields\|max_bytes\|max_line\|Options\|::\|()\|pass a\|{\.' err; then fail "advice: $(<err)"; fi; }
for bad in empty_field ragged latin nothing; do
  refused 1 "$bad.tsv" "$program" train --train $bad.tsv --dev t.tsv --model none
  no_advice
done
for option in '--activation=foo' '--kernels=foo' '--embeddings=foo' '--heads=3' '--beta-1=1' '--max-length=1'; do
  refused + "" "$program" train --train t.tsv --dev t.tsv --model none --width 8 "$option"
  no_advice
done
cp -r m mixed
"$program" train --train t.tsv --dev t.tsv --model wide --width 16 --heads 1 --hidden 8 --layers 1 --epochs 1 --max-length 20 >log
cp wide/weights.safetensors mixed
refused 1 'expected' "$program" translate mixed one
no_advice
refused 1 'learning rate' "$program" train --train t.tsv --dev t.tsv --model huge --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 --learning-rate 1e30 --schedule constant --warmup 0
no_advice

if ! command -v script >/dev/null || ! command -v stty >/dev/null; then
  echo "output: skipped on terminals: script or stty is missing"
  exit 0
fi
# on_terminal COLUMNS COMMAND: its output as bytes
on_terminal() { script -qec "stty cols $1; $2" /dev/null </dev/null | cat; }
printf 'a\x1b[2Jb\tc\x1b]0;title\ad\xc2\x9bm\n%.0s' $(seq 8) >control.tsv
control="train --train control.tsv --dev control.tsv --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 --max-length 30"
on_terminal 80 "$program $control --model c" >shown
# The colours of the bar are the only escapes.
if sed 's/\x1b\[[0-9]*m//g' shown | grep -qaP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2\x9b'; then fail "control characters: $(cat -v shown)"; fi
grep -qa 'a\\x1b\[2Jb -> ' shown || fail "no pair: $(cat -v shown)"
printf 'a\x1b[2Jb\n' >control.txt
on_terminal 80 "$program translate c control.txt; $program evaluate c control.tsv --show 1; $program inspect c; $program inspect c --sentence \"\$(cat control.txt)\"" >shown
if grep -qaP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2\x9b' shown; then fail "control characters: $(cat -v shown)"; fi
"$program" evaluate c control.tsv --show 1 >shown  # a file gets the data as they are
grep -qa $'a\x1b\[2Jb -> ' shown || fail "data changed: $(cat -v shown)"
for _ in $(seq 40); do printf 'abc\x1b[2Jdef\n'; done >control_text
"$writer" "${write[@]/text/control_text}" --model cw >log
on_terminal 80 "$writer write cw --prompt \"\$(cat control.txt)\" --length 300" >shown
if grep -qaP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]' shown; then fail "control characters: $(cat -v shown)"; fi

# A bar and what is said between two of its updates stand in rows of their own, which fit.
for columns in 30 80; do
  on_terminal $columns "NO_COLOR=1 $program ${train[*]} --overwrite --model bar" | tr '\r' '\n' >shown
  grep -a '━\|─\|^ - ' shown | while IFS= read -r row; do
    ((${#row} < columns)) || fail "a row of ${#row} in $columns columns: $row"
  done
  grep -qa '^dev: ' shown || fail "no scores at the beginning of a row: $(cat -v shown)"
  for name in val_loss val_bleu learning_rate; do grep -qa "$name: [0-9]" shown || fail "no $name in $columns columns"; done
done
echo "output: all right"
