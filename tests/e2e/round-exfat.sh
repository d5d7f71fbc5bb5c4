#!/bin/bash
# exFAT in partitions and on a whole disk: thousands of files, deep folders, deleted data, files in pieces. They are put there and looked
# at by FUSE exfat, and by a reader that follows the specification; fsck.exfat is content before and after.
. "$(dirname "$0")/rounds.sh"
requires mkfs.exfat fsck.exfat mount.exfat-fuse

EXFAT=$HERE/../tools/exfat.py
shared_tree

# mount_exfat OPTIONS: $dev on mnt; this kernel may have no driver of its own
mount_exfat() {
	mount.exfat-fuse -o "$1" "$dev" mnt >"$T/err" 2>&1 || skip "FUSE exfat does not mount it: $(cat "$T/err")"
}

# exfat_manifest: what is in mnt
exfat_manifest() {
	(cd mnt && find . -mindepth 1 -printf '%P %y %s %T@\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# exfat_files FOLDER HOW-MANY: copies under names that exFAT can keep, in many folders and in one deep one
exfat_files() {
	python3 - "$tree/usr" "$@" <<-'PYTHON'
		import os, shutil, sys
		source, target, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
		files = sorted(os.path.join(d, f) for d, _, names in os.walk(source) for f in names)[:number]
		for i, path in enumerate(files):
		    folder = os.path.join(target, f"Ordner {i % 37} – ö", *(["inner"] * (i % 4)))
		    os.makedirs(folder, exist_ok=True)
		    shutil.copy2(path, os.path.join(folder, f"{i} " + ("long " * 40 if i % 50 == 0 else "") + "file.dat"))
		deep = os.path.join(target, *[f"level {i}" for i in range(40)])
		os.makedirs(deep)
		with open(os.path.join(deep, "bottom"), "w") as f:
		    f.write("bottom\n")
	PYTHON
}

# fill_exfat NUMBER FILES
fill_exfat() {
	local i
	attach_partition "$1"
	mount_exfat rw
	exfat_files mnt "$2"
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
	volume_list "$1" >"$disk.list.$1"
	[ "$(wc -l <"$disk.list.$1")" -gt 100 ] || fail "there are too few files"
	echo "check_exfat $1" >>"$disk.checks"
}

# volume_list NUMBER: by the reader
volume_list() {
	local at
	read -r -a at < <(place "$1")
	python3 "$EXFAT" list "$disk" "${at[0]}"
}

check_exfat() {
	attach_partition "$1" --read-only
	fsck.exfat -n "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.exfat finds errors in partition $1 of $disk"; }
	mount_exfat ro
	exfat_manifest >now
	umount mnt
	detach "$dev"
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "files of partition $1 of $disk differ"; }
	volume_list "$1" >now
	cmp now "$source.list.$1" || { diff now "$source.list.$1" | head >&2; fail "files of partition $1 of $disk differ for the reader"; }
}

# part_exfat NUMBER FILES [MKFS-OPTION...]
part_exfat() {
	attach_partition "$1"
	mkfs.exfat -L "part $1" "${@:3}" "$dev" >/dev/null
	detach "$dev"
	fill_exfat "$1" "$2"
}

# What is restored has the same bytes in use: captured again it is the same.
also_check() {
	rm -f again.calco
	run_calco capture "$1" again.calco --json
	cp out again.json
	run_calco info "$source.calco" --json
	python3 - again.json out <<-'PYTHON' || fail "captured again, $1 is something else"
		import json, sys
		a, b = (json.load(open(p))["result"] for p in sys.argv[1:])
		keys = ("driver", "type", "label", "uuid", "state", "notice", "size", "used_bytes", "block_size")
		volumes = [[[v.get(k) for k in keys] for v in d["volumes"]] for d in (a, b)]
		if volumes[0] != volumes[1]:
		    sys.exit(f"{volumes[0]}\n{volumes[1]}")
		if any(v[0] == "raw" for v in volumes[0]):
		    sys.exit(f"raw: {volumes[0]}")
	PYTHON
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
bitmap=$(python3 "$EXFAT" places lost.img | awk '/^t .\$bitmap0/ { print $(NF - 1) }')
head -c 400 /dev/zero | dd of=lost.img conv=notrunc oflag=seek_bytes seek=$((bitmap + 100)) status=none
run_calco capture lost.img lost.calco
expect_text err "taken raw: '.*': exFAT: its cluster [0-9]+ is free in the allocation bitmap"
run_calco restore lost.calco copy.img
cmp copy.img lost.img || fail "the fallback is not a copy of everything"
rm ./*.img ./*.calco

# made NAME SIZE OPTION...: volumes that no mkfs here makes
made() {
	disk=$1.img
	python3 "$EXFAT" make "$disk" "$2" files=1500 dirs=150 deleted=100 max=12000 "${@:3}"
	python3 "$EXFAT" list "$disk" >"$disk.list.0"
	echo check_made >"$disk.checks"
	holds_deleted_data "$disk"
	round_trip "$disk"
	rm ./*.img ./*.calco
}

check_made() {
	python3 "$EXFAT" list "$disk" >now
	cmp now "$source.list.0" || fail "the files of $disk differ"
}

made texfat $((40 * MIB + 511)) fats=2 active=1 second=20 cluster=2048
made sectors $((60 * MIB)) sector=4096 cluster=8192 bad=9
