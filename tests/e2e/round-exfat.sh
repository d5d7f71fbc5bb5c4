#!/bin/bash
# exFAT in partitions and on a whole disk: thousands of files, deep folders, deleted data, files in pieces. They are put there and looked
# at by FUSE exfat, and by a reader that follows the specification; fsck.exfat is content before and after.
. "$(dirname "$0")/readerlib.sh"
requires mkfs.exfat fsck.exfat mount.exfat-fuse

READER_TOOL=$HERE/../tools/exfat.py
shared_tree

# mount_exfat OPTIONS: $dev on mnt; this kernel may have no driver of its own
mount_exfat() {
	mount.exfat-fuse -o "$1" "$dev" mnt >"$T/err" 2>&1 || skip "FUSE exfat does not mount it: $(cat "$T/err")"
}

# exfat_manifest: what is in mnt
exfat_manifest() {
	(cd mnt && find . -mindepth 1 -printf '%P %y %s %T@\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# fill_exfat NUMBER FILES
fill_exfat() {
	local i
	attach_partition "$1"
	mount_exfat rw
	spread_files mnt "$2"
	# Holes everywhere, and then files that have to go into them
	find mnt -name '*[37] file.dat' -type f -print0 | xargs -0 rm
	for i in 1 2 3; do
		random_bytes $((i * 700000 + i)) >"mnt/in pieces $i"
		rm -rf "mnt/Ordner $i – ö/inner"
	done
	# Last: what is behind the end of a file in its last cluster comes along, whatever it is.
	deleted_data mnt 4
	exfat_manifest >"$disk.manifest.$1"
	umount mnt
	fsck.exfat -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.exfat finds errors before anything was done"; }
	detach "$dev"
	note_list "$1" 100
	echo "check_exfat $1" >>"$disk.checks"
}

check_exfat() {
	attach_partition "$1" --read-only
	fsck.exfat -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.exfat finds errors in partition $1 of $disk"; }
	mount_exfat ro
	exfat_manifest >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
	check_list "$1"
}

# part_exfat NUMBER FILES [MKFS-OPTION...]
part_exfat() {
	attach_partition "$1"
	mkfs.exfat -L "part $1" "${@:3}" "$dev" >/dev/null
	detach "$dev"
	fill_exfat "$1" "$2"
}

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
	note_list 0 1000
	echo "check_list 0" >"$disk.checks"
	holds_deleted_data "$disk"
	round_trip "$disk"
	rm ./*.img ./*.calco
}

made texfat $((40 * MIB + 511)) fats=2 active=1 second=20 cluster=2048
made sectors $((60 * MIB)) sector=4096 cluster=8192 bad=9
