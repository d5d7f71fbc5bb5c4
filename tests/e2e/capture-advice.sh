#!/bin/bash
# What to do about a volume that is not clean is told as a command that works where it is: partitions of files and devices, logical volumes.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires sgdisk partx

cd "$T"
# dirty FILE: its ext4 was not unmounted, and has nothing in its journal
dirty() {
	debugfs -w -R 'feature needs_recovery' "$1" >/dev/null 2>&1
	dumpe2fs -h "$1" 2>/dev/null | grep -q needs_recovery || fail "$1 is not dirty"
}

# A file that is the file system, with a name that a shell would take apart.
make_ext4 'a disk.img' 32M
dirty 'a disk.img'
expect_exit 4 "$CALCO" capture 'a disk.img' --dry-run
expect_text err "^hint: run e2fsck -p 'a disk.img', or mount and unmount it, or add --replay; or take all of it as it is: --raw all$"
eval "$(sed -n "s/^hint: run \(e2fsck -p '[^']*'\),.*/\1/p" err)" >fsck 2>&1 || [ $? = 1 ] || fail "$(cat fsck)"
run_calco capture 'a disk.img' --dry-run

# A partition of a file, then the same as a device.
truncate -s 64M disk.img
sgdisk -n 1:0:+40M disk.img >/dev/null
make_ext4 part 32M
dirty part
put_partition disk.img 1 part
expect_exit 4 "$CALCO" capture disk.img --dry-run
expect_text err '^hint: run e2fsck -p /dev/loopNp1, .* \(losetup -fP --show disk.img attaches it as loopN\), or add --replay; or take all of it as it is: --raw 1$'
# A word that means nothing is told before that, one that means another volume is not in the way.
expect_exit 2 "$CALCO" capture disk.img --dry-run --raw nope
expect_text err "^calco: --raw: there is no volume 'nope' \(a partition number, label, UUID or GPT name, 'all' or 'gaps'\)$"
expect_exit 2 "$CALCO" capture disk.img --dry-run --unlock 7=key
expect_text err "^calco: --unlock: there is no LUKS container '7'"
for word in 2 other OTHER-NAME 0f1e2d3c-4b5a-6978-8796-000000000002; do
	cp --sparse=always disk.img two.img
	sgdisk -n 2:0:+10M -c 2:OTHER-NAME two.img >/dev/null
	make_ext4 part 10M -L other -U 0f1e2d3c-4b5a-6978-8796-000000000002
	put_partition two.img 2 part
	expect_exit 4 "$CALCO" capture two.img --dry-run --raw $word
done
run_calco capture two.img --dry-run --raw root
loop=$(losetup -fP --show disk.img)
cleanup_fn sh -c "losetup -nO NAME -j '$T/disk.img' | xargs -r losetup -d"
expect_exit 4 "$CALCO" capture "$loop" --dry-run
if [ -b "${loop}p1" ]; then
	expect_text err "^hint: run e2fsck -p ${loop}p1"
	expect_no_text err 'loopN'
	e2fsck -p "${loop}p1" >fsck 2>&1 || [ $? = 1 ] || fail "$(cat fsck)"
	run_calco capture "$loop" --dry-run
else
	expect_text err "partition 1 of $loop; partx -a"
fi
losetup -d "$loop"

# A logical volume.
truncate -s 128M pv.img
attach pv.img
lvm_run pvcreate -ff -y "$loop"
lvm_run vgcreate -s 1M vg "$loop"
lvm_create root 40M vg
make_ext4 lv 40M
dirty lv
lvm_run vgcfgbackup -f text vg
lv_tool put text root lv "$(pv_uuid "$loop")=pv.img@0"
detach_all
expect_exit 4 "$CALCO" capture pv.img --dry-run
expect_text err '^hint: run e2fsck -p /dev/vg/root, .* \(vgchange -ay vg activates it\)'
