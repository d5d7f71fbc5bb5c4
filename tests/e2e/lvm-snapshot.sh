#!/bin/bash
# A snapshot of the old kind, in a group as LVM writes it: origin and snapshot are copied block for block with a note, the plain volume beside them is not.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires blkid

cd "$T"
truncate -s 100M pv new
attach pv
lvm_run pvcreate "$loop"
lvm_run vgcreate vg "$loop"
lvm_create root 8M vg
lvm_create snap 8M vg
lvm_create plain 24M vg
lvm_run vgcfgbackup -f "$T/text" vg
places=("$(pv_uuid "$loop")=pv@0")
python3 - text <<'PYTHON'
import sys
text = open(sys.argv[1]).read()
end = text.rindex("}", 0, text.rindex("}"))
text = text[:end] + """
snapshot0 {
	id = "vvvvvv-wwww-xxxx-yyyy-zzzz-0000-111111"
	status = ["READ", "WRITE", "VISIBLE"]
	flags = []
	segment_count = 1
	segment1 {
		start_extent = 0
		extent_count = 2
		type = "snapshot"
		chunk_size = 8
		origin = "root"
		cow_store = "snap"
	}
}
""" + text[end:]
open(sys.argv[1], "w").write(text)
PYTHON
lvm_run vgcfgrestore --force -f text vg
detach_all
make_ext4 root 8M -b 4096
make_ext4 plain 24M -b 4096 -U random
head -c 8M /dev/urandom >snap
for lv in root snap plain; do
	lv_tool put text $lv $lv "${places[@]}"
done

run_calco capture pv image.calco
expect_text err "vg \(LVM2\): every block is copied of 'root' \(part of snapshot\), 'snapshot0' \(type snapshot\)" 'vg/root \(ext4\): every block is copied: part of snapshot' 'vg/snap'
run_calco info image.calco --json
json_true out '{v["name"]: v["driver"] for v in d["result"]["volumes"] if v["kind"] == "lv"} == {"vg/root": "raw", "vg/snap": "raw", "vg/plain": "ext"}'
head -c 100M /dev/urandom >new
run_calco restore image.calco new --confirm new --scrub none
for lv in root snap; do
	lv_tool get text $lv got "${places[@]/=pv/=new}"
	cmp $lv got || fail "$lv differs"
done
lv_tool get text plain got "${places[@]/=pv/=new}"
same_volume plain got
