#!/usr/bin/env bash
# The page of seq2seq: its translations, its limits, and its end. Usage: seq2seq_serve.sh PROGRAM CLIENT [MALFORMED REQUESTS]
set -euo pipefail
program=$1 client=$2 requests=${3-500}
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$scripts/support.sh"

# Dates: a small model, not a good one.
awk 'BEGIN { split("january february march april may june", m, " ")
  for (i = 0; i < 1200; ++i) { y = 1950 + i * 7 % 100; k = 1 + i % 6; d = 1 + i * 11 % 28
    printf("%s %d%s %d\t%04d-%02d-%02d\n", m[k], d, i % 2 ? "," : "", y, y, k, d) } }' >pairs.tsv
head -120 pairs.tsv | cut -f1 >sentences
"$program" train --train pairs.tsv --dev-split 0.05 --model dates --width 32 --heads 4 --hidden 64 --layers 2 --epochs 4 \
  --learning-rate 3e-3 --warmup 50 --dropout 0 --max-length 64 --score-every 0 >log
head -100 sentences >asked

if "$program" serve dates --address 1.2.3.4 2>err; then fail "any address"; fi
if grep -q 'serve: not built in' err; then
  echo "skipped: the page (built without cpp-httplib)"
  echo "seq2seq_serve: all right"
  exit 0
fi
grep -q "not a loopback address: it is '1.2.3.4', expected one from 127.0.0.1" err || fail "another address: $(<err)"
refused 1 'not a loopback address' "$program" serve dates --address 0.0.0.0
for address in :: 127.0.0.0 127.255.255.255; do
  refused 1 'not a loopback address' "$program" serve nowhere --address "$address"
done
refused 1 'no model is here' "$program" serve nowhere --port 0
# Without memory for its threads it ends with an error, and not by a signal.
for kilobytes in 300000 400000 600000; do
  code=0
  (ulimit -v "$kilobytes"; exec timeout 3 "$program" --threads 1 serve dates --port 0) >out 2>err || code=$?
  ((code < 128)) || fail "status with $kilobytes kB: $code, $(<err)"
done
refused + "'70000' is out of range" "$program" serve dates --port 70000
refused 1 'standard output: closed' bash -c '"$1" serve dates --port 0 >&-' _ "$program"

