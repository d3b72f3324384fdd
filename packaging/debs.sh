#!/usr/bin/env bash
# Builds the Debian packages of the system it runs on: packaging/debs.sh [FOLDER], by default out/debs.
set -euo pipefail
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
folder=$(realpath -m "${1:-$root/out/debs}")
cd "$root"
bash tools/setup.sh packages
cmake -G Ninja -S . -B build/packages -DBUILD_SHARED_LIBS=ON -DXTAPE_UNITY=ON -DXTAPE_BUILD_TESTS=OFF -DXTAPE_MPI=OFF \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr >/dev/null
cmake --build build/packages --target xtape programs
mkdir -p "$folder"
(cd build/packages && cpack -G DEB -B "$folder" >cpack.log) || { cat build/packages/cpack.log >&2; exit 1; }
rm -rf "$folder/_CPack_Packages"
ls "$folder"/*.deb
