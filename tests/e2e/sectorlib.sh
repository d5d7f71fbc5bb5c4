# shellcheck shell=bash disable=SC2154 # dev is set by attach
# For the tests of targets with sectors of another size, after rounds.sh: disks with a large ESP, and what must be true of a copy.

requires mtools mkfs.xfs mkfs.btrfs xfs_repair btrfs

# sector_disk FILE SECTOR: GPT for these sectors; 1 ESP (FAT32), 2 ext4, 3 swap, 4 XFS, 5 btrfs, 6 Microsoft reserved, 7 FAT16
sector_disk() {
	local file=$1 sector=$2 whole number
	truncate -s 1400M "$file"
	attach "$file" --sector-size "$sector"
	whole=$dev
	sgdisk --disk-guid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE -n 1:0:+300M -t 1:EF00 -c 1:EFI -A 1:set:2 -n 2:0:+96M -c 2:'root äö' -n 3:0:+8M -t 3:8200 \
		-n 4:0:+320M -c 4:srv -n 5:0:+160M -c 5:home -n 6:0:+16M -t 6:0C01 -n 7:0:+40M -c 7:old "$whole" >/dev/null
	partx -a "$whole" 2>/dev/null || partx -u "$whole"
	mkfs.fat -F 32 -s 1 -n EFI -i C0FFEE01 "${whole}p1" >/dev/null
	[ -d "$T/tree" ] || sample_tree "$T/tree"
	mke2fs -q -F -t ext4 -b 4096 -L root -d "$T/tree" "${whole}p2"
	mkswap -q -L swap "${whole}p3" 2>/dev/null
	mkfs.xfs -q -f -s size=4096 -L srv "${whole}p4"
	mkfs.btrfs -q -f -L home "${whole}p5" >/dev/null
	mkfs.fat -F 16 -s 2 -n OLD -i 01020304 "${whole}p7" >/dev/null
	for number in 4 5; do
		mount "${whole}p$number" "$T/mnt"
		cp -a "$T/tree/." "$T/mnt/"
		umount "$T/mnt"
	done
	fill_fat "${whole}p1" 2>"$T/mtools" # of a loop device it says that it has no geometry
	fill_fat "${whole}p7" 2>"$T/mtools"
	sync "$whole"
	partx -d "$whole"
	detach "$whole"
	printf 'BOOT CODE' | dd of="$file" conv=notrunc status=none
}

# fill_fat DEVICE: long names, deep folders, fragments
fill_fat() {
	mmd -i "$1" ::/EFI ::/EFI/BOOT ::/EFI/debian ::/EFI/debian/deep ::/EFI/debian/deep/er
	mcopy -m -i "$1" "$T/tree/data/random" ::/EFI/BOOT/BOOTX64.EFI
	for number in $(seq 40); do echo "$number" >"$T/A long name, number $number.conf"; done
	mcopy -m -i "$1" "$T"/A\ long* ::/EFI/debian/deep/er
	mdel -i "$1" '::/EFI/debian/deep/er/*number 2*'
	mcopy -m -i "$1" "$T/tree/data/numbers" ::/EFI/debian/numbers
	mattrib -i "$1" +r +h ::/EFI/debian/numbers
	rm "$T"/A\ long*
}

# fat_files DEVICE: every file's name, short name, attributes, time and hash
fat_files() {
	local folder=$T/fat-files
	rm -rf "$folder" && mkdir "$folder"
	mcopy -Q -m -s -n -i "$1" '::*' "$folder"
	mdir -a -/ -i "$1" :: | grep -v 'bytes free$' | sed 's/[0-9 ]* bytes$//'
	mattrib -/ -i "$1" ::
	(cd "$folder" && find . -type f -printf '%p %s %T@\n' -exec sha256sum {} + | sort)
}

# file_systems_work DISK SECTOR: the kernel and the tools have nothing to say of a copy on a device with these sectors
file_systems_work() {
	local whole number said
	attach "$1" --sector-size "$2"
	whole=$dev
	said=$(sgdisk -v "$whole")
	[[ $said == *"No problems found"* && $said != *[Cc]aution* && $said != *[Ww]arning* ]] || fail "sgdisk: $said"
	sfdisk --verify "$whole" >"$T/verify" 2>&1 || { cat "$T/verify" >&2; fail "sfdisk"; }
	partx -a "$whole" 2>/dev/null || partx -u "$whole"
	fsck.fat -n "${whole}p1" >"$T/fsck" || { cat "$T/fsck" >&2; fail "fsck.fat of the ESP"; }
	fsck.fat -n "${whole}p7" >"$T/fsck" || { cat "$T/fsck" >&2; fail "fsck.fat"; }
	e2fsck -fn "${whole}p2" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "e2fsck"; }
	xfs_repair -n "${whole}p4" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "xfs_repair"; }
	btrfs check "${whole}p5" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "btrfs check"; }
	for number in 2 4 5; do
		mount -o ro "${whole}p$number" "$T/mnt"
		diff -r "$T/tree" "$T/mnt" -x lost+found || fail "partition $number holds other files"
		umount "$T/mnt"
	done
	[ "$(blkid -p -s UUID -o value "${whole}p1")" = C0FF-EE01 ] || fail "the ESP has another serial number"
	[ "$(blkid -p -s LABEL -o value "${whole}p7")" = OLD ] || fail "the FAT has another label"
	[ "$(blkid -p -s TYPE -o value "${whole}p3")" = swap ] || fail "no swap space"
	fat_files "${whole}p1" >"$T/$(basename "$1").esp" 2>"$T/mtools"
	fat_files "${whole}p7" >"$T/$(basename "$1").old" 2>"$T/mtools"
	partx -d "$whole"
	detach "$whole"
}

# partitions DISK SECTOR: places in bytes, names, GUIDs, attributes
partitions() {
	python3 "$HERE/table_bytes.py" places "$1" "$2"
	attach "$1" --sector-size "$2" --read-only
	for number in 1 2 3 4 5 6 7; do
		sgdisk -i "$number" "$dev" | grep -v 'sector\|size'
	done
	sgdisk -p "$dev" | grep GUID
	detach "$dev"
}
