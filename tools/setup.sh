#!/usr/bin/env bash
# Installs what is missing, with apt-get: tools/setup.sh GROUP...
#   build  the library and the examples        tests  tests/run.sh
#   full   tests/run.sh --full                 soak   tests/soak.sh
#   mpi    build, and xtape::mpi, which needs an MPI
#   packages  packaging/debs.sh: build and these
#   site   tools/site.sh: these alone
#   aarch64, aarch64_libraries  tests/aarch64.sh: these alone; the latter adds arm64 to the system's architectures
# `tests` includes `build`, `full` and `soak` include `tests`. Where nothing is missing it does nothing and needs no network.
set -euo pipefail

build=(g++ cmake ninja-build libxtensor-dev libxtensor-blas-dev libxsimd-dev libopenblas-dev nlohmann-json3-dev
  libcli11-dev libsentencepiece-dev libcpp-httplib-dev pkg-config zlib1g-dev)
tests=(catch2)
mpi=(libopenmpi-dev openmpi-bin)
clang=(clang-14 libclang-rt-14-dev clang-format-14)
# Debian 13 has no clang 14. Another clang-format would format otherwise.
[[ $(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME-}") == trixie ]] && clang=(clang-19 libclang-rt-19-dev)
site=(doxygen python3 python3-sphinx python3-myst-parser furo)
full=("${clang[@]}" libbenchmark-dev gcovr ccache git debootstrap "${mpi[@]}" "${site[@]}")
soak=(valgrind)
packages_of_debian=(dpkg-dev file)
aarch64=(g++ g++-aarch64-linux-gnu libxsimd-dev qemu-user)
aarch64_libraries=(libopenblas-pthread-dev:arm64 zlib1g-dev:arm64)

packages=()
for group in "$@"; do
  case $group in
    build) packages+=("${build[@]}") ;;
    mpi) packages+=("${build[@]}" "${mpi[@]}") ;;
    tests) packages+=("${build[@]}" "${tests[@]}") ;;
    full) packages+=("${build[@]}" "${tests[@]}" "${full[@]}") ;;
    soak) packages+=("${build[@]}" "${tests[@]}" "${full[@]}" "${soak[@]}") ;;
    packages) packages+=("${build[@]}" "${packages_of_debian[@]}") ;;
    site) packages+=("${site[@]}") ;;
    aarch64) packages+=("${aarch64[@]}") ;;
    aarch64_libraries) packages+=("${aarch64_libraries[@]}") ;;
    *)
      echo "setup.sh: unknown group '$group': expected build, mpi, tests, full, soak, packages, site, aarch64 or" \
        "aarch64_libraries" >&2
      exit 2
      ;;
  esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "setup.sh: there is no apt-get here. Needed, by the names of Debian's packages:" >&2
  echo "  ${packages[*]}" >&2
  for command in cmake ninja c++; do
    command -v "$command" >/dev/null || { echo "setup.sh: $command is missing" >&2; exit 1; }
  done
  echo "setup.sh: cmake, ninja and c++ are here: going on as if the rest were too" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do  # one status for each architecture
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed* ]] || missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: neither root nor sudo. Have these packages installed: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
[[ ${missing[*]} != *:arm64* ]] || "${as_root[@]}" dpkg --add-architecture arm64
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "setup.sh: apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
