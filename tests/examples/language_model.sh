#!/usr/bin/env bash
# The program language_model as a person uses it. Usage: language_model.sh PROGRAM
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

awk 'BEGIN { for (i = 0; i < 400; ++i) print "abcdefg hijk " i % 10 }' >train.txt
head -40 train.txt >dev.txt
"$program" train --train train.txt --dev dev.txt --model model --layers 1 --width 32 --heads 2 --block 16 \
  --steps 150 --report 75 --warmup 10 --learning-rate 1e-2 >log
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
