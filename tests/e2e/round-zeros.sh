#!/bin/bash
# Disks with nothing on them, and files whose size is no multiple of a sector: all bytes come back.
. "$(dirname "$0")/rounds.sh"

disk=zeros.img
truncate -s 64M $disk
round_trip $disk
[ "$(stat -c %s $disk.calco)" -lt 20000 ] || fail "an image of nothing has $(stat -c %s $disk.calco) bytes"

disk=odd.img
truncate -s $((100 * 1024 * 1024 + 777)) $disk
printf 'the last bytes' | dd of=$disk oflag=seek_bytes seek=$((100 * 1024 * 1024 + 763)) conv=notrunc status=none
round_trip $disk
run_calco restore odd.img.calco copy.img
cmp copy.img $disk

for size in 1 511 513 4097; do
	disk=tiny.$size
	random_bytes $size >$disk
	round_trip $disk
	run_calco restore $disk.calco copy.$size
	cmp copy.$size $disk
done

: >empty
expect_exit 2 "$CALCO" capture empty empty.calco
[ ! -e empty.calco ] || fail "an image of an empty file"
