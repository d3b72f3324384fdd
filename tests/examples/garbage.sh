#!/usr/bin/env bash
# Feeds translate with garbage: as many lines come out as went in, memory stays flat, and every line that was not
# translated is named. Usage: garbage.sh PROGRAM [SECONDS, by default 2]
set -euo pipefail
program=$1
seconds=${2:-2}
source "$(dirname "${BASH_SOURCE[0]}")/support.sh"

for _ in $(seq 50); do printf 'abc\tcba\nde\ted\n'; done >t.tsv
"$program" train --train t.tsv --dev t.tsv --model m --width 8 --heads 1 --hidden 8 --layers 1 --epochs 1 --max-length 20 >log

# One block of lines: block SEED FIRST-NUMBER. The numbers of lines that cannot be translated go to the file expected.
block() {
  LC_ALL=C awk -v seed="$1" -v first="$2" '
    function byte(low, high) { return sprintf("%c", low + int(rand() * (high - low + 1))) }
    function many(count, low, high,   s) { s = ""; while (count-- > 0) s = s byte(low, high); return s }
    function doubled(s, times) { while (times-- > 0) s = s s; return s }
    BEGIN {
      srand(seed)
      for (i = 0; i < 500; ++i) {
        bad = 0
        kind = int(rand() * 12)
        if (kind == 0) line = ""
        else if (kind <= 2) line = many(1 + int(rand() * 20), 97, 122)
        else if (kind == 3) line = many(1 + int(rand() * 20), 1, 9)
        else if (kind == 4) line = many(1 + int(rand() * 19), 11, 31) "x"
        else if (kind == 5) { line = many(21 + int(rand() * 300), 32, 126); bad = 1 }
        else if (kind == 6) { line = many(3, 97, 122) byte(128, 191) many(3, 97, 122); bad = 1 }
        else if (kind == 7) { line = many(1 + int(rand() * 30), 245, 255); bad = 1 }
        else if (kind == 8) { line = many(int(rand() * 5), 97, 122) "\303"; bad = 1 }
        else if (kind == 9) line = "\303\251\342\202\254\360\237\230\200" many(3, 32, 126)
        else if (kind == 10) line = many(int(rand() * 10), 32, 126) "\r"
        else if (i == 499) { line = doubled("abcd", 19); bad = 1 }  # 2 MiB
        else { line = doubled("wxyz ", int(rand() * 12)); bad = length(line) > 20 }
        print line
        if (bad) print first + i >> "expected"
      }
    }'
}
garbage() {
  local count=0 end=$((SECONDS + seconds))
  for ((seed = 1; SECONDS < end || seed < 6; ++seed)); do
    block "$seed" $((count + 1))
    count=$((count + 500))
    sleep 0.1
  done
  printf '\xff\n'
  echo $((count + 1)) >>expected
  echo $((count + 1)) >input_lines
}
# Prints the resident memory in KiB every tenth of a second.
watch_memory() {
  local rss
  while rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$1/status" 2>/dev/null) && [[ -n $rss ]]; do
    echo "$rss"
    sleep 0.1
  done
}

mkfifo feed
"$program" translate m <feed 2>err > >(wc -l >output_lines) &
child=$!
watch_memory $child >memory &
garbage >feed
code=0
wait $child || code=$?
wait
same "$code" 1 "the status"
same "$(<output_lines)" "$(<input_lines)" "the number of lines"
sed -n 's/^seq2seq: standard input: line \([0-9]*\): .*/\1/p' err >named
cmp expected named || fail "not every line is named"
same "$(wc -l <err)" $(($(wc -l <expected) + 2)) "the number of messages"
grep -q "tokens of the input are unknown to the model" err || fail "no word of unknown tokens"
grep -q "^seq2seq: $(wc -l <expected) of $(<input_lines) lines could not be translated" err || fail "said: $(tail -1 err)"
if grep -qaP '[\x00-\x08\x0b-\x1f\x7f]' err; then fail "control characters in messages"; fi
awk '{ if (NR < 5) next; if (NR > most) most = NR; rss[NR] = $1 }
  END { for (i = 5; i <= most; ++i) { half = i * 2 > most; if (rss[i] > peak[half]) peak[half] = rss[i] }
    printf "memory: at most %d KiB in the first half, %d KiB in the second\n", peak[0], peak[1]
    exit peak[1] > peak[0] * 1.1 + 4096 }' memory || fail "memory grows"
echo "garbage: all right: $(<input_lines) lines, $(wc -l <expected) of them bad, in $seconds s"
