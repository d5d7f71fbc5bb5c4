#!/bin/bash
# Round trip of ext4 as mke2fs can make it otherwise: what moves or widens the allocation maps.
. "$(dirname "$0")/rounds.sh"

FILES=odd
disk=options.img
truncate -s $((280 * 1024 * 1024 + 9 * 512)) $disk
options=(
	"-b 1024"
	"-b 2048 -g 4096"
	"-b 4096 -O bigalloc -C 16384"
	"-b 1024 -O meta_bg,^resize_inode"
	"-b 4096 -O ^64bit,^metadata_csum"
	"-b 4096 -O ^has_journal"
	"-b 4096 -O encrypt,verity"
	"-b 1024 -O ^flex_bg,^uninit_bg,^metadata_csum"
	"-b 4096 -O inline_data,metadata_csum_seed -I 512"
	"-b 4096 -O sparse_super2 -E lazy_itable_init=0,lazy_journal_init=0"
)
for i in "${!options[@]}"; do
	sgdisk -a 1 -n $((i + 1)):$((2100 + i * 57001)):+$((55001 + i)) $disk >/dev/null
done
for i in "${!options[@]}"; do
	# In the middle of a cluster may stand what was deleted before: there it is written afterwards.
	[[ ${options[i]} == *bigalloc* ]] && GONE=0 || GONE=3
	# shellcheck disable=SC2086 # a list of options
	part $((i + 1)) ext4 ${options[i]}
done
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'all(v["driver"] == "ext" for v in d["result"]["volumes"])'
