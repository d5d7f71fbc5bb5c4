#!/bin/bash
# XFS through capture and restore over garbage, and back: every file, what is in use, and its own checker. What is not unmounted is refused.
. "$(dirname "$0")/rounds.sh"
requires mkfs.xfs xfs_repair xfs_db xfs_io setfattr

# xfs_used DEVICE: all extents that the trees of free space know
xfs_used() {
	xfs_db -r -c 'freesp -d' "$1"
	xfs_db -r -c 'sb 0' -c 'p dblocks fdblocks icount ifree' "$1"
}

# more_files: what XFS has of its own: shared blocks, attributes in blocks, files in many pieces
more_files() {
	local i
	cp --reflink=auto mnt/odd/links/numbers mnt/shared
	printf 'of one alone' | dd of=mnt/shared bs=1 seek=100000 conv=notrunc status=none
	setfattr -n user.large -v "$(printf 'z%.0s' $(seq 9000))" mnt/shared
	# Written as a whole, then punched: blocks that were only set aside would hold what was deleted.
	xfs_io -f -c 'pwrite -q 0 12m' mnt/pieces
	for i in $(seq 0 2 3000); do echo "fpunch $((i * 4096)) 4096"; done >commands
	xfs_io mnt/pieces <commands
}

# fill_xfs NUMBER: in two mounts, so that the second one finds old holes
fill_xfs() {
	fill_ext "$1"
	attach_partition "$1"
	mount "$dev" mnt
	more_files
	find mnt/usr -name '*[15]' -type f -print0 2>/dev/null | xargs -0 rm -f
	umount mnt
	# Blocks set aside for open files are given back by now.
	mount -o ro "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >"$disk.manifest.$1"
	umount mnt
	xfs_used "$dev" >"$disk.used.$1"
	detach "$dev"
}

# check_xfs NUMBER: xfs_repair is content, every file is what fill_xfs noted, and so is what is free
check_xfs() {
	attach_partition "$1" --read-only
	xfs_repair -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "xfs_repair finds errors in partition $1 of $disk"; }
	xfs_used "$dev" >now
	diff now "$source.used.$1" >&2 || fail "partition $1 of $disk has other blocks in use"
	mount -o ro,norecovery,nouuid "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
}

# xfs_part NUMBER [MKFS-OPTION...]: make and fill one partition of $disk
xfs_part() {
	local number=$1
	shift
	attach_partition "$number"
	mkfs.xfs -q "$@" "$dev" >"$T/err" 2>&1 || { cat "$T/err" >&2; fail "mkfs.xfs $*"; }
	detach "$dev"
	fill_xfs "$number"
	echo "check_xfs $number" >>"$disk.checks"
}

disk=xfs.img
truncate -s 701M $disk
sgdisk -a 1 -n 1:63:+340M -n 2:0:0 $disk >/dev/null
xfs_part 1 -L scratch
FILES=odd GONE=4 xfs_part 2 -b size=1024 -m rmapbt=1 -d agcount=4 -i nrext64=1
holds_deleted_data $disk
# Blocks that are set aside for the trees count as used, and hold what stood there before: no more of it may come along.
deleted=$MARKER
MARKER='nothing of this kind'
round_trip $disk
run_calco restore $disk.calco blank.img
room=0
size=4096
for number in 1 2; do
	attach_partition $number --read-only
	for group in 0 1 2 3; do
		count=$(xfs_db -r -c "agf $group" -c 'p flcount' "$dev" | sed 's/.*= //')
		room=$((room + count * size))
	done
	detach "$dev"
	size=1024
done
came=$(LC_ALL=C grep -a -o -F "$deleted" blank.img | wc -c || true)
[ "$came" -le "$room" ] || fail "deleted data came along: $came bytes, and $room are set aside"
rm blank.img
run_calco info $disk.calco --json
json_true out "[v['driver'] for v in d['result']['volumes'] if v['type'] == 'xfs'] == ['xfs', 'xfs']"
json_true out "all(v['state'] == 'clean' and v['raw'] is None for v in d['result']['volumes'])"

# refused REASON: the file dirty.img, with nothing left and nothing changed
refused() {
	local was
	was=$(hash_of dirty.img)
	expect_exit 4 "$CALCO" capture dirty.img dirty.calco --json
	json_true out "d['error']['reason'] == '$1' and d['error']['hint']"
	[ ! -e dirty.calco ] && [ ! -e dirty.calco.part ] || fail "a refused capture left a file"
	[ "$(hash_of dirty.img)" = "$was" ] || fail "the source was changed"
}

# A computer lost its power: a copy of a mounted volume, and one that the kernel was told to give up.
truncate -s 320M live.img
mkfs.xfs -q live.img
attach live.img
live=$dev
mount "$live" mnt
cp -r "$tree/odd/links" mnt
sync -f mnt
cp --sparse=always live.img dirty.img
refused dirty-log
rm mnt/links/short
xfs_io -x -c 'shutdown -f' mnt
umount mnt
detach "$live"
mv live.img dirty.img
refused dirty-log
# As the advice says
attach dirty.img
mount "$dev" mnt
umount mnt
detach "$dev"
run_calco capture dirty.img replayed.calco
# Parts of it are elsewhere.
truncate -s 320M dirty.img
truncate -s 100M other-device.img
mkfs.xfs -q -f -l logdev=other-device.img,size=64m dirty.img
refused external-log
mkfs.xfs -q -f -r rtdev=other-device.img dirty.img
refused realtime
