#!/bin/bash
# Round trip of a disk as the setup of Windows divides it: ESP, MSR, C:, recovery.
. "$(dirname "$0")/ntfslib.sh"

disk=windows.img
truncate -s $((260 * 1024 * 1024 + 3 * 512)) $disk
sgdisk -n 1:2048:+40M -t 1:EF00 -c 1:'EFI system partition' -n 2:0:+16M -t 2:0C01 -c 2:'Microsoft reserved partition' \
	-n 3:0:+150M -t 3:0700 -c 3:'Basic data partition' -n 4:0:+37M -t 4:2700 -c 4:Recovery -A 4:set:0 -A 4:set:63 $disk >/dev/null
part 1 fat32 -s 1
ntfs_part 3 -L 'Windows (C:)'
FILES=few GONE=4 ntfs_part 4 -c 512 -L Recovery
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'sorted((v["driver"], v["label"]) for v in d["result"]["volumes"]) == [("fat", "FAT32"), ("ntfs", "Recovery"), ("ntfs", "Windows (C:)"), ("raw", "")]'
json_true out 'all(v["state"] == "clean" and not v["notice"] for v in d["result"]["volumes"])'
