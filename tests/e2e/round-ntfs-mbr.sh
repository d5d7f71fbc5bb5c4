#!/bin/bash
# Round trip of NTFS on an MBR disk: large clusters, logical, one that ends before its partition does; and sectors of 4096 bytes.
. "$(dirname "$0")/ntfslib.sh"

disk=mbr.img
truncate -s $((240 * 1024 * 1024 + 5 * 512)) $disk
sfdisk -q $disk <<-'TABLE'
	label: dos
	label-id: 0xc0ffee12
	1 : start=63, size=204803, type=7, bootable
	2 : start=205000, size=286000, type=f
	5 : start=205063, size=90001, type=7
	6 : start=300000, size=180007, type=7
TABLE
random_bytes 440 | dd of=$disk conv=notrunc status=none
FILES=few GONE=4 ntfs_part 1 -c 65536 -L boot
FILES=few GONE=4 ntfs_part 5 -c 2048 -L logical
# 70001 sectors of the partition only; ntfsfix would look for the backup boot sector behind them all.
attach_partition 6
mkntfs -q -F -Q -L short "$dev" 70001 >/dev/null 2>&1
backup=$(dd if="$dev" bs=512 skip=70000 count=1 status=none | hash_of -)
[ "$backup" = "$(dd if="$dev" bs=512 count=1 status=none | hash_of -)" ] || fail "the backup boot sector is elsewhere"
random_bytes 100000 | dd of="$dev" bs=512 seek=120000 conv=notrunc status=none
detach "$dev"
FILES=few GONE=2 fill_ntfs 6
holds_deleted_data $disk
sfdisk -d $disk | grep -v ^device: | sed "s/$disk/DISK/" >table
also_check() {
	sfdisk -d "$1" | grep -v ^device: | sed "s/$1/DISK/" | diff table - || fail "sfdisk reads another table"
	local disk=$1
	attach_partition 6 --read-only
	[ "$(dd if="$dev" bs=512 skip=70000 count=1 status=none | hash_of -)" = "$backup" ] || fail "the backup boot sector is not the same"
	[ "$(dd if="$dev" bs=512 skip=120000 count=196 status=none | head -c 100000 | hash_of -)" = "$(random_bytes 100000 | hash_of -)" ] ||
		fail "what is behind the file system is not the same"
	mount_ntfs ro
	ntfs_manifest >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.6" || fail "files of partition 6 differ"
}
round_trip $disk

SECTOR=4096
disk=4k.img
truncate -s 150M $disk
attach $disk --sector-size 4096
sgdisk -a 1 -n 1:9:+30001 -t 1:0700 "$dev" >/dev/null
sync "$dev"
detach "$dev"
FILES=few GONE=4 ntfs_part 1 -L large
also_check() {
	:
}
round_trip $disk
