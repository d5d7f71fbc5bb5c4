#!/bin/sh
# Install the Debian 12 packages that building ("build"), testing ("check"), booting ("boot"), fuzzing ("fuzz") and benchmarking ("bench") need.
# Asks apt only for what is missing, so it costs nothing on a machine that has them.
set -eu

packages() {
	case $1 in
	build)
		echo gcc make pkg-config libc6-dev libssl-dev libzstd-dev libdeflate-dev libxxhash-dev libblkid-dev libcryptsetup-dev
		[ "$(dpkg --print-architecture)" != amd64 ] || echo libipsec-mb-dev
		;;
	check) echo attr binutils btrfs-progs check bash e2fsprogs dosfstools mtools fdisk gdisk openssl util-linux mount kmod python3 \
		ntfs-3g exfatprogs exfat-fuse fuse3 f2fs-tools lvm2 cryptsetup-bin mdadm \
		zstd xfsprogs xz-utils man-db groff-base procps shellcheck time ;;
	boot) echo qemu-system-x86 seabios ovmf grub-common grub-pc-bin grub-efi-amd64-bin xorriso btrfs-progs ;;
	fuzz) echo clang libclang-rt-dev ;;
	bench) echo partclone qemu-utils zstd hyperfine time restic borgbackup debootstrap gdisk dosfstools e2fsprogs ;;
	*) echo "unknown group of packages: $1" >&2; exit 2 ;;
	esac
}

missing=
for group in "$@"; do
	for p in $(packages "$group"); do
		# shellcheck disable=SC2016 # dpkg-query expands ${Status} itself
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
	done
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages:$missing" >&2
	echo "as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to split
apt-get install -y -qq --no-install-recommends $missing >/dev/null
