#!/bin/bash
# A disk with sectors of 512 bytes, restored to one of 4096, starts under OVMF from the EFI system partition that was made anew; and the other way round.
. "$(dirname "$0")/../e2e/functions.sh"
. "$ROOT/tests/e2e/crashlib.sh"
. "$ROOT/tests/boot/bootlib.sh"

# starts DISK SECTOR WORD: OVMF finds the loader, which finds the root file system
starts() {
	timeout 150 qemu-system-x86_64 -machine q35 -drive "if=pflash,format=raw,readonly=on,file=$OVMF" -accel tcg -m 256 -display none -vga none \
		-net none -no-reboot -serial "file:$T/console" -drive "if=none,id=a,format=raw,snapshot=on,file=$1" \
		-device "virtio-blk-pci,drive=a,bootindex=0,logical_block_size=$2,physical_block_size=4096" >"$T/qemu" 2>&1 || {
		cat "$T/qemu" "$T/console" >&2
		fail "$1: the machine did not halt by itself"
	}
	tr -d '\000' <"$T/console" | sed 's/\x1b\[[0-9;=?]*[A-Za-z]//g' | tr '\r' '\n' >"$T/console.txt"
	grep -qx "marker-$3" "$T/console.txt" || { cat "$T/console.txt" >&2; fail "$1: '$3' did not start with sectors of $2 bytes"; }
}

cd "$T"
truncate -s 80M disk.img
sgdisk -n 1:2048:+34M -t 1:EF00 -n 2:73728:+24M -t 2:8300 disk.img >/dev/null
loaders sectors
put_esp disk.img 1048576 34M -F 16 -s 2
put_root disk.img $((73728 * 512)) 24M sectors
starts disk.img 512 sectors
run_calco capture disk.img disk.calco
run_calco restore disk.calco large.img --sector-size 4096
starts large.img 4096 sectors
run_calco capture large.img large.calco
run_calco restore large.calco small.img --sector-size 512
starts small.img 512 sectors

# With a FAT32 of the least size that such sectors need.
rm ./*.img ./*.calco
truncate -s 340M disk.img
sgdisk -n 1:2048:+270M -t 1:EF00 -n 2:0:+24M -t 2:8300 disk.img >/dev/null
put_esp disk.img 1048576 270M -F 32
put_root disk.img $(((2048 + 270 * 2048) * 512)) 24M sectors
run_calco capture disk.img disk.calco
run_calco restore disk.calco large.img --sector-size 4096
starts large.img 4096 sectors
