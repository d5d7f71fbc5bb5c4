# shellcheck shell=bash
# Helpers for tests with exFAT: all of readerlib.sh, and volumes filled and looked at by FUSE exfat and by a reader that follows the specification.

. "$(dirname "${BASH_SOURCE[0]}")/readerlib.sh"
requires mkfs.exfat fsck.exfat mount.exfat-fuse

EXFAT=$HERE/../tools/exfat.py
READER_TOOL=$EXFAT

# mount_exfat OPTIONS: $dev on mnt; this kernel may have no driver of its own
mount_exfat() {
	mount.exfat-fuse -o "$1" "$dev" mnt >"$T/err" 2>&1 || skip "FUSE exfat does not mount it: $(cat "$T/err")"
}

# exfat_manifest: what is in mnt
exfat_manifest() {
	(cd mnt && find . -mindepth 1 -printf '%P %y %s %T@\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# fill_exfat NUMBER FILES
fill_exfat() {
	local i READER_TOOL=$EXFAT # another library may have set another
	attach_partition "$1"
	mount_exfat rw
	spread_files mnt "$2"
	# Holes everywhere, and then files that have to go into them
	find mnt -name '*[37] file.dat' -type f -print0 | xargs -0 rm
	for i in 1 2 3; do
		random_bytes $((i * 700000 + i)) >"mnt/in pieces $i"
		rm -rf "mnt/Ordner $i – ö/inner"
	done
	# Last: what is behind the end of a file in its last cluster comes along, whatever it is.
	deleted_data mnt 4
	exfat_manifest >"$disk.manifest.$1"
	umount mnt
	fsck.exfat -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.exfat finds errors before anything was done"; }
	detach "$dev"
	note_list "$1" 100
	echo "check_exfat $1" >>"$disk.checks"
}

check_exfat() {
	local READER_TOOL=$EXFAT
	attach_partition "$1" --read-only
	fsck.exfat -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.exfat finds errors in partition $1 of $disk"; }
	mount_exfat ro
	exfat_manifest >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
	check_list "$1"
}

# part_exfat NUMBER FILES [MKFS-OPTION...]
part_exfat() {
	attach_partition "$1"
	mkfs.exfat -L "part $1" "${@:3}" "$dev" >/dev/null
	detach "$dev"
	fill_exfat "$1" "$2"
}
