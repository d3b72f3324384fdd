#!/usr/bin/env bash
# Values of options, and of the environment, that cannot be meant. Usage: options.sh SEQ2SEQ LANGUAGE_MODEL
set -euo pipefail
program=$1
writer=$2
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"

for _ in $(seq 20); do printf 'abc\tcba\nde\ted\n'; done >t.tsv
train=(train --train t.tsv --dev t.tsv --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 --max-length 20)
"$program" "${train[@]}" --model m >log
for _ in $(seq 40); do echo 'abc def ghi'; done >text
write=(train --train text --dev text --layers 1 --width 8 --heads 1 --block 8 --batch-size 4)
"$writer" "${write[@]}" --steps 2 --report 1 --model w >log

# Every option that takes a number refuses these. The names come from --help, so a new option is among them.
numbers() { sed -n "s/^ *\(-h,\)\{0,1\}\(--[a-z0-9-]*\) \($1\).*/\2/p"; }
tried=0
for command in train translate evaluate serve write lm_train; do
  case $command in
    train) call=("$program" "${train[@]}" --model x) ;;
    translate | evaluate) call=("$program" "$command" m t.tsv) ;;
    serve) call=("$program" serve m) ;;
    write) call=("$writer" write w) ;;
    lm_train) call=("$writer" "${write[@]}" --model x) ;;
  esac
  help=$("${call[@]}" --help)
  for option in $(numbers 'INT\|UINT' <<<"$help"); do
    for value in nan -1 18446744073709551616 1.5 ''; do
      refused + "${option#--}" "${call[@]}" "$option=$value"
      tried=$((tried + 1))
    done
  done
  for option in $(numbers 'FLOAT' <<<"$help"); do
    for value in nan inf 1e999 1x; do
      refused + "${option#--}" "${call[@]}" "$option=$value"
      tried=$((tried + 1))
    done
  done
done
((tried > 180)) || fail "only $tried values tried: the options were not found in --help"
[[ ! -e x ]] || fail "a folder of a training that was refused"
# A number with a zero in front would be octal.
refused + epochs "$program" train --train t.tsv --dev t.tsv --model x --epochs 010
printf '[train]\nseed = -1\n' >bad.ini
refused + seed "$program" "${train[@]}" --model x --config bad.ini
for value in 18446744073709551615 0; do "$program" translate m --seed $value --sample <<<abc >log; done

# The environment is checked before any work.
for value in 999999 2x; do
  for call in "$program ${train[*]} --model x" "$program translate m t.tsv" "$program evaluate m t.tsv" "$program inspect m" \
    "$writer write w" "$writer evaluate w text" "$writer ${write[*]} --model x"; do
    XTAPE_NUM_THREADS=$value refused 1 'XTAPE_NUM_THREADS: not a number of threads' $call
  done
done
for call in "$program ${train[*]} --model x" "$program translate m t.tsv" "$writer write w"; do
  XTAPE_PRODUCTS=half refused 1 'XTAPE_PRODUCTS: unknown numbers' $call
done
[[ ! -e x ]] || fail "a folder of a training that was refused"
XTAPE_NUM_THREADS=1 "$program" translate m <<<abc >log
refused + threads "$program" translate m t.tsv --threads 999999
refused + threads "$program" translate m t.tsv --threads 0
refused + products "$program" translate m t.tsv --products half
"$program" --products bfloat16 "${train[@]}" --model rounded >log
grep -q '^products: bfloat16 (' log || fail "a training in bfloat16 that does not say so"
"$program" translate rounded --products bfloat16 <<<abc >log
if command -v taskset >/dev/null; then
  first=$(taskset -pc $$ | sed 's/.*: \([0-9]*\).*/\1/')
  taskset -c "$first" "$program" translate m <<<abc >log
fi

# --steps counts, whatever --report is.
steps_of() {
  rm -rf x
  "$writer" "${write[@]}" --model x --steps "$1" --report "$2" >log
  sed -n 's/^Epoch [0-9/]* - *\([0-9]*\)\/.*/\1/p' log | tr '\n' ' '
}
same "$(steps_of 25 10)" '10 10 5 ' "steps of 25 by 10"
same "$(steps_of 70 40)" '40 30 ' "steps of 70 by 40"
same "$(steps_of 20 10)" '10 10 ' "steps of 20 by 10"
same "$(steps_of 3 10)" '3 ' "steps of 3 by 10"
refused 1 '--report' "$writer" "${write[@]}" --overwrite --model x --steps 100000 --report 100000
# A little trained model draws every token that it may: no special ones.
rm -rf x
"$writer" "${write[@]}" --model x --steps 1 --report 1 >log
for seed in 1 2 3; do
  "$writer" write x --prompt 'abc' --length 2000 --temperature 5 --seed $seed >written
  if grep -q '[<>]' written; then fail "special tokens: $(head -c 300 written)"; fi
done
# The beginning of a text does not depend on its length.
cmp <("$writer" write x --prompt abc --length 50 | head -c 53) <("$writer" write x --prompt abc --length 100 | head -c 53)
# Ranks of MPI would train one model each, into one folder.
refused 1 'mpirun: this program was started 4 times' env OMPI_COMM_WORLD_SIZE=4 "$program" "${train[@]}" --model y
[[ ! -e y ]] || fail "a folder was made"
refused 1 'mpirun: this program was started 2 times' env PMI_SIZE=2 "$writer" "${write[@]}" --model y
OMPI_COMM_WORLD_SIZE=1 "$program" translate m <<<abc >log

# What an option says is done or refused: none is left aside in silence, and no claim is believed.
refused + 'requires --sample' "$program" translate m t.tsv --top-k 3
refused + 'requires --sample' "$program" translate m t.tsv --temperature 2
refused + 'requires --sample' "$program" translate m t.tsv --seed 2
refused + 'requires --beam' "$program" translate m t.tsv --length-penalty 1
refused + 'requires --beam' "$program" evaluate m t.tsv --length-penalty 1
refused + 'requires --sentence' "$program" inspect m --picture x.svg
refused + 'sentence' "$program" inspect m --sentence ''
refused + 'excludes' "$program" "${train[@]}" --model m --resume --overwrite
refused + 'excludes' "$writer" "${write[@]}" --model w --resume --overwrite
refused + 'beam' "$program" translate m t.tsv --beam 1000000000
for call in "$program ${train[*]}" "$writer ${write[*]}"; do
  refused + 'it is empty' $call --model ''
  refused 1 'File name too long' $call --model "$(printf 'n%.0s' $(seq 300))"
  refused + 'none.ini: no such file' $call --model x2 --config none.ini
  refused + 'text: not a recipe' $call --model x2 --config text
done
small=(train --train text --dev text --heads 1 --steps 5 --report 5)
refused 1 'too large: the model has' "$writer" "${small[@]}" --model w2 --block 8 --width 90000000
refused 1 'too large: the model has' "$writer" "${small[@]}" --model w2 --block 8 --layers 90000000
refused 1 'too short' "$writer" "${small[@]}" --model w2 --block 90000000
refused 1 'the loss on --dev is' "$writer" "${write[@]}" --model w3 --learning-rate 1e38 --warmup 0 --steps 3 --report 1
[[ ! -e x2 && ! -e w2 && ! -e w3/weights.safetensors ]] || fail "something was left of a training that was refused"
echo "options: all right"
