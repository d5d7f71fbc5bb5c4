#!/bin/bash
# A file system without a driver is taken whole: XFS comes back, its own checker is clean, and all files are the same.
. "$(dirname "$0")/rounds.sh"
requires mkfs.xfs xfs_repair

disk=xfs.img
truncate -s $((330 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:0 $disk >/dev/null
attach_partition 1
mkfs.xfs -q -L scratch "$dev"
detach "$dev"
fill_ext 1
check_xfs() {
	attach_partition "$1" --read-only
	xfs_repair -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "xfs_repair finds errors"; }
	mount -o ro,norecovery "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "the files differ"; }
}
echo "check_xfs 1" >$disk.checks
# Raw: what was deleted comes along.
MARKER='nothing of this kind'
round_trip $disk
run_calco capture $disk again.calco
expect_text err 'xfs.*raw'
