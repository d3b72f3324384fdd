#!/usr/bin/env bash
# Builds the site of the documentation: tools/site.sh FOLDER, by default build/site; then open FOLDER/index.html.
# Needs Doxygen, Sphinx, MyST and Furo, which `tools/setup.sh site` installs. Warnings and broken links are errors.
set -euo pipefail
folder=$(realpath -m "${1:-build/site}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for command in doxygen sphinx-build python3; do
  command -v "$command" >/dev/null && continue
  echo "site.sh: $command is missing; tools/setup.sh site installs it" >&2
  exit 1
done
if [[ -e $folder && ! -e $folder/.xtape-site ]] && [[ -n $(ls -A "$folder") ]]; then
  echo "site.sh: $folder is not empty, and no site: name another folder" >&2
  exit 1
fi
version=$(sed -n 's/.*kVersion\[\] = "\(.*\)";/\1/p' include/xtape/version.hpp)
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
rm -rf "$folder"
mkdir -p "$folder"
touch "$folder/.xtape-site"

# The reference.
(cat docs/site/Doxyfile && echo "OUTPUT_DIRECTORY = $folder" && echo "PROJECT_NUMBER = $version" &&
  echo "GENERATE_TAGFILE = $pages/tags.xml") | doxygen -

# All pages lie in one folder, so links between documents lose their folders.
cp -r docs/*.md docs/*.{svg,png} docs/site "$pages"
cp bench/README.md "$pages/benchmarks.md"
cp bench/tables.md "$pages/benchmark_tables.md"
cp packaging/README.md "$pages/packages.md"
cp CHANGELOG.md "$pages/changelog.md"
cp .github/CONTRIBUTING.md "$pages/contributing.md"
sed -i -E 's#\]\((\.\./)*bench/README\.md#](benchmarks.md#g; s#\]\(tables\.md#](benchmark_tables.md#g
  s#\]\((\.\./)*docs/#](#g; s#\]\((\.\./)*packaging/README\.md#](packages.md#g; s#\]\((\.\./)*CHANGELOG\.md#](changelog.md#g
  s#\]\((\.\./)*\.github/CONTRIBUTING\.md#](contributing.md#g' "$pages"/*.md
XTAPE_VERSION=$version XTAPE_TAGS=$pages/tags.xml \
  sphinx-build -q -W --keep-going -c "$pages/site" -d "$pages/cache" "$pages" "$folder"
# Debian's Furo reads a style sheet from the machine's own web server.
sed -i '/^@import url(\/javascript\//d' "$folder"/_static/styles/*.css
rm -f "$folder/.buildinfo" "$folder/objects.inv"
python3 tools/check_site.py "$folder" "$pages/tags.xml"
