#!/usr/bin/env bash
# Builds the library and its consumer in a root with Debian 13, runs the README's first command there, and tests of
# arithmetic, kernels and attention: bash tests/debian13.sh
#   XTAPE_DEBIAN13      the root; debootstrap makes it where it is missing
#   XTAPE_DEBIAN13_ALL  if set: all tests, so both commands of the README
# Says so and succeeds where such a root is impossible.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In the root: what fits into a few minutes, or all.
inside() {
  bash tools/setup.sh tests
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
  local build=build/dev targets=()
  bash examples/run.sh
  if [[ -n $ALL ]]; then
    bash tests/run.sh
  else
    build=build/release  # the library of examples/run.sh
    cmake --preset release -DXTAPE_KERNELS='avx2;avx512' -DXTAPE_BUILD_TESTS=ON -DXTAPE_BUILD_EXAMPLES=OFF >/dev/null
    mapfile -t targets < <(cd tests && for file in arithmetic/test_*.cpp kernels/test_*.cpp ops/test_*attention*.cpp; do
      name=${file%.cpp}
      echo "test_${name%%/*}_${name##*/test_}"
    done)
    cmake --build $build --target xtape "${targets[@]}"
    ctest --test-dir $build --output-on-failure -R '^(arithmetic/|kernels/|ops/.*attention)'
  fi
  cmake --install $build --prefix "$PWD/build/installed" >/dev/null
  cmake -G Ninja -S examples/consumer -B build/consumer -DCMAKE_PREFIX_PATH="$PWD/build/installed" >/dev/null
  cmake --build build/consumer
  build/consumer/consumer
}
if [[ ${1-} == inside ]]; then
  inside
  exit
fi

root=${XTAPE_DEBIAN13:-${XDG_CACHE_HOME:-$HOME/.cache}/xtape/debian13}
skip() {
  echo "debian13.sh: nothing is tested on Debian 13: $1"
  exit 0
}

[[ $(id -u) -eq 0 ]] || skip "a root needs root's rights"
[[ $(uname -m) == x86_64 ]] || skip "this is no x86-64"
unshare -m true 2>/dev/null || skip "there are no mount namespaces here"
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9  # one run at a time
if [[ ! -e $root/complete ]]; then
  command -v debootstrap >/dev/null || skip "debootstrap is missing"
  # The mirror of this machine, where it has one.
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
    head -n 1 || true)
  rm -rf "$root"
  echo "-- debootstrap, into $root"
  if ! debootstrap --variant=minbase --include=ca-certificates,ccache trixie "$root" ${mirror:+"$mirror"} \
    >"$root.log" 2>&1; then
    rm -rf "$root"
    tail -n 3 "$root.log" >&2
    skip "debootstrap failed (see $root.log)"
  fi
  touch "$root/complete"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"

# The sources with their times, so that a second build is short.
mkdir -p "$root/xtape" "$root/ccache"
find "$root/xtape" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null |
  tar -c -T - | tar -x -C "$root/xtape"

unshare -m bash -c '
  mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
  mount --rbind /dev "$1/dev"
  exec chroot "$1" /usr/bin/env -i HOME=/root TERM="${TERM-}" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    CCACHE_DIR=/ccache ALL="${XTAPE_DEBIAN13_ALL-}" http_proxy="${http_proxy-}" https_proxy="${https_proxy-}" \
    bash /xtape/tests/debian13.sh inside' - "$root"
