# shellcheck shell=bash
# Helpers for tests that send real file systems through capture and restore. A test begins with
#
#	#!/bin/bash
#	. "$(dirname "$0")/rounds.sh"
#
# It then runs as root in a mount namespace of its own (nothing it mounts is seen elsewhere or outlives it), with all
# of functions.sh and what is below. Skipped where mounts or loop devices do not work.

# Several libraries of one test begin with this one.
! declare -F round_trip >/dev/null || return 0
if [ "$(id -u)" -eq 0 ] && [ "${CALCO_TEST_NAMESPACE:-}" != "$$" ]; then
	# exec keeps the process id, so that the variable cannot be inherited by mistake.
	CALCO_TEST_NAMESPACE=$$ exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
READER=$HERE/../reader/calco_reader.py
# In deleted files only; cut in two here, so that no copy of a script on a test disk holds it.
MARKER='Calco-test: this was ''deleted before the capture'
SECTOR=512

requires_loop
requires python3 openssl sgdisk sfdisk mke2fs e2fsck mkfs.fat fsck.fat mcopy mkswap blkid
mkdir "$T/mnt" "$T/loops"
cd "$T"

# ---- loop devices and mounts

# attach FILE [LOSETUP-OPTION...]: a loop device over it, in $dev
attach() {
	dev=$(losetup --find --show "${@:2}" "$1")
	: >"$T/loops/$(basename "$dev")"
	# Partition devices that somebody forgot there would be taken for ours.
	[ ! -b "${dev}p1" ] || partx -d "$dev" 2>/dev/null || true
}

# detach DEVICE
detach() {
	losetup -d "$1"
	rm "$T/loops/$(basename "$1")"
}

# place NUMBER: "START LENGTH" of a partition of $disk in bytes; 0 is the whole disk
place() {
	if [ "$1" = 0 ]; then
		echo "0 $(blockdev_size "$disk")"
	else
		python3 "$HERE/table_bytes.py" places "$disk" "$SECTOR" | awk -v n="$1" '$1 == n { print $2, $3 }'
	fi
}

blockdev_size() {
	if [ -b "$1" ]; then blockdev --getsize64 "$1"; else stat -c %s "$1"; fi
}

# attach_partition NUMBER [LOSETUP-OPTION...]: a loop device over one partition of $disk, in $dev
attach_partition() {
	local at
	read -r -a at < <(place "$1")
	[ "${#at[@]}" = 2 ] || fail "no partition $1 in $disk"
	attach "$disk" --offset "${at[0]}" --sizelimit "${at[1]}" --sector-size "$SECTOR" "${@:2}"
}

release_all() {
	local l
	cd /
	while umount "$T/mnt" 2>/dev/null; do :; done
	for l in "$T"/loops/loop*; do
		[ ! -e "$l" ] || losetup -d "/dev/$(basename "$l")"
	done
}
export T
export -f release_all
cleanup_fn release_all

# ---- what is put on them

# real_files DIRECTORY: copies of some thousand files of this machine
real_files() {
	mkdir -p "$1/usr"
	find /usr/include /usr/lib/python3* /usr/share/doc /usr/share/perl /usr/share/zoneinfo /usr/bin -xdev -type f -size -24k 2>/dev/null |
		sort | head -n 2500 >"$1/list"
	[ "$(wc -l <"$1/list")" -ge 1000 ] || skip "this machine has too few files in /usr"
	tar -C / -cf - -T <(cut -c 2- "$1/list") | tar -C "$1" -xf -
	rm "$1/list"
}

