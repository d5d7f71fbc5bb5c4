#!/bin/bash
# btrfs comes back with all copies of everything that is in use, and nothing else: its checker and a scrub are content, all files are the same. Half
# of a mirror, and a file system with a tree log, are refused.
. "$(dirname "$0")/rounds.sh"
requires mkfs.btrfs btrfs

# The kernel knows a file system by its UUID: two of one must never meet.
forget() {
	btrfs device scan --forget >/dev/null 2>&1 || true
}

# btrfs_part NUMBER MOUNT-OPTIONS MKFS-OPTION...: make and fill one partition of $disk
btrfs_part() {
	local number=$1
	attach_partition "$number"
	mkfs.btrfs -q "${@:3}" "$dev" >/dev/null
	mount -o "$2" "$dev" mnt 2>"$T/err" || skip "this kernel does not mount it: $(cat "$T/err")"
	deleted_data mnt 12
	[ -n "${tree:-}" ] || shared_tree
	cp -a --sparse=always "$tree/odd" mnt
	cp -r --preserve=timestamps /usr/include/linux mnt/plain
	cp -r --reflink=always --preserve=timestamps mnt/plain mnt/shared
	btrfs subvolume create mnt/sub >/dev/null
	random_bytes 3000000 >mnt/sub/random
	seq 1 300000 >mnt/sub/numbers
	btrfs subvolume snapshot mnt mnt/snapshot >/dev/null
	btrfs subvolume snapshot -r mnt/sub mnt/kept >/dev/null
	find mnt/plain mnt/shared mnt/snapshot -name '*[37]*' -type f -print0 | xargs -0 rm
	sync -f mnt
	btrfs subvolume delete -C mnt/snapshot >/dev/null
	random_bytes 50000 | dd of=mnt/sub/random bs=4096 seek=33 conv=notrunc status=none
	deleted_data mnt 1
	btrfs subvolume sync mnt >/dev/null
	sync -f mnt
	python3 "$HERE/tree_manifest.py" mnt >"$disk.manifest.$number"
	umount mnt
	"$ROOT/tests/tools/btrfs_used.py" "$dev" >"$disk.used.$number"
	detach "$dev"
	forget
	echo "check_btrfs $number" >>"$disk.checks"
}

check_btrfs() {
	attach_partition "$1" --read-only
	btrfs check --readonly --check-data-csum "$dev" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "btrfs check finds errors"; }
	"$ROOT/tests/tools/btrfs_used.py" "$dev" >now
	cmp now "$source.used.$1" || fail "other bytes are in use"
	mount -o ro "$dev" mnt
	btrfs scrub start -B -r mnt >"$T/scrub" 2>&1 || { cat "$T/scrub" >&2; fail "the scrub fails"; }
	expect_text "$T/scrub" 'no errors found'
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	detach "$dev"
	forget
	cmp now "$source.manifest.$1" || { diff now "$source.manifest.$1" | head >&2; fail "the files differ"; }
}

disk=btrfs.img
truncate -s $((420 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+256M -n 2:0:0 $disk >/dev/null
btrfs_part 1 compress=zstd -L scratch
btrfs_part 2 rw -M -m dup -d dup --csum xxhash
holds_deleted_data $disk
round_trip $disk
run_calco info $disk.calco --json
json_true out 'all(v["driver"] == "btrfs" and v["state"] == "clean" and not v["notice"] for v in d["result"]["volumes"])'
rm -f $disk*

# Half of a mirror
mkdir halves
for i in 1 2; do
	truncate -s 150M halves/$i.img
	attach halves/$i.img
	echo "$dev" >>halves/devices
done
mapfile -t both <halves/devices
mkfs.btrfs -q -d raid1 -m raid1 "${both[@]}"
other=$(btrfs inspect-internal dump-super "${both[1]}" | awk '$1 == "dev_item.uuid" { print $2 }')
for dev in "${both[@]}"; do detach "$dev"; done
forget
expect_exit 4 "$CALCO" capture halves/1.img half.calco --json
json_true out "d['error']['reason'] == 'set-member' and '1 of 2' in d['error']['message'] and '$other' in d['error']['message']"
[ ! -e half.calco ] || fail "an image was left"
rm -r halves

# Changes that stand in the tree log only: a copy of what a crash behind fsync() leaves
truncate -s 130M crashed.img
attach crashed.img
mkfs.btrfs -q "$dev"
mount -o commit=300 "$dev" mnt
echo before >mnt/file
sync -f mnt
echo behind >>mnt/file
sync mnt/file
cp --sparse=always crashed.img log.img
umount mnt
detach "$dev"
forget
expect_exit 4 "$CALCO" capture log.img log.calco --json
json_true out "d['error']['reason'] == 'tree-log'"
attach log.img
mount "$dev" mnt
[ "$(cat mnt/file)" = "before
behind" ] || fail "the log was not replayed"
umount mnt
detach "$dev"
forget
run_calco capture log.img log.calco
