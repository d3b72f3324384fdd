#!/usr/bin/env bash
# The programs of docs/start.md and docs/tutorial.md:
#   tests/tutorial.sh source NAME FILE   writes the program NAME: its "```cpp program NAME" blocks, one after the other
#   tests/tutorial.sh project FILE       writes its CMakeLists.txt
#   tests/tutorial.sh run NAME FILE      runs the compiled program; it must print the lines of its "```text program NAME"
#                                        blocks, where "..." stands for anything
set -euo pipefail
docs=$(dirname "${BASH_SOURCE[0]}")/../docs

blocks() { # HEAD: the contents of blocks that begin with it
  awk -v head="\`\`\`$1" '$0 == head { inside = 1; next } /^```/ { inside = 0; next } inside' "$docs/start.md" "$docs/tutorial.md"
}

case $1 in
  source)
    { echo "// From docs/start.md or docs/tutorial.md." && blocks "cpp program $2"; } >"$3"
    ;;
  project) blocks "cmake program" >"$2" ;;
  run)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    program=$(realpath "$3")
    expected=$(blocks "text program $2")
    (cd "$folder" && "$program" >output)
    missing=0
    while IFS= read -r line; do
      pattern=$(sed -E 's/[][\\.*^$]/\\&/g; s/\\\.\\\.\\\./.*/g' <<<"$line")
      grep -qx -- "$pattern" "$folder/output" && continue
      echo "docs: the program $2 does not print: $line" >&2
      missing=1
    done <<<"$expected"
    ((missing == 0)) || cat "$folder/output" >&2
    exit "$missing"
    ;;
esac
