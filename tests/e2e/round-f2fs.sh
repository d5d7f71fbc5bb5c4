#!/bin/bash
# F2FS in partitions and on a whole disk, filled by sload.f2fs, with deleted data all over: fsck.f2fs is content before and after, and a
# reader that shares nothing with the program finds the same files. What a kernel does with such volumes is in tests/boot/f2fs-mount.sh.
. "$(dirname "$0")/f2fslib.sh"

shared_tree

MIB=$((1024 * 1024))

# GPT, with odd sizes and the options that change what stands where
disk=gpt.img
truncate -s $((430 * MIB + 3 * 512)) $disk
sgdisk -a 1 -n 1:63:+260003 -t 1:8300 -n 2:262143:+250007 -t 2:8300 -n 3:520007:+320001 -t 3:8300 -n 4:850123:+8000 -t 4:8200 $disk >/dev/null
part_f2fs 1 1200
part_f2fs 2 700 -O extra_attr,inode_checksum,sb_checksum,inode_crtime,compression -i
part_f2fs 3 500 -s 2 -w 4096
part 4 swap
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'd["result"]["volumes"][0]["driver"] == "f2fs" and d["result"]["volumes"][0]["block_size"] == 4096 and d["result"]["volumes"][0]["size"] == 260003 // 8 * 4096'
rm $disk $disk.calco

# The whole disk
disk=whole.img
truncate -s $((120 * MIB + 777)) $disk
part_f2fs 0 900
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'd["result"]["disks"][0]["table"] == "none" and d["result"]["volumes"][0]["uuid"] and d["result"]["volumes"][0]["label"] == "part 0"'

# Not unmounted, or with errors: refused. As it is by --raw; as advised, it is taken.
cp $disk dirty.img
python3 "$READER_TOOL" flags dirty.img 0 1
cp $disk errors.img
python3 "$READER_TOOL" flags errors.img 0x10 0
for unsafe in dirty errors; do
	expect_exit 4 "$CALCO" capture $unsafe.img unsafe.calco --json
	json_true out "d['error']['reason'] == '$unsafe' and d['error']['hint']"
	[ ! -e unsafe.calco ] || fail "a refused capture left a file"
	run_calco capture $unsafe.img unsafe.calco --raw all
	run_calco restore unsafe.calco copy.img
	cmp copy.img $unsafe.img || fail "--raw is not a copy of everything"
	fsck.f2fs -f -y copy.img >fsck 2>&1 || { cat fsck >&2; fail "fsck.f2fs does not repair it"; }
	run_calco capture copy.img clean.calco
	rm unsafe.calco clean.calco copy.img
done

# Over three devices: the first is refused, alone and together with the others, and names them. They have no superblock and come whole.
truncate -s 100M one.img two.img three.img
mkfs.f2fs -q -f -c two.img -c three.img one.img >/dev/null
expect_exit 4 "$CALCO" capture one.img unsafe.calco --json
json_true out "d['error']['reason'] == 'set-member' and \"the others were 'two.img', 'three.img'\" in d['error']['message']"
expect_exit 4 "$CALCO" capture one.img two.img three.img unsafe.calco
dd if=/dev/urandom of=two.img bs=1M count=3 seek=60 conv=notrunc status=none
run_calco capture two.img unsafe.calco --json
json_true out "[v['driver'] for v in d['result']['volumes']] == ['raw'] and d['result']['used_bytes'] == 100 << 20"
rm unsafe.calco
run_calco capture one.img two.img three.img unsafe.calco --raw all
run_calco restore unsafe.calco new1.img new2.img new3.img --confirm new1.img --confirm new2.img --confirm new3.img
cmp one.img new1.img && cmp two.img new2.img && cmp three.img new3.img || fail "--raw is not a copy of everything"
rm -f unsafe.calco new?.img

# A SIT that knows of nothing: raw, and it says so.
cp $disk lost.img
sit=$(python3 "$READER_TOOL" info lost.img | sed -n 's/^sit=//p')
nat=$(python3 "$READER_TOOL" info lost.img | sed -n 's/^nat=//p')
dd if=/dev/zero of=lost.img bs=4096 seek="$sit" count=$((nat - sit)) conv=notrunc status=none
run_calco capture lost.img lost.calco
expect_text err 'taken raw: the F2FS segments have [0-9]+ nodes, the checkpoint counts [0-9]+'
run_calco restore lost.calco copy.img
cmp copy.img lost.img || fail "the fallback is not a copy of everything"
