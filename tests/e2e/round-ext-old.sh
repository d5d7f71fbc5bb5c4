#!/bin/bash
# Round trip of ext2 and ext3 as older systems made them.
. "$(dirname "$0")/rounds.sh"

FILES=odd GONE=3
disk=old.img
truncate -s $((120 * 1024 * 1024 + 512)) $disk
types=("ext2 -r 0 -I 128 -b 1024" "ext2 -O none -I 128" "ext3 -b 4096 -I 128" "ext3 -O ^dir_index,^sparse_super,^resize_inode -b 2048" "ext3 -J size=4 -O ^resize_inode")
for i in "${!types[@]}"; do
	sgdisk -a 1 -n $((i + 1)):$((63 + i * 47001)):+$((45001 + i)) $disk >/dev/null
done
for i in "${!types[@]}"; do
	# shellcheck disable=SC2086 # a list of options
	part $((i + 1)) ${types[i]}
done
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'all(v["driver"] == "ext" for v in d["result"]["volumes"])'
