#!/bin/bash
# A thousand refreshes of a used disk are killed at random moments; see tests/kills.py.
# KILLS: how many (1000)
export TMPDIR=${TMPDIR:-/dev/shm}
. "$(dirname "$0")/../e2e/functions.sh"
requires sgdisk partx mkfs.fat mke2fs blkid debugfs mcopy python3 openssl
cd "$T"

truncate -s 40M disk.img
sgdisk -n 1:2048:+12M -t 1:EF00 -n 2:0:0 disk.img >/dev/null
make_ext4 part 25M && put_partition disk.img 2 part && rm part
truncate -s 12M part && mkfs.fat -F 12 part >/dev/null && put_partition disk.img 1 part && rm part
run_calco capture disk.img image.calco
run_calco restore image.calco old.img

# A day's use: files come in both file systems.
get_partition old.img 2 part
openssl enc -aes-128-ctr -K 07 -iv 00 -in /dev/zero 2>/dev/null | head -c 6000000 >new || true
for i in 1 2 3; do debugfs -w -R "write new new-$i" part 2>/dev/null >/dev/null; done
put_partition old.img 2 part
get_partition old.img 1 part
mcopy -i part new ::/new
put_partition old.img 1 part
rm part new
for n in 1 2; do
	read -r start len < <(partition_place disk.img $n)
	echo "$start $len"
done >places.txt
python3 "$ROOT/tests/kills.py" "$CALCO" "$T" "${KILLS:-1000}" "${SEED:-1}" refresh
