#!/usr/bin/env bash
# Runs products by AMX's tiles on an emulated processor, Sapphire Rapids of Bochs: bash tests/amx.sh
# Everything but the library comes from Debian 13, in the root of tests/debian13.sh. Bochs 3.0 has tiles but no XFD, and
# Linux refuses tiles without. So Linux starts without them, and tests/amx/tiles.c switches them on.
# Says so and succeeds where such a root is impossible.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In the root: $PWD is the folder of this script, with the program.
inside() {
  local kernel
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends bochs bochs-term bochsbios vgabios isolinux \
    syslinux-common xorriso cpio gcc make kmod linux-image-cloud-amd64 linux-headers-cloud-amd64 >/dev/null
  kernel=$(find /lib/modules -mindepth 1 -maxdepth 1 -name '*-cloud-amd64' -printf '%f\n' | sort -V | tail -n 1)
  echo 'obj-m := tiles.o' >Makefile
  make -s -C "/lib/modules/$kernel/build" M="$PWD" modules
  strip -g tiles.ko
  rm -rf disk && mkdir -p disk/isolinux
  cp "/boot/vmlinuz-$kernel" disk/vmlinuz
  cp probe init
  printf '%s\n' init tiles.ko | cpio -o -H newc --quiet | gzip -1 >disk/initrd
  cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 disk/isolinux/
  # Without ACPI: Bochs 3.0 stops where Linux switches it on.
  cat >disk/isolinux/isolinux.cfg <<'END'
default linux
label linux
  kernel /vmlinuz
  append initrd=/initrd console=ttyS0,115200 loglevel=3 acpi=off clearcpuid=amx_tile mitigations=off lpj=1000000 panic=-1
END
  xorriso -as mkisofs -quiet -o disk.iso -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table disk 2>/dev/null
  cat >bochsrc <<END
cpu: model=sapphire_rapids, ips=100000000
memory: guest=256, host=256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
vga: update_freq=1
ata0-master: type=cdrom, path=$PWD/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$PWD/serial
display_library: term
log: $PWD/log
error: action=ignore
panic: action=fatal
END
  rm -f serial
  # A terminal for Bochs's screen, which nobody looks at. The program ends Bochs.
  TERM=vt100 timeout "${XTAPE_AMX_SECONDS:-7200}" script -qfc "bochs-bin -q -f bochsrc" /dev/null </dev/null >screen || true
}
if [[ ${1-} == inside ]]; then
  cd "$(dirname "${BASH_SOURCE[0]}")"
  inside
  exit
fi

root=${XTAPE_DEBIAN13:-${XDG_CACHE_HOME:-$HOME/.cache}/xtape/debian13}
skip() {
  echo "amx.sh: AMX is not emulated: $1"
  exit 0
}
[[ $(id -u) -eq 0 ]] || skip "a root needs root's rights"
[[ $(uname -m) == x86_64 ]] || skip "this is no x86-64"
[[ -e $root/complete ]] || skip "there is no root with Debian 13: run bash tests/debian13.sh"
unshare -m true 2>/dev/null || skip "there are no mount namespaces here"
exec 9>"$root.lock"
flock 9

cmake --preset dev >/dev/null
cmake --build build/dev --target xtape
folder=$root/amx
mkdir -p "$folder"
g++ -std=c++20 -O2 -ffp-contract=off -mavx2 -mfma -Wall -Wextra -Wconversion -Wshadow -Werror -Iinclude -Isrc -Itests \
  tests/amx/probe.cpp build/dev/libxtape.a -static -Wl,--wrap=syscall -o "$folder/probe"
cp tests/amx.sh tests/amx/tiles.c "$folder"
unshare -m bash -c '
  mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
  mount --rbind /dev "$1/dev"
  exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    XTAPE_AMX_SECONDS="${XTAPE_AMX_SECONDS-}" http_proxy="${http_proxy-}" https_proxy="${https_proxy-}" bash /amx/amx.sh inside' - "$root"
tr -d '\r' <"$folder/serial" | sed -n '/^tiles.ko/,/^passed/p'
grep -q '^passed' "$folder/serial"
echo "amx.sh: $(grep -c ' 0 of ' "$folder/serial") comparisons without a differing bit, by Bochs"
