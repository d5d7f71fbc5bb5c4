#!/bin/bash
# Crude damage to the metadata of FAT volumes: refused, taken raw, or captured so that fsck.fat and mtools find in the restored copy just what they
# find in the damaged original. MUTATIONS: how many (30)
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/damagelib.sh"
requires mkfs.fat fsck.fat mcopy mdel mmd python3 openssl
export MTOOLS_SKIP_CHECK=1

for i in $(seq 40); do
	openssl enc -aes-128-ctr -K "$(printf %02d "$i")" -iv 00 -in /dev/zero 2>/dev/null | head -c $((i * i * 40)) >"$T/file $i" || true
done

# make NUMBER SIZE MKFS-OPTION...: filled, with holes where files were deleted
make() {
	local i
	truncate -s "$2" "$T/whole$1"
	mkfs.fat "${@:3}" "$T/whole$1" >"$T/out" 2>&1 || { cat "$T/out" >&2; fail "mkfs.fat ${*:3}"; }
	mmd -i "$T/whole$1" "::a folder" "::a folder/inner"
	mcopy -i "$T/whole$1" "$T"/file\ [1-9] "::a folder"
	mcopy -i "$T/whole$1" "$T"/file\ [1-4][0-9] "::a folder/inner"
	for i in 2 5 8; do mdel -i "$T/whole$1" "::a folder/file $i" "::a folder/inner/file 1$i"; done
	mcopy -i "$T/whole$1" "$T/file 40" "::in pieces"
	fsck.fat -n "$T/whole$1" >"$T/out" 2>&1 || fail "fsck.fat after mkfs.fat ${*:3}"
}
make 0 2M -F 12 -s 2
make 1 9M -F 16 -s 1
make 2 36M -F 32 -s 1
make 3 3000320 -F 12 -s 4 -f 1 -r 112

# metadata NUMBER: its boot sectors, FATs and root directory
metadata() {
	case $1 in
	0) echo 0+512 512+3072 3584+16384 ;;
	1) echo 0+512 2048+150000 ;;
	2) echo 0+512 512+512 3072+512 16384+2000 16384+589824 ;;
	*) echo 0+512 512+2560 3072+3584 ;;
	esac
}

# contents VOLUME FOLDER: what mtools reads, and what fsck.fat says
contents() {
	mkdir -p "$2/tree"
	(
		ulimit -f 40000
		trap '' XFSZ
		timeout 20 mcopy -Q -s -n -i "$1" ::* "$2/tree" </dev/null >"$2/mcopy" 2>&1 || echo "exit $?" >>"$2/mcopy"
		timeout 20 fsck.fat -n -v "$1" >"$2/fsck" 2>&1 || true
		sed -i "s|$1|volume|g" "$2/mcopy" "$2/fsck"
	)
}

damage() {
	# shellcheck disable=SC2046 # words
	python3 "$ROOT/tests/tools/mutate.py" "$T/now" "$2" $(metadata "$1")
}
same() { same_contents "$1"; }

REASONS="dirty errors"
damage_rounds 30 raw mapped
