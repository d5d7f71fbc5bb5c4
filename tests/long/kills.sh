#!/bin/bash
# Thousands of captures, restores and undos are killed at random moments; see tests/kills.py.
# KILLS: how many of each (2500)
export TMPDIR=${TMPDIR:-/dev/shm}
. "$(dirname "$0")/../e2e/functions.sh"
requires sgdisk partx mkfs.fat mke2fs blkid python3 openssl
cd "$T"

truncate -s 40M disk.img old.img
sgdisk -n 1:2048:+12M -t 1:EF00 -n 2:0:0 disk.img >/dev/null
make_ext4 part 25M && put_partition disk.img 2 part && rm part
truncate -s 12M part && mkfs.fat -F 12 part >/dev/null && put_partition disk.img 1 part && rm part
sgdisk -n 1:4096:+20M -n 2:0:0 old.img >/dev/null
make_ext4 part 20M -L old && put_partition old.img 1 part && rm part
make_ext4 part 15M -L older && put_partition old.img 2 part && rm part
for d in disk.img old.img; do
	for n in 1 2; do
		read -r start len < <(partition_place $d $n)
		echo "$start $len"
	done
done >places.txt
run_calco capture disk.img image.calco
python3 "$ROOT/tests/kills.py" "$CALCO" "$T" "${KILLS:-2500}" "${SEED:-1}"