# odd_files DIRECTORY: links, holes, depth, odd names, modes, times and attributes
odd_files() {
	local d=$1/odd i deep
	mkdir -p "$d/many" "$d/links" "$d/holes"
	(cd "$d/many" && seq -f 'an empty file with a rather long name %g' 1500 | tr '\n' '\0' | xargs -0 touch -d '1999-12-31 23:59:59.987654321')
	for i in 1 2 3 4; do ln "$d/many/an empty file with a rather long name $i" "$d/links/$i"; done
	seq 1 60000 >"$d/links/numbers"
	ln "$d/links/numbers" "$d/links/numbers again"
	ln -s numbers "$d/links/short"
	ln -s "$(printf 'x%.0s' $(seq 200))" "$d/links/dangling and too long for an inode"
	truncate -s 15G "$d/holes/huge"
	printf 'land' | dd of="$d/holes/huge" bs=1 seek=12345678901 conv=notrunc status=none
	truncate -s 5000001 "$d/holes/islands"
	for i in 0 3 77 1000 1220; do printf 'island %d' "$i" | dd of="$d/holes/islands" bs=4096 seek="$i" conv=notrunc status=none; done
	deep=$d
	for i in $(seq 60); do deep=$deep/level-$i; done
	mkdir -p "$deep"
	echo bottom >"$deep/bottom"
	printf 'not UTF-8' >"$d/$(printf 'name-\xff\x80-\001')"
	mkfifo -m 640 "$d/fifo"
	mknod "$d/null" c 1 3
	mknod "$d/disk" b 8 1
	install -m 4755 -o 1234 -g 5678 /dev/null "$d/setuid"
	mkdir -m 1777 "$d/sticky"
	touch -d '1970-01-01 00:00:01' "$d/links/1"
}

# shared_tree: the files, made once for all tests of one run; sets $tree
shared_tree() {
	local room=${E2E_CACHE:-$T}
	tree=$room/files
	exec 8>"$room/lock"
	flock 8
	if [ ! -e "$room/files.complete" ]; then
		rm -rf "$tree"
		real_files "$tree"
		odd_files "$tree"
		: >"$room/files.complete"
	fi
	exec 8>&-
}

# deleted_data FOLDER MEBIBYTES: a file full of the marker, on the disk and then gone
deleted_data() {
	yes "$MARKER" | dd of="$1/gone" bs=1M count="$2" iflag=fullblock conv=fsync status=none
	rm "$1/gone"
}

# fill_ext NUMBER: put the tree into the file system of this partition of $disk and note what it is in $disk.manifest.NUMBER
fill_ext() {
	[ -n "${tree:-}" ] || shared_tree
	attach_partition "$1"
	mount "$dev" mnt 2>"$T/err" || skip "this kernel does not mount it: $(cat "$T/err")"
	deleted_data mnt "${GONE:-12}"
	if [ "${FILES:-all}" = all ]; then cp -a --sparse=always "$tree/." mnt; else cp -a --sparse=always "$tree/odd" mnt; fi
	# Attributes beside and beyond the inode, where the file system has them.
	if command -v setfattr >/dev/null; then
		setfattr -n user.small -v "some text" mnt/odd/setuid
		setfattr -n user.large -v "$(printf 'y%.0s' $(seq 700))" mnt/odd/links/numbers 2>/dev/null || true
	fi
	# Holes in the middle of everything.
	find mnt -name '*[37]' -type f -print0 | xargs -0 rm
	deleted_data mnt 1
	sync -f mnt
	python3 "$HERE/tree_manifest.py" mnt >"$disk.manifest.$1"
	umount mnt
	detach "$dev"
}

# check_ext NUMBER: e2fsck is content, and every file is what fill_ext noted
check_ext() {
	attach_partition "$1" --read-only
	e2fsck -fn "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "e2fsck finds errors in partition $1 of $disk"; }
	mount -o ro "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
}

# fill_fat NUMBER [FOLDER]: as much of the tree as suits FAT, by mtools: this kernel may have no driver
fill_fat() {
	[ -n "${tree:-}" ] || shared_tree
	local folder=${2:-usr}
	[ -d fat-tree ] || fat_tree
	local volume
	volume=$(fat_volume "$1")
	yes "$MARKER" | head -c 1000000 >gone.txt
	mcopy -i "$volume" gone.txt ::/gone.txt
	mcopy -s -Q -m -i "$volume" "fat-tree/$folder" ::/
	mdel -i "$volume" ::/gone.txt
	fat_manifest "$volume" >"$disk.manifest.$1"
}

