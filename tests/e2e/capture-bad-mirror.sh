#!/bin/bash
# A sector that cannot be read on one disk of btrfs over two: what RAID1 keeps on the other disk is stored, and the report says so; of single data it is
# lost, and the image lists it.
. "$(dirname "$0")/functions.sh"
requires_loop
requires mkfs.btrfs btrfs
[ -f "$TOOLS/faults.so" ] || skip "faults.so is not built"
grep -qw btrfs /proc/filesystems || modprobe btrfs 2>/dev/null || skip "the kernel has no btrfs"

attach_pair() {
	one=$(losetup --find --show "$1")
	two=$(losetup --find --show "$2")
	btrfs device scan "$one" "$two" >/dev/null 2>&1 || true # there may be none yet
}

detach_pair() {
	btrfs device scan -u "$one" >/dev/null 2>&1 || true
	losetup -d "$one" "$two"
}

# capture_bad EXIT ARGUMENT...: while byte $at of $disk cannot be read
capture_bad() {
	local code=$1 got=0
	shift
	CALCO_BAD_BYTE=$disk:$at LD_PRELOAD=$TOOLS/faults.so "$CALCO" capture disk1 disk2 "$@" >out 2>err || got=$?
	[ "$got" -eq "$code" ] || { cat out err >&2; fail "exit $got instead of $code"; }
}

cd "$T"
cleanup_fn sh -c "umount '$T/mnt' 2>/dev/null; losetup -nO NAME,BACK-FILE | awk -v t='$T/' 'index(\$2, t) == 1 { print \$1 }' | xargs -r losetup -d"
sample_tree tree
mkdir mnt
for mode in raid1 single; do
	rm -f disk1 disk2 new1 new2 image.calco text.calco
	truncate -s 200M disk1 disk2 new1 new2
	attach_pair disk1 disk2
	mkfs.btrfs -q -d $mode -m raid1 "$one" "$two" >/dev/null
	mount -t btrfs "$one" mnt
	cp -a tree mnt
	for n in $(seq 3000); do echo "only here: $n $n $n $n $n $n $n $n"; done >mnt/marked
	umount mnt
	detach_pair
	disk=disk2
	at=$(grep -abo -m 1 'only here: 1000 ' disk2 | head -n 1 | cut -d : -f 1) || true
	[ -n "$at" ] || { disk=disk1; at=$(grep -abo -m 1 'only here: 1000 ' disk1 | head -n 1 | cut -d : -f 1); }
	sector=$((at / 512 * 512))
	if [ $mode = single ]; then
		capture_bad 5 image.calco --json
		json_true out "d['result']['bad_bytes'] == 512 and [r['start'] for r in d['result']['bad_ranges']] == [$sector] and not d['result']['recovered_ranges']"
		continue
	fi
	capture_bad 0 image.calco --json
	json_true out "d['result']['bad_bytes'] == 0 and not d['result']['bad_ranges'] and d['result']['recovered_bytes'] == 512"
	json_true out "[(r['disk'], r['start'], r['length']) for r in d['result']['recovered_ranges']] == [(${disk#disk} - 1, $sector, 512)]"
	capture_bad 0 text.calco
	expect_text out 'unreadable, but .*mirror.*:$' "disk ${disk#disk}, 512 bytes at $sector, in disk ${disk#disk}, whole disk \(btrfs"
	run_calco info image.calco --json
	json_true out 'not d["result"]["bad_ranges"]'
	run_calco restore image.calco new1 new2 --confirm new1 --confirm new2
	cmp -n 512 -i $sector $disk "new${disk#disk}" || fail "the sector is another one"
	run_calco verify image.calco --against disk1 --against disk2
	attach_pair new1 new2
	btrfs check --check-data-csum "$one" >found 2>&1 || { cat found >&2; fail "btrfs finds errors"; }
	detach_pair
done
