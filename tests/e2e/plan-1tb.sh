#!/bin/bash
# A disk of 1 TiB is planned in seconds: time and memory go with what is used, not with the size. What little is on it comes back.
. "$(dirname "$0")/functions.sh"

requires sgdisk partx mke2fs e2fsck debugfs openssl python3

# plan_of DISK: plan it, and say how long it took and how much memory
plan_of() {
	python3 - "$CALCO" "$1" >"$T/out" 2>"$T/err" <<-'PYTHON' || fail "planning $1: $(cat "$T/out" "$T/err")"
		import resource, subprocess, sys, time
		start = time.monotonic()
		subprocess.run([sys.argv[1], "capture", "--dry-run", sys.argv[2]], check=True, stdout=subprocess.DEVNULL)
		seconds, peak = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
		print(f"planned in {seconds:.2f} s with {peak:.1f} MiB")
		sys.exit(seconds > 30 or peak > 128)
	PYTHON
	echo "$(basename "$1"): $(cat "$T/out")"
}

# round_trip DISK: capture, restore to a new file of the same size, verify
round_trip() {
	local begin=$SECONDS
	run_calco capture "$1" "$T/image.calco"
	run_calco verify "$T/image.calco"
	run_calco restore "$T/image.calco" "$T/target" --yes
	run_calco verify "$T/image.calco" --against "$T/target"
	echo "captured, verified, restored and compared in $((SECONDS - begin)) s"
	[ "$(stat -c %s "$T/target")" -eq "$(stat -c %s "$1")" ] || fail "the target has another size"
	rm "$T/image.calco"
}

# check_files FILE: its ext4 is clean and holds the sample tree
check_files() {
	e2fsck -fn "$1" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
	rm -rf "$T/dump"
	mkdir "$T/dump"
	debugfs -R "rdump / $T/dump" "$1" >/dev/null 2>&1
	rm -rf "$T/dump/lost+found"
	diff -r --no-dereference "$T/tree" "$T/dump" || fail "the files differ"
}

test_ext4() {
	sample_tree "$T/tree"
	# More extents than an inode has room for
	openssl enc -aes-128-ctr -K 02 -iv 00 -in /dev/zero 2>/dev/null | head -c 700M >"$T/tree/large" || true
	make_ext4 "$T/ext4" 1T
	plan_of "$T/ext4"
	round_trip "$T/ext4"
	rm "$T/ext4"
	check_files "$T/target"
	rm "$T/target" "$T/tree/large"
}

# ext4_at DISK NUMBER [MKE2FS-OPTION...]: make a file system with the sample tree right in a partition
ext4_at() {
	local disk=$1 place
	read -r -a place < <(partition_place "$disk" "$2")
	shift 2
	mke2fs -q -F -t ext4 -d "$T/tree" -E "offset=${place[0]}" "$@" "$disk" $((place[1] / 1024))k
}

# Small things all over a large disk: at both ends, in small partitions far from each other, in large ones.
test_gpt() {
	local place number
	truncate -s 1T "$T/disk"
	sgdisk -n 1:0:+8M -n 2:1G:+200G -n 3:700G:+64M -n 4:800G:+223G "$T/disk" >/dev/null
	printf 'BOOT CODE' | dd of="$T/disk" conv=notrunc status=none
	ext4_at "$T/disk" 2
	ext4_at "$T/disk" 4 -b 1024 -O ^resize_inode
	make_swap "$T/part" 64M
	put_partition "$T/disk" 3 "$T/part"
	rm "$T/part"
	plan_of "$T/disk"
	round_trip "$T/disk"
	[[ $(sgdisk -v "$T/target") == *"No problems found"* ]] || fail "sgdisk finds problems"
	cmp -n 1048576 "$T/disk" "$T/target" || fail "the first MiB differs"
	for number in 2 4; do
		read -r -a place < <(partition_place "$T/target" "$number")
		check_files "$T/target?offset=${place[0]}"
	done
}

# A hundred thousand free extents and as many of a file, and some thousand inodes; where the kernel can make them
test_xfs() {
	local i
	for i in mkfs.xfs xfs_io losetup; do command -v $i >/dev/null || return 0; done
	[ "$(id -u)" -eq 0 ] || return 0
	truncate -s 1T "$T/xfs"
	mkfs.xfs -q "$T/xfs"
	mkdir "$T/mnt"
	seq 0 8 800000 | awk '{ printf "fpunch %dk 4k\n", $1 }' >"$T/commands"
	unshare --mount bash -c 'mount -o loop "$0/xfs" "$0/mnt"' "$T" 2>/dev/null || return 0
	unshare --mount bash -ec 'mount -o loop "$0/xfs" "$0/mnt"
		fallocate -l 800M "$0/mnt/file"
		xfs_io "$0/mnt/file" <"$0/commands" >/dev/null
		mkdir "$0/mnt/many"
		seq -f "$0/mnt/many/%g" 5000 | xargs touch
		umount "$0/mnt"' "$T"
	plan_of "$T/xfs"
	rm "$T/xfs"
}

test_ext4
test_xfs
test_gpt