# fat_volume NUMBER: how mtools name a partition of $disk
fat_volume() {
	local at
	read -r -a at < <(place "$1")
	echo "$disk@@${at[0]}"
}

# fat_tree: some hundred files; "few" for the smallest disks
fat_tree() {
	mkdir -p fat-tree/usr/deep/er/and/deeper fat-tree/few
	find "$tree/usr" -type f -size -24k | sort | awk 'NR % 3 == 0' | head -n 500 >list
	# Flat, numbered: FAT knows neither case nor all names.
	local f i=0
	while read -r f; do
		i=$((i + 1))
		cp -p "$f" "fat-tree/usr/A long file name, number $i.text"
	done <list
	seq 1 30000 >fat-tree/usr/deep/er/and/deeper/numbers.txt
	cp -p fat-tree/usr/*number\ [1-9].text fat-tree/few
}

# fat_manifest VOLUME: names, sizes, times and attributes of all files, and the hash of their content
fat_manifest() {
	mdir -/ -a -i "$1" ::/ | grep -v 'bytes free'
	rm -rf fat-copy
	mkdir fat-copy
	mcopy -s -Q -m -i "$1" ::/* fat-copy
	(cd fat-copy && find . -type f -print0 | sort -z | xargs -0 sha256sum)
	rm -rf fat-copy
}

check_fat() {
	attach_partition "$1" --read-only
	fsck.fat -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.fat finds errors in partition $1 of $disk"; }
	detach "$dev"
	fat_manifest "$(fat_volume "$1")" >now
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
}

# fill_swap NUMBER: a swap space in which old pages lie around; what is behind its last whole page belongs to nobody and is kept
fill_swap() {
	local pages
	attach_partition "$1"
	pages=$(($(blockdev --getsize64 "$dev") / 4096))
	yes "$MARKER" | head -c $((pages * 4096)) >"$dev"
	mkswap -q -L swap -U 11111111-2222-3333-4444-555555555555 "$dev" 2>/dev/null
	sync "$dev"
	blkid -p -o export "$dev" | grep -v DEVNAME >"$disk.manifest.$1"
	detach "$dev"
}

check_swap() {
	attach_partition "$1" --read-only
	blkid -p -o export "$dev" | grep -v DEVNAME >now
	detach "$dev"
	cmp now "$source.manifest.$1" || fail "blkid sees another swap space in partition $1 of $disk"
}

# key_stream KEY: endless noise, until nobody reads it any more
key_stream() {
	openssl enc -aes-128-ctr -K "$1" -iv 00 -in /dev/zero 2>/dev/null || true
}

# random_bytes NUMBER: the same at every call
random_bytes() {
	key_stream 0123 | head -c "$1"
}

# fill_raw NUMBER: bytes that no driver knows, with zeros in between
fill_raw() {
	local third
	attach_partition "$1"
	third=$(($(blockdev --getsize64 "$dev") / 3))
	random_bytes $third | dd of="$dev" bs=1M iflag=fullblock conv=notrunc,fsync status=none
	random_bytes $((third - 5)) | dd of="$dev" bs=1M iflag=fullblock oflag=seek_bytes seek=$((2 * third)) conv=notrunc,fsync status=none
	hash_of "$dev" >"$disk.manifest.$1"
	detach "$dev"
}

check_raw() {
	attach_partition "$1" --read-only
	hash_of "$dev" >now
	detach "$dev"
	cmp now "$source.manifest.$1" || fail "partition $1 of $disk differs"
}

# part NUMBER KIND [MKFS-OPTION...]: make and fill one partition of $disk. KIND: ext2 ext3 ext4 fat12 fat16 fat32 swap raw
part() {
	local number=$1 kind=$2
	shift 2
	case $kind in
	ext*)
		attach_partition "$number"
		mke2fs -q -F -t "$kind" "$@" "$dev" >"$T/err" 2>&1 || { cat "$T/err" >&2; fail "mke2fs $kind $*"; }
		detach "$dev"
		fill_ext "$number"
		echo "check_ext $number" >>"$disk.checks"
		;;
	fat*)
		attach_partition "$number"
		mkfs.fat -F "${kind#fat}" -n "FAT${kind#fat}" "$@" "$dev" >/dev/null
		detach "$dev"
		if [ "$kind" = fat12 ]; then fill_fat "$number" few; else fill_fat "$number"; fi
		echo "check_fat $number" >>"$disk.checks"
		;;
	swap | raw)
		"fill_$kind" "$number"
		echo "check_$kind $number" >>"$disk.checks"
		;;
	esac
}

# ---- the round

# check_disk DISK: everything that part() put on it, and what the test wants to know besides: also_check DISK
check_disk() {
	local disk=$1
	if [ -s "$source.checks" ]; then
		# shellcheck source=/dev/null # made by part()
		# shellcheck source=/dev/null # a list that part() writes
		. "./$source.checks"
	fi
	also_check "$disk"
}

also_check() {
	:
}

# same_tables DISK: the partition tables are byte for byte those of $source
same_tables() {
	python3 "$HERE/table_bytes.py" compare "$source" "$1" "$SECTOR" || fail "the table of $1 differs"
}

has_table() {
	[ -n "$(python3 "$HERE/table_bytes.py" structures "$1" "$SECTOR")" ]
}

# check_content DISK IMAGE: it is what $source was, by verify, byte for byte in its tables, and by the tools of its file systems
check_content() {
	run_calco verify "$2" --against "$1"
	if has_table "$source"; then same_tables "$1"; fi
	check_disk "$1"
}

# check_target DISK IMAGE: the same, and the second reader agrees
check_target() {
	check_content "$@"
	[ ! -f "$1" ] || python3 "$READER" compare "$2" "$1" || fail "the second reader finds a difference in $1"
}

# garbage FILE SIZE: a target that is full of something else
garbage() {
	key_stream 4567 | head -c "$2" >"$1"
}

# hash_of FILE
hash_of() {
	openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
}

# capture_checked DISK IMAGE [OPTION...]: the source stays as it is, the image is whole for both readers
capture_checked() {
	local before
	before=$(hash_of "$1")
	run_calco capture "$@"
	[ "$(hash_of "$1")" = "$before" ] || fail "the capture changed its source"
	run_calco verify "$2"
	python3 "$READER" check "$2" || fail "the second reader finds the image damaged"
}

# round_trip DISK [CAPTURE-OPTION...]: capture, restore to a blank target and to one full of garbage, and compare everything
round_trip() {
	source=$1
	local image=$1.calco size
	shift
	size=$(stat -c %s "$source")
	capture_checked "$source" "$image" "$@"

	run_calco restore "$image" blank.img
	check_content blank.img "$image"
	# On a blank target nothing but the used bytes stands: exactly what the other implementation writes.
	python3 "$READER" restore "$image" other.img
	cmp blank.img other.img || fail "the second reader restores something else"
	rm other.img
	! LC_ALL=C grep -a -b -o -F -m 20 "$MARKER" blank.img >&2 || fail "deleted data came along, at these offsets"

	garbage full.img "$size"
	run_calco restore "$image" full.img --confirm full.img
	check_target full.img "$image"
	rm blank.img full.img
}

# holds_deleted_data DISK: so that its absence elsewhere means something
holds_deleted_data() {
	LC_ALL=C grep -q -a -F "$MARKER" "$1" || fail "the deleted data is not on the source"
}
