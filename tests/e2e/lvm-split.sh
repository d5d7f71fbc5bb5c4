#!/bin/bash
# A volume group of two disks that two machines changed as often, one with each disk: none of the two versions is taken for the truth.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"

cd "$T"
# change NAME DISK: a logical volume more, on this disk
change() {
	attach one
	first=$loop
	attach two
	second=$loop
	if [ "$2" = one ]; then where=$first; else where=$second; fi
	lvm_run lvcreate -an -Zn -Wn -L 10M -n "$1" vg "$where"
	detach_all
}
truncate -s 40M one two
attach one
first=$loop
attach two
lvm_run pvcreate "$first" "$loop"
lvm_run vgcreate -s 1M vg "$first" "$loop"
detach_all
cp one one.before
cp two two.before
change left one
cp one one.left
cp one.before one
cp two.before two
change right two
cp one.left one
openssl enc -aes-128-ctr -K 07 -iv 00 -in /dev/zero 2>/dev/null | dd of=two bs=1M seek=5 count=6 iflag=fullblock conv=notrunc status=none
run_calco capture one two image.calco --json
json_true out 'all(v["driver"] == "raw" and "two versions" in v["notice"] for v in d["result"]["volumes"])'
run_calco restore image.calco new1 new2
cmp one new1
cmp two new2
