#!/bin/bash
# btrfs over two disks: captured together, and btrfs finds all of it on the copies; one alone is refused with the name of the other.
. "$(dirname "$0")/functions.sh"
requires_loop
requires mkfs.btrfs btrfs wipefs sgdisk
grep -qw btrfs /proc/filesystems || modprobe btrfs 2>/dev/null || skip "the kernel has no btrfs"

# attach_pair FILE FILE: loop devices $one and $two that btrfs knows of
attach_pair() {
	one=$(losetup --find --show "$1")
	two=$(losetup --find --show "$2")
	btrfs device scan "$one" "$two" >/dev/null 2>&1 || true # there may be none yet
}

detach_pair() {
	btrfs device scan -u "$one" >/dev/null 2>&1 || true
	losetup -d "$one" "$two"
}

cd "$T"
cleanup_fn sh -c "umount '$T/mnt' 2>/dev/null; losetup -nO NAME,BACK-FILE | awk -v t='$T/' 'index(\$2, t) == 1 { print \$1 }' | xargs -r losetup -d"
sample_tree tree
mkdir mnt
for mode in single raid1 raid0; do
	rm -f disk1 disk2 image.calco
	{ head -c 8M /dev/zero; yes garbage | head -c 192M; } >disk1 || true
	cp disk1 disk2
	attach_pair disk1 disk2
	mkfs.btrfs -q -K -d $mode -m raid1 -L pair "$one" "$two" >/dev/null
	mount -t btrfs "$one" mnt
	cp -a tree mnt
	umount mnt
	detach_pair
	run_calco capture disk1 disk2 dry.calco --dry-run --json
	json_true out 'all(v["driver"] == "btrfs" for v in d["result"]["volumes"])'
	expect_exit 4 "$CALCO" capture disk2 alone.calco --json
	json_true out 'd["error"]["reason"] == "set-member"'
	run_calco capture disk2 alone.calco --raw all --dry-run
	run_calco capture disk1 disk2 image.calco
	expect_no_text err 'copies of a mirror'
	run_calco info image.calco --json
	json_true out '[(v["kind"], v["type"]) for v in d["result"]["volumes"]] == [("disk", "btrfs")] * 2 + [("set", "btrfs")]'
	json_true out 'd["result"]["stored_bytes"] < 40 << 20'
	for disk in new1 new2; do
		yes other | head -c 200M >$disk || true
	done
	run_calco restore image.calco new1 new2 --confirm new1 --confirm new2 --scrub none
	run_calco verify image.calco --against new1 --against new2
	attach_pair new1 new2
	btrfs check --check-data-csum "$one" >found 2>&1 || { cat found >&2; fail "$mode: btrfs finds errors"; }
	mount -t btrfs -o ro "$one" mnt
	diff -r --no-dereference tree mnt/tree || fail "$mode: other files"
	umount mnt
	detach_pair
done

# One member raw by its number: the other is not whole without it, and the hint names it.
for n in 1 2; do
	truncate -s 210M part$n
	sgdisk -n 1:0:+200M part$n >/dev/null
	put_partition part$n 1 disk$n
done
expect_exit 4 "$CALCO" capture part1 part2 none.calco --raw 1:1 --json
json_true out 'd["error"]["reason"] == "set-member"'
json_true out 'd["error"]["hint"].startswith("'"'part1' partition 1 is not missing, but --raw takes it by itself: leave that out, or add --raw 2:1"'")'
run_calco capture part1 part2 none.calco --raw 1:1 --raw 2:1 --dry-run
run_calco capture part1 part2 none.calco --dry-run
rm -f part1 part2

# Both members say what the driver does not know (bit 40 of the incompat flags, at 188 of each superblock): each is taken raw, with the driver's reason.
PYTHONPATH=$ROOT/tests/tools PYTHONDONTWRITEBYTECODE=1 python3 - disk1 disk2 <<-'PYTHON'
	import sys
	from btrfs_image import crc32c
	for name in sys.argv[1:]:
	    with open(name, "r+b") as f:
	        for at in 65536, 64 << 20:
	            f.seek(at)
	            block = bytearray(f.read(4096))
	            block[193] |= 1
	            block[:4] = crc32c(block[32:]).to_bytes(4, "little")
	            f.seek(at)
	            f.write(block)
PYTHON
run_calco capture disk1 disk2 unknown.calco --json
json_true out 'len(d["result"]["volumes"]) >= 2 and all(v["driver"] == "raw" for v in d["result"]["volumes"])'
json_true out 'all("0x10000000000" in v["notice"] for v in d["result"]["volumes"])'
run_calco restore unknown.calco new1 new2 --confirm new1 --confirm new2
cmp disk1 new1
cmp disk2 new2

# Each half of a mirror was mounted without the other and written to, as often: both say the same generation, and each has what the other has not.
rm -f disk1 disk2 image.calco
truncate -s 200M disk1 disk2
attach_pair disk1 disk2
mkfs.btrfs -q -K -d raid1 -m raid1 "$one" "$two" >/dev/null
mount -t btrfs "$one" mnt
cp -a tree mnt
umount mnt
detach_pair
for disk in disk1 disk2; do
	one=$(losetup --find --show $disk)
	mount -t btrfs -o degraded "$one" mnt
	seq 100000 >"mnt/only on $disk"
	sync
	umount mnt
	btrfs device scan -u "$one" >/dev/null 2>&1 || true
	losetup -d "$one"
done
[ "$(btrfs inspect-internal dump-super disk1 | grep '^generation')" = "$(btrfs inspect-internal dump-super disk2 | grep '^generation')" ] ||
	fail "the halves are not of one generation: this proves nothing"
run_calco capture disk1 disk2 image.calco --json
json_true out 'all(v["driver"] == "raw" and "each is whole" in v["notice"] for v in d["result"]["volumes"])'
run_calco restore image.calco new1 new2 --confirm new1 --confirm new2
cmp disk1 new1
cmp disk2 new2
