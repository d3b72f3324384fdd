#!/usr/bin/env bash
# Installs the packages of packaging/debs.sh in a bare root of the same release, and uses them:
#   packaging/try_debs.sh [FOLDER OF PACKAGES] [RELEASE]   by default out/debs, and the release of this system
# Needs root's rights and debootstrap, which `tools/setup.sh full` installs. The root goes away at the end.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In the root: the packages alone come first, then what a developer needs.
inside() {
  local start=$SECONDS port
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends /debs/libxtape0_*.deb /debs/xtape-tools_*.deb >/dev/null
  echo "-- programs installed: $((SECONDS - start)) s"
  seq2seq --version
  language_model --version
  cd "$(mktemp -d)"
  for i in $(seq 400); do echo "$i x$((i % 7))	y$((i % 7)) $i"; done >pairs.tsv
  seq2seq train --train pairs.tsv --dev-split 0.1 --model model --width 32 --heads 2 --hidden 64 --layers 1 --epochs 2 \
    --source-tokens sentencepiece --target-tokens sentencepiece --subwords 60 --subword-coverage 1 | tail -n 1
  [[ $(echo "12 x5" | seq2seq translate model | wc -l) == 1 ]]
  seq2seq serve model --port 0 >page &
  for _ in $(seq 100); do [[ -s page ]] && break; sleep 0.1; done
  port=$(sed -n 's|.*:\([0-9]*\)/.*|\1|p' page)
  exec 5<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET /model HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n' "$port" >&5
  [[ $(cat <&5) == *'"name":"model"'* ]]
  kill -TERM %1
  wait %1
  language_model train --train pairs.tsv --dev pairs.tsv --model writer --layers 1 --width 16 --heads 1 --block 16 --steps 20 \
    --report 20 | tail -n 1
  ls /usr/share/xtape/recipes/dates.ini /usr/share/xtape/tools/keras_weights.py /usr/share/doc/*xtape*/*
  start=$SECONDS
  apt-get install -y -qq --no-install-recommends /debs/libxtape-dev_*.deb g++ cmake make pkg-config >/dev/null
  echo "-- headers installed: $((SECONDS - start)) s"
  cmake -S /consumer -B build >/dev/null
  cmake --build build
  build/consumer
  # shellcheck disable=SC2046
  g++ -std=c++20 /consumer/main.cpp -o with_pc $(pkg-config --cflags --libs xtape)
  ./with_pc
  apt-get remove -y -qq libxtape0 >/dev/null
  [[ ! -e /usr/bin/seq2seq && ! -e /usr/include/xtape ]]
  echo "try_debs.sh: the packages work"
}
if [[ ${1-} == inside ]]; then
  inside
  exit
fi

debs=$(if [[ ${1-} ]]; then cd "$caller" && realpath "$1"; else realpath out/debs; fi)
release=${2:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
compgen -G "$debs/*.deb" >/dev/null || { echo "try_debs.sh: no packages in $debs; packaging/debs.sh makes them" >&2; exit 1; }
root=$(mktemp -d)
chmod 755 "$root"  # apt-get downloads as another user
trap 'rm -rf --one-file-system "$root"' EXIT
echo "-- a bare root of $release"
debootstrap --variant=minbase "$release" "$root" >"$root.log" 2>&1 || { tail -n 3 "$root.log" >&2; exit 1; }
rm "$root.log"
mkdir "$root/debs" "$root/consumer"
cp "$debs"/*.deb "$root/debs"
cp examples/consumer/* "$root/consumer"
cp packaging/try_debs.sh "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
unshare -m bash -c '
  mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
  mount --rbind /dev "$1/dev"
  exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    http_proxy="${http_proxy-}" https_proxy="${https_proxy-}" bash -c "cd / && bash /try_debs.sh inside"' - "$root"
