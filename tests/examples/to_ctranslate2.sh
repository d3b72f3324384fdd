#!/usr/bin/env bash
# tools/to_ctranslate2.py: CTranslate2 and the program translate alike. Skipped without a Python that has ctranslate2, which
# XTAPE_PYTHON may name. Usage: to_ctranslate2.sh PROGRAM
set -euo pipefail
program=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"
python=${XTAPE_PYTHON-python3}
if ! "$python" -c 'import ctranslate2, numpy' 2>/dev/null; then
  echo "to_ctranslate2: skipped (no Python with ctranslate2; XTAPE_PYTHON names one)"
  exit 0
fi

awk 'BEGIN { srand(3); for (i = 0; i < 1000; ++i) { s = t = ""; n = 2 + int(6 * rand())
  for (j = 0; j < n; ++j) { c = sprintf("%c", 97 + int(6 * rand())); s = s c; t = c " " t }
  sub(/ $/, "", t); print s "\t" t } }' >t.tsv
cut -f1 t.tsv >lines
cat >served.py <<'P'
import sys
import ctranslate2
translator = ctranslate2.Translator(sys.argv[1], intra_threads=1)
with open("lines", encoding="utf-8") as file:
    sources = [list(line.rstrip("\n")) for line in file]
for result in translator.translate_batch(sources, beam_size=1, max_decoding_length=20, min_decoding_length=0):
    print(" ".join(result.hypotheses[0]))
P
count=0
while read -r options; do
  count=$((count + 1))
  # shellcheck disable=SC2086
  "$program" train --train t.tsv --dev t.tsv --model m$count --target-tokens space --layers 2 --decoder-layers 1 --width 24 \
    --heads 2 --hidden 32 --max-length 20 --learning-rate 5e-3 --warmup 10 --epochs 2 --score-every 0 $options >log
  "$python" "$root/tools/to_ctranslate2.py" m$count served$count
  "$python" served.py served$count >theirs
  "$program" translate m$count lines >ours
  equal=$(paste -d'|' ours theirs | awk -F'|' '$1 == $2 { ++n } END { print n + 0 }')
  # Ties may fall either way.
  ((equal >= 999)) || fail "only $equal of 1000 translations are equal with '$options'"
  echo "float, '$options': $equal of 1000 translations are equal"
done <<'O'

--norm post --positions learned --activation gelu
--tying output --no-bias --source-ends --activation silu
--no-scaling --positions none --tying output
O
"$python" "$root/tools/to_ctranslate2.py" m1 int8 --quantization int8
"$python" served.py int8 >theirs
"$program" translate m1 lines >ours
equal=$(paste -d'|' ours theirs | awk -F'|' '$1 == $2 { ++n } END { print n + 0 }')
((equal >= 700)) || fail "only $equal of 1000 translations are equal in int8"
echo "int8: $equal of 1000 translations are equal"
refused 1 'served1: it exists' "$python" "$root/tools/to_ctranslate2.py" m1 served1
"$program" train --train t.tsv --dev t.tsv --model rotary --positions rotary --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 \
  --max-length 20 --score-every 0 >log
refused 1 'positions rotary are not in CTranslate2' "$python" "$root/tools/to_ctranslate2.py" rotary none
[[ ! -e none ]] || fail "a folder of a model that was refused"
echo "to_ctranslate2: all right"
