#!/bin/bash
# A stale ext4 journal on the target is never replayed: neither the one that stood there when the image was restored over it, nor
# its leftovers after a real crash later. Two controls show that the same journals do harm where their bytes are left.
# shellcheck disable=SC2016 # what is in single quotes is for an inner shell
. "$(dirname "$0")/functions.sh"

requires_loop
requires unshare mke2fs e2fsck debugfs dumpe2fs python3 openssl dmesg
export T

# in_mount FILE OPTIONS COMMAND: run it with the file system of FILE mounted at $T/m, in a mount namespace of its own
in_mount() {
	FILE=$1 OPTIONS=$2 COMMAND=$3 unshare -m bash -euc '
		dev=$(losetup --find --show "$FILE")
		trap "umount \"$T/m\" 2>/dev/null || true; losetup -d $dev" EXIT
		before=$(dmesg | grep -cE "\($dev|\(${dev#/dev/}\): (recovery complete|[0-9]+ orphan)" || true)
		mount -t ext4 -o "$OPTIONS" "$dev" "$T/m"
		after=$(dmesg | grep -cE "\($dev|\(${dev#/dev/}\): (recovery complete|[0-9]+ orphan)" || true)
		echo $((after - before)) >"$T/recoveries"
		cd "$T/m"
		eval "$COMMAND"
		cd "$T"
		umount "$T/m"'
}

# commit_each FIRST LAST: one journal transaction for each number; home blocks are not written
cat >"$T/commit_each" <<'PYTHON'
import os, sys
for i in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    os.mkdir("made-%03d" % i)
    d = os.open(".", os.O_RDONLY)
    os.fsync(d)
    os.close(d)
PYTHON

# list_tree: names, modes, owners, sizes, times and sums of all there is
cat >"$T/list_tree" <<'SHELL'
find . -path ./lost+found -prune -o -printf '%p %y %m %U %G %s %T@ %l\n' | sort
find . -path ./lost+found -prune -o -type f -print0 | sort -z | xargs -0 -r sha256sum
SHELL

journal_start() {
	debugfs -R 'dump <8> '"$T/journal" "$1" 2>/dev/null
	python3 -c 'import sys; print(int.from_bytes(open(sys.argv[1], "rb").read(32)[28:32], "big"))' "$T/journal"
}

# splice_journal FROM TO FIRST: blocks FIRST... of the journal of one file system into the other of the same layout
splice_journal() {
	python3 - "$1" "$2" "$3" "$(debugfs -R 'blocks <8>' "$1" 2>/dev/null)" "$(debugfs -R 'blocks <8>' "$2" 2>/dev/null)" <<-'PYTHON'
		import sys
		a, b = sys.argv[4].split(), sys.argv[5].split()
		assert a == b, "the layouts differ"
		src, dst = open(sys.argv[1], "rb"), open(sys.argv[2], "r+b")
		for block in map(int, a[int(sys.argv[3]):]):
		    src.seek(block * 4096)
		    dst.seek(block * 4096)
		    dst.write(src.read(4096))
	PYTHON
}

# make_golden: a clean file system whose journal was in use
make_golden() {
	make_ext4 "$T/golden" 96M -b 4096 -J size=4 -E lazy_itable_init=0,lazy_journal_init=0
	in_mount "$T/golden" noatime 'mkdir more; cp -r "$T/tree/etc" more; for i in $(seq 200); do echo $i >more/$i; done; sync -f .; rm more/1*'
	in_mount "$T/golden" ro,noatime 'bash "$T/list_tree" >"$T/golden.list"'
	[ "$(journal_start "$T/golden")" = 0 ] || fail "the golden file system is not clean"
}

# restore_over TARGET SCRUB
restore_over() {
	run_calco restore "$T/golden.calco" "$1" --yes --confirm "$(confirm_of "$1")" --scrub "$2"
	[ "$(journal_start "$1")" = 0 ] || fail "the restored journal has a start"
	python3 -c 'import sys; sys.exit(any(open(sys.argv[1], "rb").read()[4096:]))' "$T/journal" || fail "the restored journal's body is not zero"
	dumpe2fs -h "$1" 2>/dev/null >"$T/super"
	expect_no_text "$T/super" 'needs_recovery'
	e2fsck -fn "$1" >"$T/out" 2>&1 || fail "e2fsck: $(cat "$T/out")"
	run_calco verify "$T/golden.calco" --against "$1"
}

# ---- a dirty journal stands on the target

