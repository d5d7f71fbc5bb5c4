#!/bin/bash
# The device of a partition is a disk without a table, as source and as target, and takes one volume of an image of a whole disk.
. "$(dirname "$0")/rounds.sh"
requires partx

# with_partitions FILE: a loop device with partition devices, in $whole
with_partitions() {
	attach "$1"
	whole=$dev
	partx -a "$whole" 2>/dev/null || skip "no partition devices on loop devices here"
	cleanup_fn drop_partitions "$whole"
}
drop_partitions() {
	[ ! -b "$1p1" ] || partx -d "$1"
}
export -f drop_partitions
without_partitions() {
	drop_partitions "$whole"
	detach "$whole"
}

disk=golden.img
truncate -s $((80 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:+100001 -c 2:root $disk >/dev/null
part 1 fat16
part 2 ext4 -L golden-root
source=$disk
capture_checked $disk whole.calco

# As a source: an image of that partition alone.
with_partitions $disk
run_calco capture "${whole}p2" part.calco
run_calco info part.calco --json
json_true out 'd["result"]["disks"][0]["table"] == "none" and [v["type"] for v in d["result"]["volumes"]] == ["ext4"]'
without_partitions
run_calco restore part.calco alone.img
run_calco verify part.calco --against alone.img
e2fsck -fn alone.img >out 2>&1 || { cat out >&2; fail "e2fsck finds errors"; }

# As a target: the same place on another disk, everything around it untouched.
garbage other.img "$(stat -c %s $disk)"
sgdisk -Z other.img >/dev/null 2>&1 || true
sgdisk -a 1 -n 1:2048:+9999 -n 2:30001:+100001 other.img >/dev/null
cp --sparse=always other.img before.img
with_partitions other.img
size=$(blockdev --getsize64 "${whole}p2")
run_calco restore part.calco "${whole}p2" --confirm "$size"
run_calco verify part.calco --against "${whole}p2"
without_partitions
around() {
	cmp -n $((30001 * 512)) other.img before.img || fail "bytes before the partition were written"
	cmp -i $((130002 * 512)) other.img before.img || fail "bytes behind the partition were written"
}
around
disk=other.img check_ext 2

# --only takes it from the image of the whole disk, by number, label and onto the partition device.
for volume in 2 golden-root root; do
	cp --sparse=always before.img other.img
	with_partitions other.img
	run_calco restore whole.calco "${whole}p2" --only $volume --confirm "$size"
	run_calco verify part.calco --against "${whole}p2"
	without_partitions
	around
	disk=other.img check_ext 2
done

# A whole-disk image does not go onto a partition device.
with_partitions other.img
expect_exit 4 "$CALCO" restore whole.calco "${whole}p2" --confirm "$size"
without_partitions

# The plan tells when the partition lies elsewhere, or is of another type.
sgdisk -a 1 -d 2 -n 2:30002:+100001 -t 2:8200 other.img >/dev/null
with_partitions other.img
run_calco restore whole.calco "${whole}p2" --only root --dry-run
expect_text out "place +partition 2 of $whole, at $((30002 * 512)); in the image at $((30001 * 512))" "type +'Linux swap', in the image 'Linux filesystem'"
run_calco restore whole.calco "${whole}p2" --only root --dry-run --json
json_true out "(lambda p: p['at_start'] and p['of_disk'] == '$whole' and p['offset'] == 30002 * 512 and p['other_type'])(d['result']['targets'][0]['place'])"
without_partitions
