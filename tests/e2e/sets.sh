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

# One disk of the two onto its own target: the volumes that lie on it, and nothing of the other.
truncate -s 64M single
run_calco restore both.calco single --only "$uuid2" --confirm single
cmp single new2
expect_exit 2 "$CALCO" restore both.calco single --only vg/root --confirm single
expect_text err "'vg/root' lies on other volumes of the image"