full_journal() {
	cp --sparse=always "$T/golden" "$T/work"
	in_mount "$T/work" data=journal,commit=3000,noatime '
		for i in $(seq 60); do
			seq -f "stale %f" $((i * 5000)) $((i * 5000 + 900)) >>data/numbers
			mkdir "stale-$i"
			echo "stale $i" >etc/hostname
			rm -f "more/2$i"
			sync data/numbers etc/hostname .
		done
		cp --sparse=always "$T/work" "$T/dirty"'
	[ "$(journal_start "$T/dirty")" != 0 ] || fail "the target's journal is not dirty"
}

# Were the journal's bytes left, its replay would change the files.
control_replay() {
	cp --sparse=always "$T/golden" "$T/control"
	splice_journal "$T/dirty" "$T/control" 0
	debugfs -w -R 'feature needs_recovery' "$T/control" >/dev/null 2>&1
	in_mount "$T/control" noatime 'bash "$T/list_tree" >"$T/control.list" 2>/dev/null || true'
	[ "$(cat "$T/recoveries")" -gt 0 ] || fail "control: the kernel says nothing of the replay"
	! cmp -s "$T/golden.list" "$T/control.list" || fail "control: the stale journal does no harm"
}

test_dirty_target() {
	local scrub
	for scrub in none zero discard; do
		cp --sparse=always "$T/dirty" "$T/target"
		restore_over "$T/target" "$scrub"
		in_mount "$T/target" noatime 'bash "$T/list_tree" >"$T/target.list"'
		[ "$(cat "$T/recoveries")" = 0 ] || fail "the kernel replayed a journal"
		cmp "$T/golden.list" "$T/target.list" || fail "the files differ"
		e2fsck -fn "$T/target" >/dev/null 2>&1 || fail "e2fsck after the mount"
		rm "$T/target"
	done
}

# ---- leftovers in the journal's body that continue what is written after the restore

STALE=40 NEW=15
quiet=commit=3000,noatime,noinit_itable

# The same steps from the same state give the same transactions at the same places: those of the target go on where ours end.
matching_journal() {
	cp --sparse=always "$T/golden" "$T/work"
	in_mount "$T/work" $quiet "python3 '$T/commit_each' 1 $STALE; cp --sparse=always '$T/work' '$T/matching'"
}

# crash_after FILE: mount it, make some transactions, pull the plug: what was on the disk then is in $T/crashed
crash_after() {
	in_mount "$1" $quiet "python3 '$T/commit_each' 1 $NEW; cp --sparse=always '$1' '$T/crashed'"
	[ "$(journal_start "$T/crashed")" != 0 ] || fail "the crash left a clean journal"
}

made_in() {
	debugfs -R 'ls -p /' "$1" 2>/dev/null | grep -o 'made-[0-9]*' | sort -u | wc -l
}

control_leftovers() {
	cp --sparse=always "$T/golden" "$T/control"
	splice_journal "$T/matching" "$T/control" 1
	crash_after "$T/control"
	in_mount "$T/crashed" noatime :
	echo "control: $(made_in "$T/crashed") transactions replayed where $NEW were made"
	[ "$(made_in "$T/crashed")" -gt "$NEW" ] || fail "control: leftovers of the journal are not replayed"
}

check_recovered() {
	e2fsck -fn "$T/crashed" >"$T/out" 2>&1 || fail "e2fsck after $1: $(cat "$T/out")"
	[ "$(made_in "$T/crashed")" = "$NEW" ] || fail "$1 gives $(made_in "$T/crashed") folders instead of $NEW"
	in_mount "$T/crashed" ro,noatime 'bash "$T/list_tree" | grep -v "made-\|^\. " >"$T/crashed.list"'
	grep -v '^\. ' "$T/golden.list" | cmp - "$T/crashed.list" || fail "the files differ after $1"
}

test_leftovers() {
	local status=0
	cp --sparse=always "$T/matching" "$T/target"
	restore_over "$T/target" none
	crash_after "$T/target"
	cp --sparse=always "$T/crashed" "$T/again"
	in_mount "$T/crashed" noatime :
	[ "$(cat "$T/recoveries")" -gt 0 ] || fail "the kernel did not recover"
	check_recovered "a mount"
	mv "$T/again" "$T/crashed"
	e2fsck -fy "$T/crashed" >"$T/out" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -fy: $(cat "$T/out")"
	check_recovered "e2fsck"
}

mkdir "$T/m"
make_golden
run_calco capture "$T/golden" "$T/golden.calco"
full_journal
control_replay
test_dirty_target
matching_journal
control_leftovers
test_leftovers
