#!/bin/bash
# Debian's kernel ages F2FS partitions, and later mounts their restored copies: the same files, also where the target holds a later life
# of the same file system. What was not unmounted is refused until it was. In QEMU, because few build machines have an f2fs module.
. "$(dirname "$0")/../e2e/functions.sh"
. "$(dirname "$0")/guestlib.sh"
requires mkfs.f2fs fsck.f2fs sgdisk partx python3

guest_script() {
	cat <<-'SCRIPT'
		many() {
			i=$1
			while [ $i -lt $2 ]; do
				folder="/mnt/folder $((i % 23))/inner $((i % 7))"
				mkdir -p "$folder"
				seq $i $((i * 5)) >"$folder/a file, number $i"
				i=$((i + 1))
			done
		}
		# age PARTITION: several mounts, files that come, go, grow and are written again
		age() {
			mount -t f2fs -o $2 $1 /mnt || return
			many 0 700
			for i in 1 2 3 4; do seq $i 300000 >"/mnt/in pieces $i" & done
			wait
			yes "$marker" | head -c 6000000 >/mnt/gone
			fallocate -l 3000000 /mnt/reserved
			sync
			rm -r /mnt/gone /mnt/*/inner\ 3
			umount /mnt
			mount -t f2fs -o $2 $1 /mnt || return
			rm /mnt/*/*/*number\ *5
			for i in 1 2 3; do
				for number in 1 2 3 4; do
					dd if=/dev/urandom of="/mnt/in pieces $number" bs=4096 count=$((i * 13)) seek=$((i * number * 5)) conv=notrunc 2>/dev/null
				done
				sync
			done
			truncate -s 3G /mnt/sparse
			dd if=/dev/urandom of=/mnt/sparse bs=4096 count=3 seek=700000 conv=notrunc 2>/dev/null
			many 700 900
			umount /mnt
			mount -t f2fs -o $2 $1 /mnt || return
			ln -s "in pieces 1" /mnt/link
			mknod /mnt/null c 1 3
			# One byte away is enough for a checkpoint with few changes: they are in the journals.
			echo x >>"/mnt/in pieces 1"
			umount /mnt && echo aged
		}
		# live PARTITION: and then the power fails; fsync() has put things behind the checkpoint
		live() {
			mount -t f2fs $1 /mnt || return
			for i in 1 2 3; do
				dd if=/dev/urandom of="/mnt/in pieces $i" bs=4096 count=9 seek=$((i * 50)) conv=notrunc,fsync 2>/dev/null
				dd if=/dev/urandom of="/mnt/new $i" bs=4096 count=20 conv=fsync 2>/dev/null
			done
			echo lived
		}
		list() {
			mount -t f2fs -o $2 $1 /mnt || return
			cd /mnt
			find . -type f ! -name sparse -print0 | xargs -0 sha256sum
			dd if=sparse bs=4096 skip=699990 2>/dev/null | sha256sum
			find . -type d
			ls -l link null
			stat -c '%n %s %b' sparse reserved
			cd /
			umount /mnt && echo listed
		}
		case $do in
		age) { age /dev/vda1 rw; age /dev/vda2 rw,compress_algorithm=lz4,compress_extension=*; } >/dev/vdb 2>&1 ;;
		live) { live /dev/vda1; live /dev/vda2; } >/dev/vdb 2>&1; sync /dev/vdb; reboot -n -f ;;
		# Mounted for writing, so that the kernel looks for what is behind the checkpoint
		list) { list /dev/vda1 rw; list /dev/vda2 rw; } >/dev/vdb 2>&1 ;;
		mount) for i in 1 2; do mount -t f2fs /dev/vda$i /mnt && umount /mnt && echo mounted; done >/dev/vdb 2>&1 ;;
		esac
		dmesg | grep -i f2fs
		sync
		poweroff -f
	SCRIPT
}

# f2fs_guest WHAT DISK WORD: do it; it said the word about both partitions. All that it said is in $T/said
f2fs_guest() {
	GUEST_SECONDS=900 guest "do=$1 marker=$MARKER" -drive "if=virtio,format=raw,file=$2"
	expect_no_text "$T/console" 'F2FS-fs.*([Ee]rror|corrupt|[Ii]nvalid|fsck)'
	[ "$(grep -cx "$3" "$T/said")" -eq 2 ] || { cat "$T/said" "$T/console" >&2; fail "$1 of $2 failed"; }
}

# list DISK: what the kernel finds in both partitions, in $T/list. On a copy: mounting it changes it.
list() {
	cp --sparse=always "$1" "$T/mounted"
	f2fs_guest list "$T/mounted" listed
	grep -vx listed "$T/said" | sort >"$T/list"
	[ "$(wc -l <"$T/list")" -gt 1000 ] || fail "there are too few files"
}

# same_as_source DISK
same_as_source() {
	local number
	list "$1"
	cmp "$T/list" "$T/source.list" || { diff "$T/list" "$T/source.list" | head >&2; fail "$1: other files than on the source"; }
	for number in 1 2; do
		check_fsck "$1" $number
	done
}

check_fsck() {
	get_partition "$1" "$2" "$T/part"
	fsck.f2fs --dry-run "$T/part" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.f2fs finds errors in partition $2 of $1"; }
	expect_no_text "$T/fsck" '\[Fail\]|\[ASSERT\]|\[FIX\]'
}

MARKER='Calco-test:-deleted-''before-the-capture'
guest_script >"$T/script"
guest_system "$T/script" crc32_generic lz4 f2fs
truncate -s 300M "$T/disk"
sgdisk -n 1:2048:+130M -t 1:8300 -n 2:0:+160M -t 2:8300 "$T/disk" >/dev/null
for number in 1 2; do
	read -r -a at < <(partition_place "$T/disk" $number)
	rm -f "$T/part"
	truncate -s "${at[1]}" "$T/part"
	options=(-l first)
	[ $number = 1 ] || options=(-l second -O "extra_attr,inode_checksum,sb_checksum,inode_crtime,compression,flexible_inline_xattr")
	mkfs.f2fs "${options[@]}" "$T/part" >/dev/null
	put_partition "$T/disk" $number "$T/part"
done
f2fs_guest age "$T/disk" aged
grep -q -a -F "$MARKER" "$T/disk" || fail "the deleted data is not on the source"
list "$T/disk"
mv "$T/list" "$T/source.list"
for number in 1 2; do
	check_fsck "$T/disk" $number
done

run_calco capture "$T/disk" "$T/disk.calco"
expect_no_text "$T/err" 'raw'
truncate -s 300M "$T/blank"
run_calco restore "$T/disk.calco" "$T/blank" --confirm blank
! grep -a -F -m 1 "$MARKER" "$T/blank" >/dev/null || fail "deleted data came along"
same_as_source "$T/blank"
yes garbage | head -c 300M >"$T/full" || true
run_calco restore "$T/disk.calco" "$T/full" --confirm full --scrub none
same_as_source "$T/full"

# The same disk, used later until the power failed: refused, until it was mounted.
cp --sparse=always "$T/disk" "$T/later"
f2fs_guest live "$T/later" lived
expect_exit 4 "$CALCO" capture "$T/later" "$T/later.calco" --json
json_true "$T/out" 'd["error"]["reason"] == "dirty" and "mount it" in d["error"]["hint"]'
cp --sparse=always "$T/later" "$T/recovered"
f2fs_guest mount "$T/recovered" mounted
run_calco capture "$T/recovered" "$T/recovered.calco"
expect_no_text "$T/err" 'raw'
list "$T/recovered"
! cmp -s "$T/list" "$T/source.list" || fail "nothing was recovered: this proves nothing"
mv "$T/list" "$T/recovered.list"
yes garbage | head -c 300M >"$T/full" || true
run_calco restore "$T/recovered.calco" "$T/full" --confirm full --scrub none
list "$T/full"
cmp "$T/list" "$T/recovered.list" || fail "other files than on the recovered source"
# Restored over that: what fsync() wrote later is not recovered into it.
run_calco restore "$T/disk.calco" "$T/later" --confirm later --scrub none
same_as_source "$T/later"
echo "$(wc -l <"$T/source.list") files and folders, four times the same"
