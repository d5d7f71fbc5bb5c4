#!/bin/bash
# A file system without a driver is taken whole: btrfs comes back, its own checker is clean, and all files are the same.
. "$(dirname "$0")/rounds.sh"
requires mkfs.btrfs btrfs

disk=btrfs.img
truncate -s $((180 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:0 $disk >/dev/null
attach_partition 1
mkfs.btrfs -q -L scratch "$dev"
detach "$dev"
fill_ext 1
check_btrfs() {
	attach_partition "$1" --read-only
	btrfs check --readonly --check-data-csum "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "btrfs check finds errors"; }
	mount -o ro "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "the files differ"; }
}
echo "check_btrfs 1" >$disk.checks
# Raw: what was deleted comes along.
MARKER='nothing of this kind'
round_trip $disk
run_calco capture $disk again.calco
expect_text err 'btrfs.*raw'
