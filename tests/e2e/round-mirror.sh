#!/bin/bash
# A mirror of md over two disks: each member stored as far as the file system uses it, restored members equal. Superblocks of all places; what is not a
# whole and clean mirror is taken raw.
. "$(dirname "$0")/functions.sh"
requires mke2fs e2fsck mdadm blkid python3

# put_super FILE VERSION ROLE [field=value...]: as md writes it (Linux include/uapi/linux/raid/md_p.h)
put_super() {
	python3 - "$@" <<-'PYTHON'
		import struct, sys
		path, version, role = sys.argv[1], sys.argv[2], int(sys.argv[3])
		o = dict(level=1, disks=2, events=42, clean=1, features=0, len=48 << 20, role0=0, role1=1, active=2)
		o.update((k, int(v, 0)) for k, v in (a.split("=") for a in sys.argv[4:]))
		fold = lambda t: ((t & 0xFFFFFFFF) + (t >> 32)) & 0xFFFFFFFF
		with open(path, "r+b") as f:
		    size = f.seek(0, 2)
		    if version == "0.90":
		        w = [0] * 1024
		        w[0:15] = [0xA92B4EFC, 0, 90, 0, 0, 0x11111111, 1, o["level"], o["len"] >> 10, 2, o["disks"], 0, 0, 0x22222222, 0x33333333]
		        w[15] = 0x44444444
		        w[32:40] = [1, o["clean"], o["active"], o["active"], 0, 0, 0, o["events"]]
		        w[992:996] = [role, 0, 0, role]
		        w[38] = fold(sum(w))
		        at, data = size // 65536 * 65536 - 65536, struct.pack("<1024I", *w)
		    else:
		        at, start = {"1.0": ((size // 512 - 16) // 8 * 4096, 0), "1.1": (0, 4 << 20), "1.2": (4096, 4 << 20)}[version]
		        def block(csum):
		            b = struct.pack("<IIII16s32sQIIQII", 0xA92B4EFC, 1, o["features"], 0, b"set-uuid-set-uui", b"lab:data", 1, o["level"], 0, o["len"] // 512, 0, o["disks"])
		            b = b.ljust(128, b"\0") + struct.pack("<QQQQII16sB7x", start // 512, o["len"] // 512, at // 512, 0, role, 0, b"dev-uuid-%d-" % role * 1 + b"xxxxx", 0)
		            b += struct.pack("<QQQII", 1, o["events"], 2**64 - 1 if o["clean"] else 0, csum, 2)
		            return b.ljust(256, b"\0") + struct.pack("<HH", o["role0"], o["role1"])
		        data = block(fold(sum(struct.unpack("<65I", block(0)))))
		    f.seek(at)
		    f.write(data)
	PYTHON
}

# make_mirror VERSION: disks one and two with the file system fs in them, DATA its place
make_mirror() {
	local version=$1 role=0 disk
	DATA=$((4 << 20))
	case $version in 1.0 | 0.90) DATA=0 ;; esac
	for disk in one two; do
		rm -f $disk
		truncate -s 60M $disk
		dd if=fs of=$disk bs=1M seek=$((DATA >> 20)) conv=notrunc status=none
		put_super $disk "$version" $role
		role=$((role + 1))
	done
}

# expect_raw REASON ARGUMENT...: both members are taken whole, for this reason
expect_raw() {
	local reason=$1
	shift
	run_calco capture "$@" none.calco --dry-run --json
	json_true out 'all(v["driver"] == "raw" for v in d["result"]["volumes"])'
	[ -z "$reason" ] || expect_text err "$reason"
}

cd "$T"
yes garbage | head -c 48M >fs || true
sample_tree tree
mke2fs -q -F -t ext4 -b 4096 -O ^has_journal -d tree fs
for version in 1.2 1.1 1.0 0.90; do
	make_mirror $version
	[ "$(blkid -p -o value -s TYPE one)" = linux_raid_member ] || fail "$version: blkid sees no member of a RAID"
	mdadm --examine two >examined 2>&1 || { cat examined; fail "$version: mdadm does not know the member"; }
	expect_text examined 'Checksum : .*correct' 'Raid Level : raid1'
	rm -f image.calco new1 new2
	run_calco capture one two image.calco
	expect_no_text err raw 'copies of a mirror'
	run_calco info image.calco --json
	json_true out '[(v["kind"], v["type"]) for v in d["result"]["volumes"]] == [("disk", "linux_raid_member")] * 2 + [("set", "ext4")]'
	json_true out 'len(d["result"]["volumes"][2]["segments"]) == 2'
	used=$("$TOOLS/usedbytes" fs | wc -c)
	for disk in 0 1; do
		stored=$(json_get out "d['result']['regions'][$disk]['stored_bytes']")
		[ "$stored" -eq $((used + (12 << 20))) ] || fail "$version: $stored bytes of disk $disk are stored, $used are used"
	done
	head -c 60M /dev/urandom >new1
	head -c 60M /dev/urandom >new2
	run_calco restore image.calco new1 new2 --confirm new1 --confirm new2 --scrub none
	run_calco verify image.calco --against new1 --against new2
	cmp <(dd if=new1 bs=1M skip=$((DATA >> 20)) count=48 status=none) <(dd if=new2 bs=1M skip=$((DATA >> 20)) count=48 status=none) ||
		fail "$version: the restored members differ"
	! grep -a -m 1 garbage new1 >/dev/null || fail "$version: free blocks came along"
	dd if=new2 of=got bs=1M skip=$((DATA >> 20)) count=48 status=none
	e2fsck -fn got >fsck 2>&1 || { cat fsck; fail "$version: the file system is damaged"; }
	mdadm --examine new1 >examined 2>&1
	expect_text examined 'Checksum : .*correct' 'Raid Level : raid1'
done

# Equal by their superblocks, but not in what the files hold: each comes back as it was, and that is said.
rm -f image.calco
make_mirror 1.2
at=$(grep -abo -m 1 '123456' two | head -n 1 | cut -d : -f 1)
printf 'x' | dd of=two bs=1 seek="$at" conv=notrunc status=none
run_calco capture one two image.calco --json
json_true out 'd["result"]["differing_chunks"] == 1'
expect_text err 'copies of a mirror differ in 1 pieces of 256 KiB, the first at [0-9]+ of .one. and [0-9]+ of .two.'
run_calco restore image.calco new1 new2 --confirm new1 --confirm new2
cmp -n 1 -i "$at" two new2
cmp -n 1 -i "$at" one new1

make_mirror 1.2
make_mirror 1.0
expect_raw "ext4 in a member of a Linux RAID.*all 60.0 MiB" one # one of two: whole, also where the file system can be seen from outside
make_mirror 1.2
expect_raw "" one
put_super two 1.2 1 events=43
expect_raw '' one two
put_super two 1.2 1 clean=0
expect_raw 'not stopped cleanly' one two
put_super two 1.2 1 features=8
expect_raw 'not understood' one two
put_super two 1.2 1 level=5
expect_raw 'RAID of level 5' one two
put_super two 1.2 1 len=$((900 << 20))
expect_raw 'not understood' one two
put_super two 1.2 5
expect_raw 'spare or failed' one two
# Each was used without the other, as often: equal counts, but one calls the other missing.
make_mirror 1.2
put_super one 1.2 0 role1=0xfffe
expect_raw 'used without the others' one two
put_super two 1.2 1 role0=0xfffe
expect_raw 'used without the others' one two
make_mirror 0.90
put_super one 0.90 0 active=1
expect_raw 'used without the others' one two
