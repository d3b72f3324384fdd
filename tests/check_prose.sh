#!/usr/bin/env bash
# Fails where a text breaks a rule of docs/style.md that can be counted: bash tests/check_prose.sh [FILE OR FOLDER...]
# In documents: sentences of more than 25 words, outside tables and code. In sources: comments that begin without a
# subject. In both: words that the table of docs/style.md replaces. Documents name only files that exist, and link to them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

proofread=(README.md CHANGELOG.md bench docs examples include src tests)
(($#)) && proofread=("$@")

old='who(ever)? brings|bringer|lines? of the cache|(first|second) cache|maximum so far|processor foresees'
bad=0
report() { # HEADING TEXT: complains unless TEXT is empty
  [[ -z $2 ]] || { printf '%s:\n%s\n' "$1" "$2" >&2; bad=1; }
}

while read -r file; do
  # Code, tables and headings go; an inline code is one word; a list item begins a paragraph.
  text=$(awk '/^ *```/ { code = !code; print ""; next } code || /^ *\||^#|^    / { print ""; next }
              /^ *([-*]|[0-9]+\.) / { print "" } { print }' "$file" |
    sed -E 's/`[^`]*`/C/g; s/^ *([-*]|[0-9]+\.) //')
  report "$file: long sentences" "$(awk -v RS= '{ gsub(/\n/, " "); gsub(/[.?!][)"]* +/, "&\n"); print }' <<<"$text" |
    awk 'NF > 25 { print NF " words: " $0 }')"
  report "$file: old words" "$(grep -iE "$old" <<<"$text" || true)"
done < <(find "${proofread[@]}" -name '*.md')

# Files that the documents name exist.
while read -r file path; do
  for place in "" src/ include/xtape/ tests/ docs/ bench/; do [[ -e $place$path ]] && continue 2; done
  report "$file: no such file" "$path"
done < <(grep -oE '`[a-z0-9_]+(/[a-z0-9_]+)*\.(hpp|cpp|sh|py|txt|ini)`' README.md bench/README.md docs/{design,guide,style}.md |
  sed 's/:`/ /; s/`//g')

# Their links lead to files. tools/site.sh checks the headings, too.
while IFS=: read -r file link; do
  [[ -e $(dirname "$file")/$link ]] || report "$file: link to no file" "$link"
done < <(grep -oE '\]\([a-zA-Z0-9_./-]+\.(md|svg|png)[#)]' README.md packaging/README.md .github/*.md docs/*.md bench/*.md |
  sed -E 's/\]\((.*).$/\1/')

sources=(--include='*.hpp' --include='*.cpp')
folders=()
for path in "${proofread[@]}"; do [[ $path == *.md ]] || folders+=("$path"); done
if ((${#folders[@]})); then
  report "comments that begin without a subject" \
    "$(grep -rnE "${sources[@]}" '^ *//[/!]? (Of|What|Were|Who|Whoever) ' "${folders[@]}" || true)"
  report "old words" "$(grep -rniE "${sources[@]}" "//.*($old)" "${folders[@]}" || true)"
fi
((bad == 0)) || { echo "see docs/style.md" >&2; exit 1; }
