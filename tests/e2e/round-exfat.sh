#!/bin/bash
# exFAT in partitions and on a whole disk: thousands of files, deep folders, deleted data, files in pieces. They are put there and looked
# at by FUSE exfat, and by a reader that follows the specification; fsck.exfat is content before and after.
. "$(dirname "$0")/exfatlib.sh"

shared_tree

MIB=$((1024 * 1024))

# GPT, with odd sizes; the second partition goes on behind its file system
disk=gpt.img
truncate -s $((170 * MIB + 3 * 512)) $disk
sgdisk -a 1 -n 1:63:+140001 -t 1:0700 -n 2:141003:+80007 -t 2:0700 -n 3:222119:+60001 -t 3:0700 -n 4:283123:+8000 -t 4:8200 $disk >/dev/null
part_exfat 1 2200
read -r -a at < <(place 2)
attach "$disk" --offset "${at[0]}" --sizelimit $((35 * MIB + 7 * 512))
mkfs.exfat -c 1K -b 8K "$dev" >/dev/null
detach "$dev"
fill_exfat 2 900
part_exfat 3 500 -c 32K -b 32K
part 4 swap
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'd["result"]["volumes"][1]["size"] == (35 << 20) + 7 * 512 and d["result"]["volumes"][1]["block_size"] == 1024'
rm $disk $disk.calco

# MBR, one of them in an extended partition
disk=mbr.img
truncate -s $((90 * MIB)) $disk
sfdisk -q $disk <<-'TABLE'
	label: dos
	start=2048, size=81921, type=7
	start=86016, size=96256, type=5
	start=88064, size=80000, type=7
TABLE
part_exfat 1 900 -c 512 -b 512
part_exfat 5 700 --pack-bitmap
holds_deleted_data $disk
round_trip $disk
rm $disk $disk.calco

# The whole disk
disk=whole.img
truncate -s $((60 * MIB + 777)) $disk
part_exfat 0 1500
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'd["result"]["disks"][0]["table"] == "none" and d["result"]["volumes"][0]["uuid"]'

# Not unmounted: refused; with the boot region damaged, too. As it is by --raw
cp $disk dirty.img
printf '\002' | dd of=dirty.img bs=1 seek=106 conv=notrunc status=none
cp $disk boot.img
printf 'xxxx' | dd of=boot.img bs=1 seek=200 conv=notrunc status=none
for unsafe in dirty:dirty boot:errors; do
	expect_exit 4 "$CALCO" capture "${unsafe%:*}.img" unsafe.calco --json
	json_true out "d['error']['reason'] == '${unsafe#*:}' and 'fsck.exfat' in d['error']['hint']"
	[ ! -e unsafe.calco ] || fail "a refused capture left a file"
	run_calco capture "${unsafe%:*}.img" unsafe.calco --raw all
	run_calco restore unsafe.calco copy.img
	cmp copy.img "${unsafe%:*}.img" || fail "--raw is not a copy of everything"
	# As advised, it is taken.
	fsck.exfat -y copy.img >fsck 2>&1 || [ $? -eq 1 ] || { cat fsck >&2; fail "fsck.exfat does not repair it"; }
	run_calco capture copy.img clean.calco
	rm unsafe.calco clean.calco copy.img
done

# A file in free clusters: raw, and it says so.
cp $disk lost.img
bitmap=$(python3 "$READER_TOOL" places lost.img | awk '/^t .\$bitmap0/ { print $(NF - 1) }')
head -c 400 /dev/zero | dd of=lost.img conv=notrunc oflag=seek_bytes seek=$((bitmap + 100)) status=none
run_calco capture lost.img lost.calco
expect_text err "taken raw: '.*': exFAT: its cluster [0-9]+ is free in the allocation bitmap"
run_calco restore lost.calco copy.img
cmp copy.img lost.img || fail "the fallback is not a copy of everything"
rm ./*.img ./*.calco

# made NAME SIZE OPTION...: volumes that no mkfs here makes
made() {
	disk=$1.img
	python3 "$READER_TOOL" make "$disk" "$2" files=1500 dirs=150 deleted=100 max=12000 "${@:3}"
	python3 "$READER_TOOL" list "$disk" >"$disk.list.0"
	echo check_made >"$disk.checks"
	holds_deleted_data "$disk"
	round_trip "$disk"
	rm ./*.img ./*.calco
}

check_made() {
	python3 "$READER_TOOL" list "$disk" >now
	cmp now "$source.list.0" || fail "the files of $disk differ"
}

made texfat $((40 * MIB + 511)) fats=2 active=1 second=20 cluster=2048
made sectors $((60 * MIB)) sector=4096 cluster=8192 bad=9
