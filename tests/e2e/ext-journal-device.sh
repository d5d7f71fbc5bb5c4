#!/bin/bash
# ext4 with its journal on another disk: unmounted, it is copied with or without that disk; not unmounted, it is refused, whatever is asked for, because
# half of what it holds is elsewhere.
. "$(dirname "$0")/rounds.sh"
requires xfs_io dumpe2fs

disks=(volume.img log.img)
truncate -s 80M volume.img
truncate -s 16M log.img

# attach_both FOLDER: $volume and $log
attach_both() {
	attach "$1/volume.img"
	volume=$dev
	attach "$1/log.img"
	log=$dev
}

detach_both() {
	detach "$volume"
	detach "$log"
}

# check_files FOLDER: e2fsck is content with both, and the kernel finds the files
check_files() {
	attach_both "$1"
	e2fsck -fn -j "$log" "$volume" >fsck 2>&1 || { cat fsck >&2; fail "e2fsck finds errors"; }
	mount -o "ro,journal_path=$log" "$volume" mnt
	python3 "$HERE/tree_manifest.py" mnt >now
	umount mnt
	detach_both
}

# refused IMAGE-OPTION...: alone and together, with nothing left and nothing changed
refused() {
	local before
	before=$(cat "${disks[@]}" | hash_of -)
	expect_exit 4 "$CALCO" capture volume.img image.calco --json "$@"
	json_true out "d['error']['reason'] == 'external-journal' and 'journal device' in d['error']['hint']"
	expect_exit 4 "$CALCO" capture "${disks[@]}" image.calco --json "$@"
	json_true out "d['error']['reason'] == 'external-journal'"
	[ ! -e image.calco ] && [ ! -e image.calco.part ] || fail "a refused capture left a file"
	[ "$(cat "${disks[@]}" | hash_of -)" = "$before" ] || fail "a source was changed"
}

attach_both .
mke2fs -q -F -O journal_dev -b 4096 "$log"
mke2fs -q -F -t ext4 -b 4096 -J "device=$log" "$volume"
mount -o "journal_path=$log" "$volume" mnt
cp -r /usr/share/zoneinfo/Europe mnt
umount mnt
detach_both
check_files .
mv now clean.manifest

# Alone: it says that something is elsewhere. Beside the old journal the copy is whole.
run_calco capture volume.img alone.calco
expect_text err 'its journal is on another device'
mkdir copy
garbage copy/volume.img $((80 * 1024 * 1024))
run_calco restore alone.calco copy/volume.img --confirm volume.img --scrub none
cp log.img copy
check_files copy
cmp now clean.manifest || fail "the files differ"
# Together: the journal is taken whole.
run_calco capture "${disks[@]}" both.calco --json
json_true out '[(v["driver"], v["type"]) for v in d["result"]["volumes"]] == [("ext", "ext4"), ("raw", "jbd")]'
garbage copy/volume.img $((80 * 1024 * 1024))
garbage copy/log.img $((16 * 1024 * 1024))
run_calco restore both.calco copy/volume.img copy/log.img --confirm volume.img --confirm log.img --scrub none
cmp log.img copy/log.img
check_files copy
cmp now clean.manifest || fail "the files differ"
rm -r copy ./*.calco

# The power fails.
attach_both .
mount -o "journal_path=$log" "$volume" mnt
cp -r /usr/share/zoneinfo/Africa mnt
sync -f mnt
rm mnt/Africa/A*
xfs_io -x -c 'shutdown -f' mnt
umount mnt
detach_both
dumpe2fs -h volume.img 2>/dev/null | grep -q needs_recovery || fail "nothing is to be replayed: this proves nothing"
refused
refused --replay
# As advised
attach_both .
mount -o "journal_path=$log" "$volume" mnt
umount mnt
detach_both
run_calco capture volume.img alone.calco
