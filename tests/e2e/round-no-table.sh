#!/bin/bash
# Round trip of file systems on whole disks without a table, in files of odd sizes.
. "$(dirname "$0")/rounds.sh"

# whole KIND SIZE [MKFS-OPTION...]
whole() {
	disk=$1.img
	truncate -s "$2" "$disk"
	part 0 "$1" "${@:3}"
	[ "$1" = raw ] || holds_deleted_data "$disk"
	round_trip "$disk"
	run_calco info "$disk.calco" --json
	json_true out 'd["result"]["disks"][0]["table"] == "none"'
	rm "$disk" "$disk.calco"
}

whole ext4 $((60 * 1024 * 1024 + 777)) -b 4096
FILES=odd whole ext2 $((30 * 1024 * 1024 + 1))
whole fat32 $((40 * 1024 * 1024 + 511)) -s 1
whole fat16 $((20 * 1024 * 1024 + 513))
whole fat12 $((5 * 1024 * 1024 + 4095))
whole swap $((4 * 1024 * 1024 + 777))
whole raw $((3 * 1024 * 1024 + 3))
