#!/usr/bin/env bash
# Installs what is missing, builds the library and the examples, and trains the date model:
#   bash examples/run.sh [options of dates, see --help]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

bash "$root/tools/setup.sh" build
cd_back=$PWD
cd "$root"  # presets are found from here
# The kernels of this processor alone: others are compiled where XTAPE_KERNELS says so.
if ! log=$(cmake --preset release -DXTAPE_KERNELS=native 2>&1); then
  printf '%s\n' "$log" >&2
  exit 1
fi
if [[ ! -e build/release/examples/seq2seq ]]; then
  echo "compiling the library and two programs, for this processor alone: some minutes, once"
fi
NINJA_STATUS='%f of %t steps, %e s: ' cmake --build --preset release --target example_dates example_seq2seq
cd "$cd_back"

picture=$root/build/dates_attention.svg
chosen=0
for argument in "$@"; do
  case $argument in
    --picture | --picture=*) chosen=1 ;;
    -h | --help) exec "$root/build/release/examples/dates" --help ;;
  esac
done
if ((chosen)); then
  "$root/build/release/examples/dates" "$@"
else
  "$root/build/release/examples/dates" --picture "$picture" "$@"
fi
cat <<NEXT

Next, pairs of your own, one per line: source<TAB>target
  $root/build/release/examples/seq2seq train --train pairs.tsv --dev dev.tsv --model my_model
  $root/build/release/examples/seq2seq translate my_model
NEXT
