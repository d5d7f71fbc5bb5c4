#!/bin/bash
# Metadata of F2FS changed at random: every capture ends, and what it neither refuses nor takes raw has the same files in its restored copy,
# for an independent reader. MUTATIONS: how many (30)
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/damagelib.sh"
requires python3 mkfs.f2fs sload.f2fs

F2FS=$ROOT/tests/tools/f2fs.py
mkdir -p "$T/tree/folder" "$T/tree/many"
seq 1 300000 >"$T/tree/large"
for i in $(seq 60); do seq "$i" $((i * i)) >"$T/tree/many/file $i"; done
ln -s large "$T/tree/link"

# volume FILE MKFS-OPTION...
volume() {
	truncate -s 80M "$1"
	mkfs.f2fs -q -f -l mutant "${@:2}" "$1" >/dev/null 2>&1
	sload.f2fs -f "$T/tree" "$1" >/dev/null 2>&1 || fail "sload.f2fs"
	python3 "$F2FS" list "$1" >"$T/list"
	[ "$(wc -l <"$T/list")" -gt 60 ] || fail "$1 is not filled"
}

volume "$T/whole0"
volume "$T/whole1" -O extra_attr,inode_checksum,sb_checksum,compression
volume "$T/whole2" -i
python3 "$F2FS" mirror "$T/whole2"
# What mkfs leaves: all in the journals
truncate -s 80M "$T/whole3"
mkfs.f2fs -q -f "$T/whole3" >/dev/null 2>&1

damage() { python3 "$F2FS" mutate "$T/now" "$2"; }
same() { same_list "$1" "$F2FS"; }

REASONS="dirty errors set-member" RESTORE=(--scrub none)
damage_rounds 30 raw readable