# begin OPTION...: sets pid and port.
begin() {
  : >page
  env --default-signal=INT "$program" serve dates --port 0 "$@" >page 2>said &  # a shell's jobs ignore it
  pid=$!
  for _ in $(seq 300); do
    port=$(sed -n 's|.*http://[^/]*:\([0-9]*\)/.*|\1|p' page)
    [[ -z $port ]] || return 0
    sleep 0.1
  done
  fail "no page: $(<page) $(<said)"
}
# ended SIGNAL: the program ends with status 0 and says so.
ended() {
  local code=0
  kill -s "$1" "$pid"
  wait "$pid" || code=$?
  pid=
  same "$code" 0 "status after $1"
  same "$(tail -n 1 page)" ended "last line after $1"
  same "$(<said)" '' "what was said"
}
# get PATH HEADER..., post BODY: the answer.
raw() { "$client" raw "$port"; }
host() { printf 'Host: 127.0.0.1:%s\r\n' "$port"; }
get() { { printf 'GET %s HTTP/1.1\r\n' "$1"; shift; printf '%s\r\n' "$@"; printf '\r\n'; } | raw; }
post() { printf 'POST /translate HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' "$(host)
" "${#1}" "$1" | raw; }

begin
trap '[[ -z $pid ]] || kill "$pid"; rm -rf "$folder"' EXIT
here="Host: 127.0.0.1:$port"

# The text is that of the program.
for beam in 1 4; do
  "$program" translate dates --beam "$beam" <asked >expected
  "$client" translate "$port" "$beam" <asked >got
  cmp expected got || fail "translations of the page, beam $beam: $(diff expected got | head -4)"
  # 100 at once: nothing is lost.
  "$client" together "$port" "$beam" <asked >got
  cmp expected got || fail "100 at once, beam $beam: $(diff expected got | head -4)"
done
"$program" translate dates <asked | head -20 >greedy
head -20 asked | "$client" stream "$port" 4 | cut -f1 >got
cmp greedy got || fail "texts while they are written: $(diff greedy got | head -4)"
head -20 asked | "$client" stream "$port" 4 | cut -f2 >got
head -20 expected | cmp - got || fail "results of streams"

# The page has no outside resources and no code but its own.
for path in / /page.css /page.js /model; do
  get "$path" "$here" >answer
  [[ $(head -1 answer) == "HTTP/1.1 200 "* ]] || fail "$path: $(head -1 answer)"
  grep -q "^Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';" answer || fail "$path: policy"
  grep -qi '^Connection: close' answer || fail "$path: the connection stays"
done
for path in / /page.css /page.js; do
  get "$path" "$here" >answer
  if sed '1,/^\r$/d' answer | grep -nE 'https?://|@import|innerHTML|eval\('; then fail "$path names something outside, or makes HTML of text"; fi
done
if get / "$here" | grep -nE '<script>|<style|style=|onclick'; then fail "code inside the page"; fi

# What no page of ours sends.
[[ $(get / 'Host: evil.example' | head -1) == *' 403 '* ]] || fail "another host"
[[ $(get / "Host: 127.0.0.1:1" | head -1) == *' 403 '* ]] || fail "another port"
[[ $(get / "$here" "$here" | head -1) == *' 403 '* ]] || fail "two hosts"
[[ $(get /model "$here" 'Origin: http://evil.example' | head -1) == *' 403 '* ]] || fail "another site"
[[ $(get /model "$here" "Origin: http://localhost:$port" | head -1) == *' 403 '* ]] || fail "another name of this machine"
[[ $(get /model "Host: localhost:$port" "Origin: http://localhost:$port" | head -1) == *' 200 '* ]] || fail "localhost"
[[ $(get /none "$here" | head -1) == *' 404 '* ]] || fail "another path"
[[ $(get / "$here" 'Range: bytes=0-,0-,0-,0-' | head -1) == *' 200 '* ]] || fail "ranges"
# said TEXT: the last answer is an error that says so.
said() { [[ $answer == *'{"error":"'*"$1"* ]] || fail "the answer is '${answer: -300}', expected: $1"; }
answer=$(printf 'PUT / HTTP/1.1\r\n%s\r\n\r\n' "$here" | raw); said 'method: not for this path: it is PUT, expected GET; use that'
answer=$(printf 'POST /translate HTTP/1.1\r\n%s\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}' "$here" | raw)
said 'Content-Type: another type'
answer=$(printf 'POST /translate HTTP/1.1\r\n%s\r\nContent-Type: application/json\r\n\r\n' "$here" | raw); said 'Content-Length: missing'
answer=$(get /translate "$here"); said 'method: not for this path: it is GET, expected POST'
[[ $answer == *' 405 '*Allow:\ POST* ]] || fail "another method: $answer"
answer=$(printf 'POST /model HTTP/1.1\r\n%s\r\nContent-Length: 0\r\n\r\n' "$here" | raw); said 'method: not for this path: it is POST, expected GET'
answer=$(get /page-css "$here"); said "path: nothing is here: it is '/page-css', expected /, /model or /translate"
answer=$(get "/$(repeated 9000 a)" "$here"); said 'path: too long: '
answer=$(get / "$here" 'Range: x'); said "Range: malformed: it is 'x', expected none"
answer=$(printf 'POST /translate HTTP/1.1\r\n%s\r\nContent-Type: Application/JSON ; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}' "$here" | raw)
said 'source: no text: it is missing'
answer=$(post "$(repeated 20000 ' ')"); said 'body: too long: it has 20000 bytes, expected at most 16384'
answer=$(post "{\"source\": \"$(repeated 65 a)\"}"); said 'source: too long: it has 65 tokens, expected at most 64'
answer=$(post '{"source": ""}'); said 'source: empty: it has 0 tokens, expected at least 1; write one'
answer=$(post '{"source": 3}'); said 'source: no text: it is 3, expected an object'
answer=$(post '{"source": "a\nb"}'); said 'source: several lines'
answer=$(post '{"source": "a", "bean": 3}'); said "unknown key: it is 'bean'"
answer=$(post '{"source": "a", "beam": 17}'); said 'beam: out of range: it is 17, expected a whole number from 1 to 16'
answer=$(post '{"source": "a", "beam": 2, "n_best": 3}'); said 'n_best: out of range: it is 3, expected a whole number from 1 to 2'
answer=$(post '{"source": "a", "stream": 1}'); said 'stream: another type'
answer=$(post '{"source": "a"'); said 'body: malformed JSON: the fault is at byte 15, expected an object'
answer=$(post '[1]'); said 'body: not an object: it is of type array, expected an object'
answer=$(post '{"source": [[[[[[[[[[[[[[1]]]]]]]]]]]]]]}'); said 'body: nested too deeply'
answer=$(post '{"source": "<b>&\"", "beam": 1}')
[[ $answer == *'"unknown":[0,'* ]] || fail "unknown tokens: $answer"

# Faults by the hundred: memory, files and threads stay as they were.
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
files() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
threads() { awk '/^Threads/ { print $2 }' "/proc/$pid/status"; }
"$client" malformed "$port" 2000 >/dev/null  # each thread has taken its memory
before=$(memory) open=$(files) parallel=$(threads)
"$client" malformed "$port" "$requests" >counts
after=$(memory)
sleep 1
echo "$requests malformed requests:" $(<counts) "- memory $before kB before, $after kB after"
((after - before < 4096)) || fail "memory grew from $before to $after kB"
(($(files) <= open)) || fail "files: $(files), expected $open"
same "$(threads)" "$parallel" threads
"$client" translate "$port" 4 <asked >got
cmp expected got || fail "translations afterwards"

# A full server says so; clients that left make room.
answer=$("$client" full "$port"); said 'serve: busy: 32 requests are answered and 256 wait, expected fewer; try again'
[[ $answer == *' 503 '* ]] || fail "a full server: $answer"
head -1 asked | "$client" leave "$port" 40
"$client" translate "$port" 4 <asked >got
cmp expected got || fail "translations after clients left"

# The page in Chromium, where playwright drives it.
sentence=$(head -1 asked) best=$(head -1 expected) code=0
if [[ -n ${XTAPE_PYTHON-} ]] || command -v python3 >/dev/null; then
  "${XTAPE_PYTHON:-python3}" "$scripts/seq2seq_page.py" "http://127.0.0.1:$port/" "$sentence" "$best" || code=$?
else
  code=77
fi
if ((code == 77)); then echo "skipped: the page in Chromium (XTAPE_PYTHON names a Python with playwright)"; else same "$code" 0 "status of seq2seq_page.py"; fi

# A port in use; the ends.
refused 1 "--port: in use: 127.0.0.1 port $port" "$program" serve dates --port "$port"
ended TERM
begin --beam 2 --address localhost
answer=$(post '{"source": "may 3, 1999", "n_best": 2}')
[[ $answer == *'"beam":2'* ]] || fail "another beam: $answer"
# It ends while a client is silent, too.
exec 5<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HT' >&5
ended INT
exec 5>&-
# An answer that takes too long is given up; a second never passes for so small a model.
refused + "'0.5' is out of range" "$program" serve dates --seconds 0.5
echo "seq2seq_serve: all right"
