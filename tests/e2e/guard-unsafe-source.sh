#!/bin/bash
# What is not safe to copy now is refused with its own reason; asked for raw, it is copied as it is.
. "$(dirname "$0")/rounds.sh"

# unsafe FILE REASON: refused so; nothing is left, nothing is changed; --raw takes all of it
unsafe() {
	local was
	was=$(hash_of "$1")
	expect_exit 4 "$CALCO" capture "$1" "$1.calco" --json
	json_true out "d['error']['reason'] == '$2' and d['error']['hint']"
	expect_exit 4 "$CALCO" capture "$1" "$1.calco"
	[ ! -e "$1.calco" ] && [ ! -e "$1.calco.part" ] || fail "a refused capture left a file"
	run_calco capture "$1" "$1.calco" --raw all
	[ "$(hash_of "$1")" = "$was" ] || fail "the source was changed"
	run_calco restore "$1.calco" copy.img
	cmp copy.img "$1" || fail "--raw is not a copy of everything"
	rm copy.img
}

# A mounted ext4 whose computer lost its power: the file is copied while the journal is full.
truncate -s 40M live.img
mke2fs -q -F -t ext4 -b 4096 live.img
attach live.img
live=$dev
mount "$live" mnt
cp /etc/passwd mnt
sync -f mnt
cp --sparse=always live.img dirty.img
umount mnt
detach "$live"
LC_ALL=C dumpe2fs -h dirty.img 2>/dev/null | grep -q needs_recovery || fail "the journal is not dirty"
unsafe dirty.img dirty-journal
e2fsck -fy dirty.img >/dev/null 2>&1 || true
run_calco capture dirty.img replayed.calco

# The kernel noted errors.
truncate -s 20M errors.img
mke2fs -q -F -t ext4 errors.img
debugfs -w -R 'set_super_value state 3' errors.img 2>/dev/null
unsafe errors.img errors

# ext2, not unmounted.
truncate -s 20M ext2.img
mke2fs -q -F -t ext2 ext2.img
debugfs -w -R 'set_super_value state 0' ext2.img 2>/dev/null
unsafe ext2.img dirty

# FAT, not unmounted: bit 15 or 27 of the second entry (Microsoft fatgen103, "FAT volume dirty"), and in the boot sector.
truncate -s 40M fat32.img
mkfs.fat -F 32 -s 1 fat32.img >/dev/null
printf '\007' | dd of=fat32.img bs=1 seek=$((32 * 512 + 7)) conv=notrunc status=none
unsafe fat32.img dirty
truncate -s 20M fat16.img
mkfs.fat -F 16 -s 4 -R 4 fat16.img >/dev/null
printf '\177' | dd of=fat16.img bs=1 seek=$((4 * 512 + 3)) conv=notrunc status=none
unsafe fat16.img dirty

# A system sleeps in it.
truncate -s 4M swap.img
mkswap -q swap.img 2>/dev/null
printf 'S1SUSPEND\0' | dd of=swap.img bs=1 seek=4086 conv=notrunc status=none
unsafe swap.img suspended

# NTFS: marked dirty, a journal to be replayed, one whose rest Windows keeps elsewhere, a Windows that sleeps in it.
requires mkntfs ntfscp
for what in dirty journal kept; do
	truncate -s 8M ntfs-$what.img
	mkntfs -q -F ntfs-$what.img >/dev/null 2>&1
	python3 "$HERE/../tools/ntfs_image.py" mark ntfs-$what.img 0 $what
done
unsafe ntfs-dirty.img dirty
unsafe ntfs-journal.img dirty-journal
unsafe ntfs-kept.img dirty-journal
python3 "$HERE/../tools/ntfs_image.py" mark ntfs-journal.img 0 clean
run_calco capture ntfs-journal.img ntfs-clean.calco
truncate -s 8M windows.img
mkntfs -q -F windows.img >/dev/null 2>&1
{ printf hibr; random_bytes 9000; } >hiberfile
ntfscp -q windows.img hiberfile /hiberfil.sys >/dev/null 2>&1
unsafe windows.img hibernated
