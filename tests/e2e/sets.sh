#!/bin/bash
# Disks that belong together: one alone is refused with the names of the missing ones, whatever it holds; both raw when asked.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires blkid

cd "$T"
truncate -s 64M one two
attach one
pv1=$loop
attach two
pv2=$loop
lvm_run pvcreate "$pv1" "$pv2"
lvm_run vgcreate vg "$pv1" "$pv2"
lvm_create root 24M vg "$pv1"
lvm_create data 24M vg "$pv2"
places=("$(pv_uuid "$pv1")=one@0" "$(pv_uuid "$pv2")=two@0")
lvm_run vgcfgbackup -f "$T/text" vg
uuid1=$(pv_uuid "$pv1") uuid2=$(pv_uuid "$pv2")
detach_all
for lv in root data; do
	make_ext4 $lv 24M -L $lv -U random
	lv_tool put text $lv $lv "${places[@]}"
done

expect_exit 4 "$CALCO" capture one one.calco --json
json_true out 'd["error"]["reason"] == "set-member"'
expect_exit 4 "$CALCO" capture one one.calco
expect_text err "'one' is a part of vg: missing: PV $uuid2 \(last seen as $pv2\)"
expect_no_text err "$uuid1"
expect_exit 4 "$CALCO" capture two one.calco
expect_text err "missing: PV $uuid1"
[ ! -e one.calco ] || fail "there is an image"
run_calco capture one one.calco --raw all
run_calco capture two raw2.calco --raw "$uuid2"
run_calco info raw2.calco --json
json_true out '[v["raw"] for v in d["result"]["volumes"]] == ["asked"]'

# One of them raw: it is not missing, and the hint says what keeps it away.
expect_exit 4 "$CALCO" capture one two both.calco --raw "$uuid2"
expect_text err "hint: 'two' is not missing, but --raw takes it by itself: leave that out, or add --raw"

# In either order; the order of the disks is the user's.
run_calco capture one two both.calco
run_calco capture two one turned.calco
run_calco info turned.calco --json
json_true out '[(s["disk"], v["name"]) for v in d["result"]["volumes"] if v["kind"] == "lv" for s in v["segments"]] == [(1, "vg/root"), (0, "vg/data")]'
truncate -s 64M new1 new2
run_calco restore both.calco new1 new2 --confirm new1 --confirm new2
for lv in root data; do
	lv_tool get text $lv got "$uuid1=new1@0" "$uuid2=new2@0"
	same_volume $lv got
done

# Half of a group is not offered.
expect_exit 2 "$CALCO" restore both.calco single
expect_text err "holds 2 disks, 1 target is named" "^hint: 'vg' \(LVM2[^)]*\) lies on several of them: name one target for each disk"
[ ! -e single ] || fail "a refused restore made its target"

# One disk of the two onto its own target: the volumes that lie on it, and nothing of the other.
truncate -s 64M single
run_calco restore both.calco single --only "$uuid2" --confirm single
cmp single new2
expect_exit 2 "$CALCO" restore both.calco single --only vg/root --confirm single
expect_text err "'vg/root' lies on other volumes of the image"

# A restore over disks that hold a group, cut short at any write: neither disk is a physical volume until it is complete, and the same command completes it.
[ -f "$TOOLS/faults.so" ] || exit 0
CALCO_FAULT_COUNT=$T/count CALCO_FAULT=write:1000000 LD_PRELOAD=$TOOLS/faults.so "$CALCO" restore both.calco new1 new2 --confirm new1 --confirm new2 --state counted >out 2>&1
nr=$(tr -dc 0-9 <count)
for part in 75 90 99; do # the first half are those that disarm, sector by sector
	cp one cut1
	cp two cut2
	rm -f state
	CALCO_FAULT=write:$((nr * part / 100)) LD_PRELOAD=$TOOLS/faults.so "$CALCO" restore both.calco cut1 cut2 --confirm cut1 --confirm cut2 --state state >out 2>&1 &&
		fail "write $part of 100 did not fail"
	for disk in cut1 cut2; do
		[ -z "$(blkid -p -o value -s TYPE $disk)" ] || fail "$disk is armed after $part of 100 writes"
	done
	run_calco restore both.calco cut1 cut2 --confirm cut1 --confirm cut2 --state state
	run_calco verify both.calco --against cut1 --against cut2
	cmp -n 2048 one cut1
done
