# shellcheck shell=bash
# Helpers for tests with F2FS: all of readerlib.sh, and volumes filled by sload.f2fs and looked at by a reader that shares nothing with the program.

. "$(dirname "${BASH_SOURCE[0]}")/readerlib.sh"
requires mkfs.f2fs sload.f2fs fsck.f2fs

F2FS=$HERE/../tools/f2fs.py
READER_TOOL=$F2FS

# fsck_f2fs FILE
fsck_f2fs() {
	fsck.f2fs --dry-run "$1" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.f2fs: $disk"; }
	expect_no_text "$T/fsck" '\[Fail\]|\[ASSERT\]'
}

# part_f2fs NUMBER FILES [MKFS-OPTION...]: and old data in every free block
part_f2fs() {
	local READER_TOOL=$F2FS # another library may have set another
	attach_partition "$1"
	mkfs.f2fs -q -f -l "part $1" "${@:3}" "$dev" >"$T/err" 2>&1 || { cat "$T/err" >&2; fail "mkfs.f2fs ${*:3}"; }
	rm -rf put
	mkdir put
	spread_files put "$2"
	# A link far down, a large file
	ln -s /somewhere/else "$(dirname "$(find put -name bottom)")/link"
	random_bytes 9000001 >put/large
	sload.f2fs -f "$T/put" "$dev" >"$T/err" 2>&1 || { tail -n 5 "$T/err" >&2; fail "sload.f2fs ${*:3}"; }
	python3 "$READER_TOOL" fill "$dev" "$MARKER"
	fsck_f2fs "$dev"
	detach "$dev"
	note_list "$1" "$2"
	echo "check_f2fs $1" >>"$disk.checks"
}

check_f2fs() {
	local READER_TOOL=$F2FS
	attach_partition "$1" --read-only
	fsck_f2fs "$dev"
	detach "$dev"
	check_list "$1"
}
