#!/bin/bash
# Crude damage to the metadata of ext volumes: refused, taken raw, or captured so that e2fsck and debugfs find in the restored copy just what they
# find in the damaged original. MUTATIONS: how many (20)
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/damagelib.sh"
requires mkfs.ext4 debugfs dumpe2fs e2fsck python3 openssl

mkdir "$T/files" "$T/files/a folder"
for i in $(seq 60); do
	openssl enc -aes-128-ctr -K "$(printf %02d "$i")" -iv 00 -in /dev/zero 2>/dev/null | head -c $((i * i * 40)) >"$T/files/a folder/file $i" || true
done
seq 100000 >"$T/files/large"
ln -s large "$T/files/link"

SIZE=8M
# make NUMBER MKFS-OPTION...: filled, with holes where files were deleted
make() {
	truncate -s "$SIZE" "$T/whole$1"
	mkfs.ext4 -q -d "$T/files" "${@:2}" "$T/whole$1" >"$T/out" 2>&1 || { cat "$T/out" >&2; fail "mkfs.ext4 ${*:2}"; }
	for i in $(seq 3 5 60); do echo "rm \"a folder/file $i\""; done | debugfs -w -f - "$T/whole$1" >"$T/out" 2>&1
	e2fsck -fn "$T/whole$1" >"$T/out" 2>&1 || fail "e2fsck after mkfs.ext4 ${*:2}"
}
make 0 -O ^metadata_csum,^resize_inode -b 1024 -g 2048
make 1 -b 1024 -N 200
make 2 -O ^has_journal,^metadata_csum,^extent,^64bit -b 4096 -N 200
make 3 -O ^metadata_csum,uninit_bg,^has_journal -b 1024 -N 300
make 4 -O bigalloc,^metadata_csum,^has_journal -b 1024 -C 4096 -N 200

# metadata FILE: where its superblocks, group descriptors, bitmaps and inode tables are, as START+LENGTH
metadata() {
	dumpe2fs "$1" 2>/dev/null | python3 -c '
import re, sys
text = sys.stdin.read()
block = int(re.search(r"Block size: +(\d+)", text)[1])
print("1024+1024")
for first, last in re.findall(r"(?:Group descriptors|bitmap|Inode table|uperblock|GDT blocks)(?: at|) (\d+)(?:-(\d+))?", text):
    first, last = int(first), int(last or first)
    print(f"{first * block}+{min(last - first + 1, 30) * block}")'
}

# contents VOLUME FOLDER: what each inode that is in use holds, and what e2fsck says
contents() {
	mkdir "$2"
	(
		cd "$2"
		ulimit -f 40000
		trap '' XFSZ
		for i in $(seq 2 110); do echo "stat <$i>"; done | timeout 60 debugfs -c -f - "$1" 2>&1 |
			awk '$1 == "Inode:" { i = $2 } $1 == "Links:" && $2 > 0 { printf "dump <%d> %d\n", i, i }' >dump.list || true
		timeout 60 debugfs -c -f dump.list "$1" >dump 2>&1 || true
		timeout 60 e2fsck -fn "$1" >fsck 2>&1 || true
		sed -i "s|$1|volume|g" dump fsck
	)
}

# Where they are does not change.
for whole in "$T"/whole?; do metadata "$whole" >"$T/places${whole##*whole}"; done
damage() {
	# shellcheck disable=SC2046 # words
	python3 "$ROOT/tests/tools/mutate.py" "$T/now" "$2" $(cat "$T/places$1")
}
same() { same_contents "$1"; }

REASONS="dirty errors dirty-journal mmp external-journal checksum"
damage_rounds 20 refused raw mapped
