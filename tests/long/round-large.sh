#!/bin/bash
# Round trips that take minutes: file systems of several gigabytes with all of /usr that fits, many groups, many options.
. "$(dirname "$0")/../e2e/rounds.sh"

# All of this machine's files, up to a size that still fits.
real_files() {
	mkdir -p "$1/usr"
	find /usr -xdev -type f -size -2M 2>/dev/null | sort | awk 'NR % 3' | head -n 40000 >"$1/list"
	cut -c 2- "$1/list" | head -c 100000000 | tar -C / --ignore-failed-read -cf - -T - 2>/dev/null | head -c "$LIMIT" |
		tar -C "$1" -xf - 2>/dev/null || true
	rm "$1/list"
}
LIMIT=1500000000

# one NAME SIZE KIND [OPTION...]
one() {
	echo "# $*"
	disk=$1.img
	truncate -s "$2" "$disk"
	sgdisk -a 1 -n 1:63:0 "$disk" >/dev/null
	GONE=${GONE:-300} part 1 "${@:3}"
	round_trip "$disk"
	rm "$disk" "$disk.calco"
}

one ext4 $((4000 * 1024 * 1024 + 512)) ext4
one meta_bg $((3500 * 1024 * 1024 + 3 * 512)) ext4 -O meta_bg,^resize_inode
# Deleted data may stand in the unused part of a cluster: there it is only written at the end.
GONE=0 one bigalloc-64k $((3800 * 1024 * 1024 + 512)) ext4 -O bigalloc -C 65536
one small-blocks $((3000 * 1024 * 1024 + 512)) ext4 -b 1024
one no-flex $((3000 * 1024 * 1024 + 512)) ext4 -O ^flex_bg,^metadata_csum,^uninit_bg
one ext3 $((3000 * 1024 * 1024 + 512)) ext3
one ext2 $((3000 * 1024 * 1024 + 512)) ext2
one fat32 $((3000 * 1024 * 1024 + 512)) fat32
