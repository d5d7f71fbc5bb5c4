#!/bin/sh
# make_ext_seeds.sh DIR - real ext volumes as seeds for fuzz_ext, in its format (see there).
set -eu

out=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out"

# seed NAME SIZE OPTION... - only sectors in the first blocks, in inode tables, bitmaps and journals are not zero
seed() {
	name=$1 size=$2
	shift 2
	truncate -s 0 "$tmp/fs"
	truncate -s "$size" "$tmp/fs"
	mke2fs -q -F -U 11111111-2222-3333-4444-555555555555 "$@" "$tmp/fs" 2>/dev/null
	[ -z "${script:-}" ] || printf '%s\n' "$script" | debugfs -w -f - "$tmp/fs" >/dev/null 2>&1
	python3 - "$tmp/fs" "$out/$name" <<-'END'
	import struct, sys
	data = open(sys.argv[1], "rb").read()
	with open(sys.argv[2], "wb") as f:
	    f.write(struct.pack("<Q", len(data)))
	    for i in range(0, len(data), 512):
	        sector = data[i:i + 512]
	        if any(sector) and f.tell() < 60000:
	            f.write(struct.pack("<I", i // 512) + sector)
	END
}

seed ext2 256K -t ext2 -b 1024 -N 16
seed ext3 2M -t ext3 -b 1024 -N 16 -O ^resize_inode
seed ext4 4M -t ext4 -b 1024 -N 32 -O ^metadata_csum,uninit_bg
seed ext4-csum 4M -t ext4 -b 1024 -N 32
seed ext4-4k 16M -t ext4 -b 4096 -N 32 -g 512
seed ext4-meta-bg 6M -t ext4 -b 1024 -g 256 -N 128 -O meta_bg,^resize_inode,mmp
seed ext4-bigalloc 16M -t ext4 -b 1024 -O bigalloc -C 16384 -N 64
seed ext4-super2 10M -t ext4 -b 1024 -g 1024 -N 64 -O sparse_super2,^metadata_csum
seed ext4-fragmented 5M -t ext4 -b 1024 -g 256 -N 160 -O ^flex_bg,^resize_inode,^metadata_csum,uninit_bg

# With a log: transactions of three blocks, and what revokes one of them
head -c 3072 /dev/urandom >"$tmp/content"
log='jw -b 3000,3001,3002 CONTENT
jw -r 3000
jw -b 3003 CONTENT
jw -r 3001
jw -b 3002 CONTENT'
log=$(printf '%s' "$log" | sed "s#CONTENT#$tmp/content#")
script="jo
$log
jc" seed ext4-log 4M -t ext4 -b 1024 -N 32 -O ^metadata_csum,^64bit
script="jo -c
$log
jc" seed ext4-log-csum 4M -t ext4 -b 1024 -N 32
script="jo
$log
jc" seed ext3-log 3M -t ext3 -b 1024 -N 16 -O ^resize_inode
# With a swap file
yes | head -c 20480 >"$tmp/swap"
printf SWAPSPACE2 | dd of="$tmp/swap" bs=1 seek=4086 conv=notrunc 2>/dev/null
script="write $tmp/swap swapfile
mkdir var
cd var
write $tmp/swap swap.img" seed ext4-swap 4M -t ext4 -b 1024 -N 32
