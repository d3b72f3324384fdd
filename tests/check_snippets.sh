#!/usr/bin/env bash
# Compiles the C++ snippets of the documents: bash tests/check_snippets.sh [COMPILER]
# A ```cpp block becomes the body of a function, a "```cpp top" block stands at namespace level, and a "```cpp more"
# block sees the names of the block before it. Errors name the line of the document. tests/tutorial.sh has the
# "```cpp program" blocks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

awk 'BEGIN { print "#include \"tests/support/snippets.hpp\"" }
  /^```cpp/ && $2 != "program" {
    inside = 1
    if ($2 == "more") { print at_top ? "void more() {" : "{"; close_all = close_all "}" }
    else {
      print close_all "\nnamespace snippet_" ++n " {" ($2 == "top" ? "" : "\nvoid run() {")
      close_all = $2 == "top" ? "}" : "}}"
    }
    at_top = $2 == "top"
    printf "#line %d \"%s\"\n", FNR + 1, FILENAME
    next
  }
  inside && /^```/ { inside = 0; next }
  inside { print }
  END { print close_all; if (n < 20) print "#error only " n " snippets were found" }' \
  README.md docs/{start,guide,keras,weights}.md |
  "${1:-g++}" -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-unused -Wno-unused-result -I. -Iinclude -x c++ -
