#!/bin/bash
# What starts a computer is used, wherever it lies: boot code, the gap behind an MBR, a BIOS boot partition.
. "$(dirname "$0")/rounds.sh"

disk=gpt.img
truncate -s $((48 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:34:2047 -t 1:EF02 -n 2:2048:+60001 $disk >/dev/null
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 raw
FILES=odd part 2 ext4
also_check() {
	cmp -n 440 "$1" "$source" || fail "the boot code differs"
}
round_trip $disk

disk=mbr.img
truncate -s $((48 * 1024 * 1024 + 512)) $disk
echo 'start=2048, size=60001, type=83, bootable' | sfdisk -q $disk
random_bytes 440 | dd of=$disk conv=notrunc status=none
random_bytes 60000 | dd of=$disk bs=512 seek=1 conv=notrunc status=none
FILES=odd part 1 ext4
also_check() {
	cmp -n $((2048 * 512)) "$1" "$source" || fail "the gap before the first partition differs"
}
round_trip $disk
