# shellcheck shell=bash
# Helpers for tests with NTFS: all of rounds.sh, and volumes filled through ntfs-3g and FUSE, and looked at the same way.

. "$(dirname "${BASH_SOURCE[0]}")/rounds.sh"
requires mkntfs ntfs-3g ntfsfix ntfsinfo ntfscat setfattr
[ -c /dev/fuse ] || skip "FUSE does not work here"

# mount_ntfs OPTIONS: $dev on mnt; other streams appear as attributes user.NAME
mount_ntfs() {
	ntfs-3g -o "streams_interface=xattr,$1" "$dev" mnt 2>"$T/err" || { cat "$T/err" >&2; fail "ntfs-3g does not mount it"; }
}

# ntfs_files FOLDER: some thousand files, and what NTFS has of its own
ntfs_files() {
	local deep=$1/deep i
	[ "${FILES:-all}" != all ] || cp -r --preserve=timestamps "$tree/usr" "$1/usr"
	mkdir -p "$1/packed" "$1/many" "$1/other"
	# FILE_ATTRIBUTE_COMPRESSED: what is made in this folder is compressed (ntfs-3g's option "compression")
	setfattr -h -n system.ntfs_attrib -v 0x00080000 "$1/packed"
	seq 1 300000 >"$1/packed/numbers"
	random_bytes 200000 >"$1/packed/noise"
	truncate -s 150M "$1/other/sparse"
	for i in 0 77 1000 38000; do printf 'island %d' "$i" | dd of="$1/other/sparse" bs=4096 seek="$i" conv=notrunc status=none; done
	for i in $(seq 200); do echo "resident $i" >"$1/many/a small file with a rather long name $i"; done
	for i in $(seq 30); do deep=$deep/level-$i; done
	mkdir -p "$deep"
	seq 1 5000 >"$deep/Größe 名前 😀"
	for i in 1 2 3; do ln "$1/many/a small file with a rather long name $i" "$1/other/again $i"; done
	ln "$1/packed/numbers" "$1/other/numbers"
	setfattr -n user.stream -v "another stream" "$1/other/numbers"
	random_bytes 60000 >"$T/stream"
	setfattr -n user.large -v "0x$(od -An -v -tx1 "$T/stream" | tr -d ' \n')" "$deep/Größe 名前 😀"
	ln -s numbers "$1/other/link"
	# In many pieces: two files that grow in turn
	for i in $(seq 150); do
		random_bytes 9000 >>"$1/other/left"
		random_bytes 5000 >>"$1/other/right"
	done
}

# ntfs_used DEVICE: $Bitmap and the sizes
ntfs_used() {
	ntfsinfo -m "$1" | grep -v 'Name of device\|Device state'
	ntfscat -i 6 "$1" | sha256sum
}

ntfs_manifest() {
	python3 "$HERE/tree_manifest.py" mnt
	find mnt -type f -print0 | sort -z | xargs -0 getfattr --only-values -n system.ntfs_attrib 2>/dev/null | sha256sum
}

# fill_ntfs NUMBER
fill_ntfs() {
	[ -n "${tree:-}" ] || shared_tree
	attach_partition "$1"
	mount_ntfs compression
	deleted_data mnt "${GONE:-12}"
	ntfs_files mnt
	find mnt/many mnt/usr -name '*[37]*' -type f -print0 2>/dev/null | xargs -0 rm
	deleted_data mnt 1
	umount mnt
	mount_ntfs ro
	ntfs_manifest >"$disk.manifest.$1"
	umount mnt
	ntfs_used "$dev" >"$disk.used.$1"
	detach "$dev"
}

# check_ntfs NUMBER: ntfsfix is content, every file is what fill_ntfs noted, and so is what is in use
check_ntfs() {
	attach_partition "$1"
	ntfsfix -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "ntfsfix is not content with partition $1 of $disk"; }
	! grep -i 'bad\|fail\|corrupt\|dirty' "$T/fsck" >&2 || fail "ntfsfix finds errors in partition $1 of $disk"
	ntfs_used "$dev" >now
	diff now "$source.used.$1" >&2 || fail "partition $1 of $disk has other clusters in use"
	mount_ntfs ro
	ntfs_manifest >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
}

# ntfs_part NUMBER [MKNTFS-OPTION...]: make and fill one partition of $disk
ntfs_part() {
	local number=$1
	shift
	attach_partition "$number"
	mkntfs -q -F -Q "$@" "$dev" >"$T/err" 2>&1 || { cat "$T/err" >&2; fail "mkntfs $*"; }
	detach "$dev"
	fill_ntfs "$number"
	echo "check_ntfs $number" >>"$disk.checks"
}
