# shellcheck shell=bash
# For tests/long/matrix.sh: how each kind of file system is made, aged, noted and checked. A variant has its name in $name, its first disk in $disk
# (others beside it in $disk.2 ...), the number of its partition there in $number (0: the whole disk), and what the table says of it in $options,
# $kind, $mount (options of mount), $devices and $guest (yes: another kernel fills it). For each kind there are KIND_make, KIND_note (what
# its own tools say of it after that) and KIND_check, which compares with it.

. "$(dirname "${BASH_SOURCE[0]}")/rounds.sh"
. "$HERE/xfslib.sh"
. "$HERE/f2fslib.sh"
. "$HERE/exfatlib.sh"
. "$HERE/ntfslib.sh"
. "$ROOT/tests/boot/guestlib.sh"
requires mkfs.btrfs btrfs fallocate
kind="" options="" mount=rw devices=1 guest=no number=0

# ---- disks

# disk_names: $disk and those beside it
disk_names() {
	local i
	echo "$disk"
	for i in $(seq 2 "$devices"); do echo "$disk.$i"; done
}

# make_disks TABLE MEBIBYTES: empty disks with a table of this kind; sets $number
make_disks() {
	local one bytes=$(($2 * 1024 * 1024 + 3 * SECTOR))
	number=1
	for one in $(disk_names); do
		rm -f "$one"
		truncate -s $bytes "$one"
		attach "$one" --sector-size "$SECTOR"
		case $1 in
		none) number=0 ;;
		gpt) sgdisk -a 1 -n 1:63:0 "$dev" >/dev/null ;;
		hybrid)
			sgdisk -a 1 -n 1:63:0 "$dev" >/dev/null
			sgdisk -h 1 "$dev" >/dev/null
			;;
		mbr) echo "start=63, type=83" | sfdisk -q --label dos --no-reread --no-tell-kernel "$dev" ;;
		logical)
			number=5
			printf 'start=63, type=5\nstart=189, type=83\n' | sfdisk -q --label dos --no-reread --no-tell-kernel "$dev"
			;;
		esac
		sync "$dev"
		detach "$dev"
	done
}

# attach_all [LOSETUP-OPTION...]: loop devices over the partition of each disk, in $devs; $dev is the first
attach_all() {
	local first=$disk one
	devs=()
	for one in $(disk_names); do
		disk=$one
		attach_partition "$number" "$@"
		devs+=("$dev")
	done
	disk=$first
	dev=${devs[0]}
}

detach_all() {
	for dev in "${devs[@]}"; do detach "$dev"; done
}

# made COMMAND...: mkfs
made() {
	"$@" >"$T/err" 2>&1 || { cat "$T/err" >&2; fail "$*"; }
}

# ---- what happens to a file system in its life

# large_files FOLDER: some megabytes of programs and libraries, which files of an installed system mostly consist of
large_files() {
	mkdir "$1"
	find /usr/bin /usr/lib/"$(uname -m)"* -xdev -type f -size +100k -size -2M 2>/dev/null | sort | awk 'NR % 5 == 0' | head -n 40 |
		while read -r f; do cp "$f" "$1"; done
}

