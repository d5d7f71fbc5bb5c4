#!/bin/bash
# Round trip of an MBR disk: from sector 63 on, three primary partitions and a chain of logical ones with gaps.
. "$(dirname "$0")/rounds.sh"

disk=mbr.img
truncate -s $((200 * 1024 * 1024 + 3 * 512)) $disk
sfdisk -q $disk <<-'TABLE'
	label: dos
	label-id: 0xc0ffee11
	1 : start=63, size=40003, type=6, bootable
	2 : start=40100, size=90001, type=83
	3 : start=130200, size=270300, type=f
	4 : start=400503, size=9001, type=da
	5 : start=130263, size=80001, type=83
	6 : start=214000, size=90003, type=c
	7 : start=306017, size=8009, type=82
	8 : start=314100, size=60001, type=83
TABLE
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 fat16
part 2 ext4 -b 4096
part 4 raw
part 5 ext3
part 6 fat32 -s 1
part 7 swap
FILES=odd GONE=6 part 8 ext2
holds_deleted_data $disk
sfdisk -d $disk | grep -v ^device: | sed "s/$disk/DISK/" >table
also_check() {
	sfdisk -d "$1" | grep -v ^device: | sed "s/$1/DISK/" | diff table - || fail "sfdisk reads another table"
}
round_trip $disk
