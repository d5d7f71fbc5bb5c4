#!/bin/bash
# XFS through capture and restore over garbage, and back: every file, what is in use, and its own checker. What is not unmounted is refused.
. "$(dirname "$0")/xfslib.sh"

disk=xfs.img
truncate -s 701M $disk
sgdisk -a 1 -n 1:63:+340M -n 2:0:0 $disk >/dev/null
xfs_part 1 -L scratch
FILES=odd GONE=4 xfs_part 2 -b size=1024 -m rmapbt=1 -d agcount=4 -i nrext64=1
holds_deleted_data $disk
# Blocks that are set aside for the trees count as used, and hold what stood there before: no more of it may come along.
deleted=$MARKER
MARKER='nothing of this kind'
round_trip $disk
run_calco restore $disk.calco blank.img
room=0
size=4096
for number in 1 2; do
	attach_partition $number --read-only
	for group in 0 1 2 3; do
		count=$(xfs_db -r -c "agf $group" -c 'p flcount' "$dev" | sed 's/.*= //')
		room=$((room + count * size))
	done
	detach "$dev"
	size=1024
done
came=$(LC_ALL=C grep -a -o -F "$deleted" blank.img | wc -c || true)
[ "$came" -le "$room" ] || fail "deleted data came along: $came bytes, and $room are set aside"
rm blank.img
run_calco info $disk.calco --json
json_true out "[v['driver'] for v in d['result']['volumes'] if v['type'] == 'xfs'] == ['xfs', 'xfs']"
json_true out "all(v['state'] == 'clean' and v['raw'] is None for v in d['result']['volumes'])"

# refused REASON: the file dirty.img, with nothing left and nothing changed
refused() {
	local was
	was=$(hash_of dirty.img)
	expect_exit 4 "$CALCO" capture dirty.img dirty.calco --json
	json_true out "d['error']['reason'] == '$1' and d['error']['hint']"
	[ ! -e dirty.calco ] && [ ! -e dirty.calco.part ] || fail "a refused capture left a file"
	[ "$(hash_of dirty.img)" = "$was" ] || fail "the source was changed"
}

# A computer lost its power: a copy of a mounted volume, and one that the kernel was told to give up.
truncate -s 320M live.img
mkfs.xfs -q live.img
attach live.img
live=$dev
mount "$live" mnt
cp -r "$tree/odd/links" mnt
sync -f mnt
cp --sparse=always live.img dirty.img
refused dirty-log
rm mnt/links/short
xfs_io -x -c 'shutdown -f' mnt
umount mnt
detach "$live"
mv live.img dirty.img
refused dirty-log
# As the advice says
attach dirty.img
mount "$dev" mnt
umount mnt
detach "$dev"
run_calco capture dirty.img replayed.calco
# Parts of it are elsewhere.
truncate -s 320M dirty.img
truncate -s 100M other-device.img
mkfs.xfs -q -f -l logdev=other-device.img,size=64m dirty.img
refused external-log
mkfs.xfs -q -f -r rtdev=other-device.img dirty.img
refused realtime