# age FOLDER: files are made, written again in the middle, cut off, made longer, punched, removed, made in the holes of others
age() {
	local i f
	deleted_data "$1" 8
	cp -a --sparse=always "$tree/." "$1"
	setfattr -n user.small -v "some text" "$1/odd/setuid"
	setfattr -n user.large -v "$(printf 'y%.0s' $(seq 700))" "$1/odd/links/numbers" 2>/dev/null || true
	find "$1/usr" "$1/odd" -name '*[37]' -type f -print0 | xargs -0 rm
	find "$1/usr" -name '*[2a]' -type f -print0 | sort -z | xargs -0 truncate -s 100
	find "$1/usr" -name '*[4e]' -type f -print0 | sort -z | head -z -n 100 | xargs -0 truncate -s 30000
	find "$1/usr" -name '*.h' -type f | sort | head -n 60 | while read -r f; do
		random_bytes 3000 | dd of="$f" bs=700 seek=3 conv=notrunc status=none
	done
	for i in $(seq 40); do
		random_bytes 9000 | dd of="$1/left" oflag=append conv=notrunc,fsync status=none
		random_bytes 5000 | dd of="$1/right" oflag=append conv=notrunc,fsync status=none
	done
	for f in "$1"/large/*[b-m]; do
		fallocate --punch-hole -o 40960 -l 50000 "$f" 2>/dev/null || truncate -s 70000 "$f"
	done
	mkdir "$1/second"
	cp -r "$tree/odd/many" "$tree/large" "$1/second"
	rm "$1"/second/large/*[n-z]
	deleted_data "$1" 1
	sync -f "$1"
}

# note_manifest: what is in the file system, mounted once more
note_manifest() {
	mount -o ro "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >"$disk.manifest.$number"
	umount mnt
	[ "$(wc -l <"$disk.manifest.$number")" -gt 3000 ] || fail "there are too few files"
}

# compare_manifest MOUNT-OPTIONS
compare_manifest() {
	mount -o "$1" "$dev" mnt
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	cmp now "$source.manifest.$number" || { diff now "$source.manifest.$number" | head >&2; fail "the files of $disk differ"; }
}

# ---- kinds

ext_make() {
	attach_partition "$number"
	# shellcheck disable=SC2086 # a list of options
	made mke2fs -q -F -t "$kind" $options "$dev"
	if [ "$guest" = no ]; then
		mount -o "$mount" "$dev" mnt
		age mnt
		umount mnt
		note_manifest
	fi
	detach "$dev"
}

# ext_used DEVICE: what the bitmaps say is free, and the counters
ext_used() {
	dumpe2fs "$1" 2>/dev/null | grep -E 'Free (blocks|inodes|clusters)|free (blocks|inodes|clusters)'
}

ext_note() {
	attach_partition "$number" --read-only
	ext_used "$dev" >"$disk.used"
	detach "$dev"
}

ext_check() {
	attach_partition "$number" --read-only
	e2fsck -fn "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "e2fsck finds errors in $disk"; }
	ext_used "$dev" >now
	diff now "$source.used" >&2 || fail "$disk has other blocks in use"
	[ "$guest" = yes ] || compare_manifest ro
	detach "$dev"
}

xfs_make() {
	attach_partition "$number"
	# shellcheck disable=SC2086
	made mkfs.xfs -q -f $options "$dev"
	if [ "$guest" = no ]; then
		mount -o "$mount" "$dev" mnt
		age mnt
		more_files
		umount mnt
		# In two mounts: the second finds old holes.
		mount -o "$mount" "$dev" mnt
		find mnt/usr -name '*[15]' -type f -print0 | xargs -0 rm -f
		umount mnt
		note_manifest
	fi
	detach "$dev"
}

xfs_note() {
	attach_partition "$number" --read-only
	xfs_used "$dev" >"$disk.used"
	detach "$dev"
}

xfs_check() {
	attach_partition "$number" --read-only
	xfs_repair -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "xfs_repair finds errors in $disk"; }
	xfs_used "$dev" >now
	diff now "$source.used" >&2 || fail "$disk has other blocks in use"
	[ "$guest" = yes ] || compare_manifest ro,norecovery,nouuid
	detach "$dev"
}

# The kernel knows a file system of several devices by its UUID: two of one must never meet.
forget() {
	btrfs device scan --forget >/dev/null 2>&1 || true
}

btrfs_make() {
	attach_all
	# shellcheck disable=SC2086
	made mkfs.btrfs -q -f $options "${devs[@]}"
	btrfs device scan "${devs[@]}" >/dev/null
	mount -o "$mount" "$dev" mnt
	age mnt
	cp -r --reflink=always --preserve=timestamps mnt/large mnt/shared
	btrfs subvolume create mnt/sub >/dev/null
	random_bytes 3000000 >mnt/sub/random
	btrfs subvolume snapshot mnt mnt/snapshot >/dev/null
	rmdir mnt/snapshot/sub # in a snapshot it is nothing but a place, without a time of its own
	btrfs subvolume snapshot -r mnt/sub mnt/kept >/dev/null
	btrfs subvolume snapshot mnt mnt/short-lived >/dev/null
	find mnt/shared mnt/usr mnt/snapshot/usr -name '*[15]' -type f -print0 | xargs -0 rm
	random_bytes 50000 | dd of=mnt/sub/random bs=4096 seek=33 conv=notrunc status=none
	sync -f mnt
	btrfs subvolume delete -C mnt/short-lived >/dev/null
	btrfs subvolume sync mnt >/dev/null
	deleted_data mnt 1
	umount mnt
	# Cleaned up behind what was deleted, before it is noted.
	mount -o "$mount" "$dev" mnt
	btrfs subvolume sync mnt >/dev/null
	umount mnt
	note_manifest
	detach_all
	forget
}

btrfs_note() {
	attach_all --read-only
	"$ROOT/tests/tools/btrfs_used.py" "${devs[@]}" >"$disk.used"
	detach_all
	forget
}

btrfs_check() {
	attach_all --read-only
	btrfs device scan "${devs[@]}" >/dev/null
	btrfs check --readonly --check-data-csum "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "btrfs check finds errors in $disk"; }
	"$ROOT/tests/tools/btrfs_used.py" "${devs[@]}" >now
	cmp now "$source.used" || fail "$disk has other bytes in use"
	mount -o ro "$dev" mnt
	btrfs scrub start -B -r mnt >"$T/scrub" 2>&1 || { cat "$T/scrub" >&2; fail "the scrub of $disk fails"; }
	expect_text "$T/scrub" 'no errors found'
	umount mnt
	compare_manifest ro
	detach_all
	forget
}

f2fs_make() {
	# shellcheck disable=SC2086
	part_f2fs "$number" 600 $options
}

f2fs_note() {
	READER_TOOL=$F2FS volume_list "$number" >"$disk.list.$number"
}

f2fs_check() {
	check_f2fs "$number"
}

# Without a driver in the kernel: by mtools, twice, so that the second time goes into the holes of the first
fat_make() {
	local volume i
	attach_partition "$number"
	# shellcheck disable=SC2086
	made mkfs.fat -F "${kind#fat}" -n MATRIX $options "$dev"
	detach "$dev"
	rm -rf fat-tree
	fill_fat "$number"
	volume=$(fat_volume "$number")
	for i in 3 5 8; do mdel -i "$volume" "::/usr/*$i.text"; done
	mmd -i "$volume" ::/second
	find "$tree/large" -type f | sort | head -n 12 >list
	while read -r i; do mcopy -Q -m -i "$volume" "$i" ::/second; done <list
	mattrib -i "$volume" +h +r ::/usr/deep
	fat_manifest "$volume" >"$disk.manifest.$number"
}

exfat_make() {
	# shellcheck disable=SC2086
	part_exfat "$number" 900 $options
}

ntfs_make() {
	# shellcheck disable=SC2086
	ntfs_part "$number" $options
}

swap_make() {
	part "$number" swap
}

swap_check() {
	check_swap "$number"
}

fat_check() {
	check_fat "$number"
}

exfat_check() {
	check_exfat "$number"
}

ntfs_check() {
	check_ntfs "$number"
}

# Disks with several partitions, as people have them; $options is the name of one.
several_make() {
	rm "$disk"
	truncate -s $((230 * 1024 * 1024 + 5 * 512)) "$disk"
	case $options in
	pc)
		sgdisk -n 1:2048:+40M -t 1:EF00 -n 2:0:+150M -n 3:0:0 -t 3:8200 "$disk" >/dev/null
		part 1 fat32 -s 1
		part 2 ext4
		part 3 swap
		;;
	old)
		printf '%s\n' 'start=63, size=80001, type=6, bootable' 'start=80100, type=5' 'start=80163, size=300001, type=83' 'start=380300, type=82' |
			sfdisk -q --label dos "$disk"
		part 1 fat16
		part 5 ext3
		part 6 swap
		;;
	mac)
		sgdisk -a 1 -n 1:63:+90001 -t 1:EF00 -n 2:91007:+280001 -n 3:380001:0 "$disk" >/dev/null
		sgdisk -h 1:2 "$disk" >/dev/null
		part 1 fat32 -s 1
		part 2 ext2 -b 1024
		part 3 raw
		;;
	esac
}

several_check() {
	check_disk "$disk"
}
