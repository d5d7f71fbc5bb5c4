#!/bin/bash
# A volume group over a partition and a whole second disk: an LV in two pieces, a striped one, swap, free extents full of garbage. Only what the
# file systems use is stored, where lvm_lv.py finds it, and the restored group is the same for LVM itself.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires sgdisk partx mkswap blkid

MARKER=free-extents-of-the-group
cd "$T"
truncate -s 200M disk1
truncate -s 120M disk2
sgdisk -n 1:2048:+20M -t 1:8300 -n 2:0:+160M -t 2:8E00 disk1 >/dev/null
make_ext4 boot 20M
put_partition disk1 1 boot
read -r -a at < <(partition_place disk1 2)
for disk in disk1 disk2; do # what is free holds something that must not be stored
	{ head -c 1M /dev/zero; yes "$MARKER" | head -c 119M; } >garbage || true # the whole area of the metadata is stored
	if [ $disk = disk1 ]; then
		dd if=garbage of=disk1 bs=1M conv=notrunc oflag=seek_bytes seek="${at[0]}" status=none
	else
		cp garbage disk2
	fi
done
attach disk1 "${at[0]}" "${at[1]}"
pv1=$loop
attach disk2
pv2=$loop
lvm_run pvcreate "$pv1" "$pv2"
lvm_run vgcreate vg "$pv1" "$pv2"
lvm_create root 40M vg "$pv1"
lvm_create gap 12M vg "$pv1"
lvm_create data 48M -i 2 -I 64k vg
lvm_create swap 8M vg "$pv2"
lvm_run lvextend -L +24M vg/root "$pv2"
lvm_run lvremove -y vg/gap
lvm_run vgcfgbackup -f "$T/text" vg
places=("$(pv_uuid "$pv1")=disk1@${at[0]}" "$(pv_uuid "$pv2")=disk2@0")
detach_all

make_ext4 root 64M -b 4096
make_ext4 data 48M -b 4096 -L data -U 11111111-2222-3333-4444-555555555555
make_swap swap 8M
for lv in root data swap; do
	lv_tool put text $lv $lv "${places[@]}"
done
[ "$(lv_tool where text root "${places[@]}" | wc -l)" -gt 1 ] || fail "'root' is in one piece"

# What must be stored of the group: label and metadata areas, and what the file systems use, at 4 KiB.
used=0
for lv in root data; do
	used=$((used + $("$TOOLS/usedbytes" $lv | wc -c)))
done

run_calco capture disk1 disk2 group.calco
expect_no_text err 'raw'
# Of a striped volume each place is told once.
expect_text out '^ +vg/data +ext4 +data +48.0 MiB +(1:[0-9], 2|2, 1:[0-9]) +clean$'
run_calco info group.calco --json
json_true out '[v["kind"] for v in d["result"]["volumes"]] == ["partition", "partition", "disk", "set", "lv", "lv", "lv"]'
json_true out '[v["name"] for v in d["result"]["volumes"][3:]] == ["vg", "vg/root", "vg/data", "vg/swap"]'
json_true out '[v["driver"] for v in d["result"]["volumes"][1:]] == ["lvm", "lvm", "lvm", "ext", "ext", "swap"]'
json_true out '[v["parent"] for v in d["result"]["volumes"][4:]] == [3, 3, 3]'
stored=$(json_get out 'sum(d["result"]["regions"][v["region"]]["stored_bytes"] for v in d["result"]["volumes"][1:3])')
meta=$((2 * (1 << 20))) # label and metadata area of each fill the MiB before the first extent
[ "$stored" -eq $((used + meta + 4096)) ] || fail "$stored bytes stored, $used are used, and 4096 of swap"
json_get out '"\n".join("disk%d %d %d" % (s["disk"] + 1, s["start"], s["length"]) for s in d["result"]["volumes"][4]["segments"])' >got
lv_tool where text root "${places[@]}" >want
cmp got want
run_calco info group.calco
expect_text out 'vg/root' 'vg/data'
run_calco verify group.calco
run_calco verify group.calco --against disk1 --against disk2

for disk in disk1 disk2; do
	yes other | head -c "$(stat -c %s $disk)" >new-$disk || true
done
run_calco restore group.calco new-disk1 new-disk2 --confirm new-disk1 --confirm new-disk2 --scrub none
run_calco verify group.calco --against new-disk1 --against new-disk2
! grep -a -F -m 1 "$MARKER" new-disk1 new-disk2 >/dev/null || fail "free extents came along"
for lv in root data; do
	lv_tool get text $lv got "${places[@]/disk/new-disk}"
	same_volume $lv got
done
lv_tool get text swap got "${places[@]/disk/new-disk}"
cmp -n 4096 swap got
get_partition new-disk1 1 got
same_volume boot got
attach new-disk1 "${at[0]}" "${at[1]}"
attach new-disk2
lvm_run pvck "${loops[0]}"
lvm_run vgcfgbackup -f "$T/text2" vg
diff <(sed -n '/^vg {/,$p' text | grep -v 'device =') <(sed -n '/^vg {/,$p' text2 | grep -v 'device =') || fail "LVM sees another group"
detach_all

# One logical volume whole, by its name; and one that is not clean.
run_calco capture disk1 disk2 raw.calco --raw vg/data --dry-run --json
json_true out '[v["raw"] for v in d["result"]["volumes"] if v["name"] == "vg/data"] == ["asked"]'
debugfs -w -R "ssv state 0" root >/dev/null 2>&1
lv_tool put text root root "${places[@]}"
expect_exit 4 "$CALCO" capture disk1 disk2 dirty.calco
expect_text err "'vg/root' \(ext4\) is not safe to copy" 'raw vg/root'
