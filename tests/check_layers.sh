#!/usr/bin/env bash
# Fails for an #include of include/xtape or src that points up or sideways in the picture of docs/design.md:
#   bash tests/check_layers.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

picture=$(awk '/^```layers/ { on = 1; next } /^```/ { on = 0 } on { sub(/ *:.*/, ""); print }' docs/design.md)
bad=0
complain() { echo "$*" >&2; bad=1; }

# Every folder is in the picture, and a folder of headers has its twin in src.
for folder in src/*/; do
  grep -qw "$(basename "$folder")" <<<"$picture" || complain "$folder: not in the picture of docs/design.md"
done
for folder in include/xtape/*/; do
  [[ -d src/$(basename "$folder") ]] || complain "$folder: src has no such folder"
done

# FILE, LINE, TARGET of the includes that name a folder, and the levels they join, from the top.
found=$(grep -rnoE '^ *# *include *[<"](xtape/)?[a-z_]+/' include/xtape src |
  sed -E 's/^([^:]+):([0-9]+):.*[<"](xtape\/)?([a-z_]+)\/$/\1 \2 \4/' |
  awk -v picture="$picture" '
    BEGIN {
      n = split(picture, line, "\n")
      for (i = 1; i <= n; i++) { m = split(line[i], name, " +"); for (j = 1; j <= m; j++) level[name[j]] = i }
    }
    {
      own = $1; sub(/^(include\/xtape|src)\//, "", own)
      if (own !~ /\//) next  # <xtape/xtape.hpp> is above all
      sub(/\/.*/, "", own)
      if (own != $3 && $3 in level && level[$3] <= level[own]) print $1 ":" $2 ": " own " includes " $3
    }')
[[ -z $found ]] || complain "$found"
while read -r file; do complain "$file: a public header includes a private one"; done < <(
  grep -rlE '^ *# *include *"' include/xtape)
((bad == 0)) || { echo "includes point down only: see the picture of docs/design.md" >&2; exit 1; }
