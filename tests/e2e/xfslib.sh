# shellcheck shell=bash
# Helpers for tests with XFS: all of rounds.sh, and volumes that are filled in two mounts, with what XFS has of its own.

. "$(dirname "${BASH_SOURCE[0]}")/rounds.sh"
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
