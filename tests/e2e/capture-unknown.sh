#!/bin/bash
# A partition that is to hold files, and in which nothing is recognised, is copied whole, and that is said; BitLocker is called by its name.
. "$(dirname "$0")/functions.sh"
requires sgdisk sfdisk partx mkfs.ntfs openssl

cd "$T"
truncate -s 100M disk.img
sgdisk -n 1:0:+20M -t 1:0700 -n 2:0:+20M -t 2:8300 -n 3:0:+4M -t 3:0C01 -n 4:0:+1M -t 4:EF02 -n 5:0:+20M -t 5:0700 -n 6:0:+20M -t 6:0700 disk.img >/dev/null
openssl enc -aes-128-ctr -K 01 -iv 00 -in /dev/zero 2>/dev/null | head -c 3000000 >noise || true
for n in 1 2 3 4; do
	head -c 900000 noise >part
	put_partition disk.img $n part
done
truncate -s 20M ntfs
mkfs.ntfs -q -F -Q ntfs >/dev/null 2>&1
put_partition disk.img 6 ntfs
printf -- '-FVE-FS-' | dd of=ntfs bs=1 seek=3 conv=notrunc status=none
put_partition disk.img 5 ntfs

# noted NUMBER: of these partitions it is said, of no other
noted() {
	grep -oE 'partition [0-9]+ \(raw\): no file system was recognised: all [0-9.]+ MiB are copied, also what is free; is it encrypted, or not formatted\?' "$1" |
		awk '{ printf "%s ", $2 }'
}
run_calco capture disk.img disk.calco
[ "$(noted err)" = '1 2 ' ] || { cat err >&2; fail "noted of: $(noted err)"; }
[ "$(grep -c 'BitLocker is locked' err)" = 1 ] || { cat err >&2; fail "BitLocker is not named"; }
expect_text err 'partition 5 \(BitLocker\): BitLocker is locked'
run_calco info disk.calco
[ "$(noted out)" = '1 2 ' ] || fail "info: $(noted out)"
# Who asks for it knows.
run_calco capture disk.img asked.calco --raw 1 --raw 2
[ -z "$(noted err)" ] || fail "noted of what was asked for: $(noted err)"
# By the types of an MBR, too.
truncate -s 64M mbr.img
printf 'label: dos\nstart=2048, size=20M, type=83\nsize=10M, type=da\nsize=10M, type=7\n' | sfdisk -q mbr.img
for n in 1 2 3; do
	head -c 900000 noise >part
	put_partition mbr.img $n part
done
run_calco capture mbr.img mbr.calco
[ "$(noted err)" = '1 3 ' ] || { cat err >&2; fail "MBR: noted of: $(noted err)"; }
