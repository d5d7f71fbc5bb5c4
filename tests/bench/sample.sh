#!/bin/bash
# Make the disk that is measured, in the folder given: disk.img, a plain file of 8 GiB that is one ext4 with about 3 GB in use:
# 1.6 GiB of /usr, half a gibibyte of it a second time, 0.55 GiB that do not compress; and 1 GiB that was deleted again.
# Then used.bin, the used bytes alone as calco stores them, and all-used.bin with those that the file system only calls used.
set -eu
dir=$1 tools=$2

# Paths below /usr up to so many bytes, always in the same order
usr_files() {
	find /usr -xdev -type f -size -64M -printf '%s %P\0' | sort -z -k 2 |
		awk -v RS='\0' -v ORS='\0' -v max="$1" '{ sum += $1; if (sum > max) exit; sub(/^[0-9]+ /, ""); print }'
}

usr_copy() {
	mkdir -p "$2"
	usr_files "$1" | tar -C /usr --null -T - -cf - | tar -C "$2" -xf -
}

# Does not compress, and is the same at every call
random_bytes() {
	openssl enc -aes-128-ctr -K "$1" -iv 00 -in /dev/zero 2>/dev/null | head -c "$2"
}

fill() {
	local mnt=$1 n=0
	# /usr may hold less than that: then it is copied again.
	while [ "$(du -sm "$mnt" | cut -f 1)" -lt 1500 ] && [ $n -lt 20 ]; do
		usr_copy $((1600 << 20)) "$mnt/usr$n"
		n=$((n + 1))
	done
	usr_copy $((512 << 20)) "$mnt/again"
	mkdir "$mnt/random"
	for n in 1 2 3 4 5; do
		random_bytes "0$n" $((110 << 20)) >"$mnt/random/$n" || true
	done
	# What was deleted: text, so that whoever copies free space has something to compress.
	seq 100000000 | head -c $((1 << 30)) >"$mnt/deleted" || true
	sync -f "$mnt"
	rm "$mnt/deleted"
}

# In a mount namespace of our own, so that nobody else holds the mount: ends with the file system cleanly unmounted.
if [ "${3-}" = in-namespace ]; then
	mkdir -p "$dir/mnt"
	mount -o loop "$dir/new.img" "$dir/mnt"
	trap 'umount "$dir/mnt"' EXIT
	fill "$dir/mnt"
	exit 0
fi

rm -f "$dir/new.img"
truncate -s 8G "$dir/new.img"
mke2fs -q -F -t ext4 -E lazy_itable_init=1 "$dir/new.img"
unshare -m --propagation private "$0" "$dir" "$tools" in-namespace
sync
e2fsck -fp "$dir/new.img" >/dev/null
"$tools/usedbytes" "$dir/new.img" >"$dir/used.bin"
"$tools/usedbytes" --zero "$dir/new.img" >"$dir/all-used.bin"
mv "$dir/new.img" "$dir/disk.img"
