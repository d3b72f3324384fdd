#!/usr/bin/env bash
# Files that are not what seq2seq expects: claims that other files do not hold, nested texts, archives that unpack to
# gigabytes, and other things in the place of files. Each is refused at once, in little memory, and named.
# Usage: seq2seq_files.sh PROGRAM
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "seq2seq_files.sh: $*" >&2; exit 1; }
# refused TEXT... -- COMMAND...: status 1, each text in what it says, at most 2,000 characters, in 1 GiB and 20 s.
refused() {
  local texts=() said text status=0
  while [[ $1 != -- ]]; do texts+=("$1"); shift; done
  shift
  said=$( (ulimit -v ${limit-1048576}; exec timeout 20 "$program" "$@") 2>&1 >/dev/null </dev/null) || status=$?
  ((status > 0 && status < 124)) || fail "status $status: $*: $said"
  ((${#said} <= 2000)) || fail "${#said} characters: $*"
  for text in "${texts[@]}"; do [[ $said == *"$text"* ]] || fail "'$*' said: $said; expected: $text"; done
}
# The address sanitizer reserves terabytes.
if ldd "$program" | grep -q asan || nm "$program" 2>/dev/null | grep -q __asan_init; then limit=unlimited; fi

awk 'BEGIN { for (i = 0; i < 40; ++i) print "abc" i % 7 "\tc b a\nde\te d" }' >t.tsv
printf '%s\n' '[train]' train=t.tsv dev=t.tsv target-tokens=space width=8 heads=1 hidden=12 layers=1 epochs=1 max-length=20 >small.ini
small=(--config small.ini)
"$program" train "${small[@]}" --model m >log 2>&1 || fail "$(cat log)"
"$program" train "${small[@]}" --positions learned --tying output --model learned >log 2>&1 || fail "$(cat log)"

# changed MODEL SED: a copy of the model's folder in x, with other options.
changed() { rm -rf x; cp -r "$1" x; sed -i -E "$2" x/options.json; }
while read -r option value expected; do
  changed m "s/\"$option\": [0-9]+/\"$option\": $value/"
  refused "$option" "$value" "$expected" -- translate x
done <<'O'
source_vocabulary 1000000000 x/source.vocab
target_vocabulary 4000000 x/target.vocab
hidden_dim 1000000000 x/options.json
hidden_dim 16 x/options.json
max_length 1000000001 x/options.json
encoder_layers 1000000 x/options.json
decoder_layers 2 x/options.json
intermediate_dim 1000000000 x/options.json
num_heads 3 x/options.json
O
changed learned 's/"max_length": 20/"max_length": 30000/'
refused x/options.json max_length 30000 20 -- translate x
changed m 's/"(pad|start|end)_id": [0-9]+/"\1_id": 1/'
refused x/options.json -- translate x

# Vocabularies of another size, exchanged, and of the same size with other tokens.
changed m ''
printf 'vocabulary\t1\t4\t6\n<pad>\n<unk>\n<start>\n<end>\nx\ny\n' >x/source.vocab
refused x/source.vocab "it has 6 tokens" "expected 1" -- translate x
changed m ''
mv x/source.vocab x/v; mv x/target.vocab x/source.vocab; mv x/v x/target.vocab
refused x/source.vocab "another vocabulary" -- evaluate x t.tsv
changed m ''
sed -i 's/^c$/q/' x/target.vocab
refused x/target.vocab "another vocabulary" hash -- inspect x

# Nesting, long texts, and what is no JSON.
changed m ''
for open in '[' '{"a":'; do
  awk -v o="$open" 'BEGIN { printf "{\"format\":"; for (i = 0; i < 100000; ++i) printf "%s", o }' >x/options.json
  refused x/options.json "nested too deeply" -- translate x
done
awk 'BEGIN { printf "{\"format\": 1, \"source_tokens\": \""; for (i = 0; i < 100000; ++i) printf "long\\u001b"; print "\"}" }' >x/options.json
refused x/options.json -- translate x
head -c 3000000 /dev/zero | tr '\0' '7' >x/options.json
refused x/options.json "expected at most" -- translate x

# An archive of 4 MiB that unpacks to 4 GiB, and a file that claims a tebibyte.
awk 'BEGIN { for (i = 0; i < 1048576; ++i) print "a\tb" }' | gzip >part.gz
for _ in $(seq 32); do cat part.gz; done >bomb1.gz
for _ in $(seq 32); do cat bomb1.gz; done >bomb.tsv.gz
refused bomb.tsv.gz "unpacks to too much" -- train "${small[@]}" --train bomb.tsv.gz --model none
refused bomb.tsv.gz "unpacks to too much" -- evaluate m bomb.tsv.gz
truncate -s 1T sparse
refused sparse "expected at most" -- train "${small[@]}" --train sparse --model none
refused sparse "expected a recipe" -- train --config sparse --model none

# A directory, a pipe, a socket and a sparse file in the place of each file.
mkfifo pipe
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")' 2>/dev/null || mkfifo socket
mkdir directory
for kind in directory pipe socket sparse; do
  for file in options.json source.vocab target.vocab weights.safetensors; do
    rm -rf x; cp -r m x; rm x/$file; cp -al $kind x/$file 2>/dev/null || cp -a --sparse=always $kind x/$file
    refused "x/$file" -- translate x
  done
  refused $kind -- train "${small[@]}" --train $kind --model none
  refused $kind -- train "${small[@]}" --dev $kind --model none
  refused $kind -- train --config $kind --model none
  refused $kind -- translate m $kind
  refused $kind -- evaluate m $kind
  if [[ $kind != sparse ]]; then
    refused $kind -- evaluate m t.tsv --json $kind
    refused $kind -- inspect m --sentence abc --picture $kind
  fi
done
rm -rf x; cp -r m x; rm x/options.json; mkdir x/options.json
refused x/options.json -- train "${small[@]}" --model x --overwrite

# Options of a training that no memory holds.
refused "--width" "memory of this machine" -- train "${small[@]}" --width 1000000 --model none
refused "--layers" "memory of this machine" -- train "${small[@]}" --layers 1000000000 --model none
refused "--max-length" -- train "${small[@]}" --max-length 1000000000 --model none
[[ ! -e none ]] || fail "a refused training left $(find none)"
echo "seq2seq files: all right"
