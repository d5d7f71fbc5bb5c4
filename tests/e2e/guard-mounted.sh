#!/bin/bash
# What is mounted is neither written nor captured: a disk, a partition of it, the file below a loop device, in any namespace.
. "$(dirname "$0")/rounds.sh"
requires partx

disk=golden.img
truncate -s $((40 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+60001 $disk >/dev/null
# Nothing that a mounted file system does in its own time.
FILES=odd GONE=1 part 1 ext4 -E lazy_itable_init=0,lazy_journal_init=0
run_calco capture $disk golden.calco

cp --sparse=always $disk target.img
size=$(stat -c %s target.img)
attach target.img
whole=$dev
partx -a "$whole" 2>/dev/null || skip "no partition devices on loop devices here"
drop_partitions() {
	umount "$T/mnt" 2>/dev/null || true
	[ ! -b "$1p1" ] || partx -d "$1"
}
export -f drop_partitions
cleanup_fn drop_partitions "$whole"

# refused REASON COMMAND...: exit code 4, that reason, and not a byte written
refused() {
	local reason=$1 was
	shift
	was=$(hash_of target.img)
	expect_exit 4 "$CALCO" "$@" --json
	json_true out "d['error']['reason'] == '$reason' and d['error']['hint']"
	[ "$(hash_of target.img)" = "$was" ] || fail "a refused command wrote: $*"
}

mount "${whole}p1" mnt
echo changed >mnt/since
sync
refused mounted restore golden.calco "$whole" --confirm "$size"
refused mounted restore golden.calco "${whole}p1" --only 1 --confirm "$(blockdev --getsize64 "${whole}p1")"
refused mounted capture "$whole" new.calco
refused mounted capture "${whole}p1" new.calco
refused mounted capture target.img new.calco
[ ! -e new.calco ] && [ ! -e new.calco.part ] || fail "a refused capture left a file"
expect_exit 4 "$CALCO" restore golden.calco target.img --confirm target.img
run_calco disks --json
json_true out "[x for x in d['result']['disks'] if x['path'] == '$whole' and not x['target'] and x['reason'] == 'mounted']"
run_calco disks --targets
expect_no_text out "$whole"
umount mnt

# Mounted for reading only: a source, but no target.
mount -o ro "${whole}p1" mnt
refused mounted restore golden.calco "$whole" --confirm "$size"
run_calco capture "$whole" new.calco
umount mnt
rm new.calco
run_calco capture "$whole" new.calco
run_calco restore golden.calco "$whole" --confirm "$size"
drop_partitions "$whole"
detach "$whole"
cmp -n 512 target.img $disk
