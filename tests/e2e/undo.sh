#!/bin/bash
# A restore that was cut short is undone: to the byte when nothing was written, partition by partition when something was; never where
# anything was written since, and never on another disk.
. "$(dirname "$0")/functions.sh"
cd "$T"

truncate -s 1G old.img
sgdisk -n 1:0:+40M -t 1:EF00 -c 1:EFI -n 2:0:+300M -c 2:root -n 3:0:0 -c 3:home old.img >/dev/null
printf 'BOOT CODE' | dd of=old.img conv=notrunc status=none
requires partx mkfs.fat mmd mcopy mke2fs openssl blkid e2fsck
make_fat part 40M && put_partition old.img 1 part && rm part
make_ext4 part 300M && put_partition old.img 2 part && rm part
make_ext4 part 600M -L home && put_partition old.img 3 part && rm part

truncate -s 700M other.img
make_ext4 other.img 700M -L other
sha256sum old.img >old.sum
run_calco capture other.img image.calco
head_len=$(LC_ALL=C grep -abom 1 CHNK image.calco | head -n 1 | cut -d : -f 1)
second=$(LC_ALL=C grep -abo CHNK image.calco | sed -n 3p | cut -d : -f 1)
[ -n "$head_len" ] && [ -n "$second" ] || fail "where are the records?"

# cut BYTES: a restore over target.img, fresh from old.img, that gets only so much of the image
cut_restore() {
	local status=0
	cp --sparse=always old.img target.img
	rm -f record
	head -c "$1" image.calco | "$CALCO" restore - target.img --state record --confirm target.img >out 2>err || status=$?
	[ $status = 3 ] || fail "exit code $status of a restore that was cut short"
	[ -s record ] || fail "no record"
	cmp -s old.img target.img && fail "nothing was disarmed"
	return 0
}

# Nothing written: everything comes back, and the record goes.
cut_restore $((head_len + 50))
[ "$(dd if=target.img bs=1 count=9 status=none)" != 'BOOT CODE' ] || fail "the boot code is still there"
cp --sparse=always target.img left.img
run_calco undo target.img --state record --dry-run --json
json_true out 'all(p["why"] is None for p in d["result"]["parts"]) and d["result"]["complete"] and d["result"]["dry_run"] and [p["partition"] for p in d["result"]["parts"]] == [None, 1, 2, 3]'
cmp left.img target.img
run_calco undo target.img --state record
expect_text out 'as it was before' "partition 2 .*yes.*ext4 'root'"
sha256sum target.img | cut -d ' ' -f 1 | cmp - <(cut -d ' ' -f 1 old.sum)
[ ! -e record ] || fail "the record is still there"
expect_exit 2 "$CALCO" undo target.img --state record
expect_text err 'no state record'

# Without a record of any restore, in words and not as a path only.
truncate -s 1M never.img
expect_exit 4 "$CALCO" undo never.img
expect_text err "^calco: there is nothing to undo on 'never.img': this machine has no record" '^hint: .*calco undo --state FILE never.img'
expect_exit 4 "$CALCO" undo never.img --json
json_true out 'd["error"]["reason"] == "no-record"'

# Something written: what the restore had not come to is had back, the rest is named.
cut_restore "$second"
expect_exit 5 "$CALCO" undo target.img --state record --json
json_true out '[p["partition"] for p in d["result"]["parts"] if p["put_back"]] == [3]'
json_true out 'not d["result"]["complete"] and all(p["why"] for p in d["result"]["parts"] if not p["put_back"])'
get_partition target.img 3 now
get_partition old.img 3 before
cmp now before
e2fsck -fn now >fsck || fail "e2fsck: $(cat fsck)"
[ "$(blkid -p -O $((1 << 20)) -s TYPE -o value target.img || true)" = "" ] || fail "a part that was written to is back"
[ -s record ] || fail "the record of the rest is gone"
# The restore itself can still be completed, whatever was put back.
run_calco restore image.calco target.img --state record --confirm target.img
run_calco verify image.calco --against target.img
expect_exit 4 "$CALCO" undo target.img --state record --json
json_true out 'd["error"]["reason"] == "finished"'

# A dry run over what a cut restore left finds nothing to refuse, and leaves the record and the target alone.
cut_restore "$second"
cp --sparse=always target.img left.img
cp record record.before
run_calco restore image.calco target.img --state record --dry-run
cmp record record.before
cmp target.img left.img

# When all is written, and the old table with it: the parts are still told as they were.
cut_restore $(($(stat -c %s image.calco) - 100))
expect_exit 4 "$CALCO" undo target.img --state record --json
json_true out '[(p["partition"], p["put_back"]) for p in d["result"]["parts"]] == [(None, False), (1, False), (2, False), (3, False)]'

# Twice says so, and still nothing is claimed.
cut_restore "$second"
expect_exit 5 "$CALCO" undo target.img --state record
expect_exit 5 "$CALCO" undo target.img --state record --json
json_true out 'd["result"]["back_bytes"] == 0'

# A blank target: nothing had to be saved, but data was written.
truncate -s 1G blank.img
rm record
status=0
head -c "$second" image.calco | "$CALCO" restore - blank.img --state record --yes >out 2>err || status=$?
[ $status = 3 ] || fail "exit code $status"
cmp -s blank.img <(head -c 1G /dev/zero) && fail "nothing was written"
for dry in --dry-run ""; do
	expect_exit 4 "$CALCO" undo blank.img --state record $dry --json
	json_true out 'not d["result"]["complete"] and d["error"]["reason"] == "written"'
	[ -s record ] || fail "the record is gone"
done
run_calco restore image.calco blank.img --state record --yes
# And one to which nothing was done at all.
truncate -s 1G blank2.img
status=0
head -c $((head_len + 50)) image.calco | "$CALCO" restore - blank2.img --state record --yes >out 2>err || status=$?
run_calco undo blank2.img --state record --dry-run
expect_text out 'as it was before the restore: nothing had to be put back; nothing was written'
run_calco undo blank2.img --state record
[ ! -e record ] || fail "the record is still there"

# Somebody wrote there since.
cut_restore $((head_len + 50))
root_start=$(partition_place target.img 2 | cut -d ' ' -f 1)
printf 'mine' | dd of=target.img bs=1 seek=$((root_start + 1024 + 56)) conv=notrunc status=none
cp --sparse=always target.img left.img
expect_exit 5 "$CALCO" undo target.img --state record --json
json_true out '[p["partition"] for p in d["result"]["parts"] if not p["put_back"]] == [2]'
get_partition target.img 2 now
get_partition left.img 2 before
cmp now before

# The disk was given up and used anew: neither cleared for what the record has of long ago, nor put back over what is new.
cut_restore $((head_len + 50))
sgdisk -Z target.img >/dev/null 2>&1 || true
sgdisk -n 1:0:+40M -n 2:0:+300M -n 3:0:0 target.img >/dev/null 2>&1
make_ext4 part 300M -L new && put_partition target.img 2 part && rm part
cp --sparse=always target.img left.img
cp record record.before
run_calco restore image.calco target.img --state record --dry-run
expect_text err "state record of an unfinished restore to 'target.img' would be set aside: that one was used since"
cmp record record.before
cmp target.img left.img
"$CALCO" undo target.img --state record >out 2>err || true
get_partition target.img 2 now
get_partition left.img 2 before
cmp now before

# begin_again: one more restore that is cut before it writes: the record of the first is set aside, and undo gives back what stood there last
begin_again() {
	local status=0
	cp --sparse=always target.img left.img
	cp record record.before
	rm -f record.old-*
	head -c $((head_len + 50)) image.calco | "$CALCO" restore - target.img --state record --confirm target.img >out 2>err || status=$?
	[ $status = 3 ] || fail "exit code $status of a second restore that was cut short"
	expect_text err "state record of an unfinished restore to 'target.img' was set aside as '.*record.old-1': "
	cmp record.old-1 record.before
	run_calco undo target.img --state record
	cmp target.img left.img || fail "the disk is not as it was before the second restore"
}
cut_restore $((head_len + 50))
sgdisk -Z target.img >/dev/null 2>&1 || true
sgdisk -n 1:0:+40M -n 2:0:+300M -n 3:0:0 target.img >/dev/null 2>&1
make_ext4 part 300M -L new && put_partition target.img 2 part && rm part
begin_again

# The same after another disk was copied over what a restore had left, however far that had come; and after the disk was cleared.
truncate -s 1G another.img
make_ext4 another.img 1G -L another
for cut in $((head_len + 50)) "$second" $(($(stat -c %s image.calco) - 100)); do
	cut_restore "$cut"
	cp --sparse=always another.img target.img
	expect_exit 4 "$CALCO" undo target.img --state record --json
	json_true out 'd["error"]["reason"] == "state" and "used anew" in d["error"]["message"]'
	cmp target.img another.img || fail "undo wrote to another disk"
	begin_again
	cut_restore "$cut"
	truncate -s 0 target.img
	truncate -s 1G target.img
	expect_exit 4 "$CALCO" undo target.img --state record
	cmp -n $((1 << 30)) target.img /dev/zero || fail "undo wrote to a blank disk"
	[ -s record ] || fail "the record is gone"
done
# What the second of two cut restores takes is all of another disk: undo would not have it if the first one's record had gone on.
truncate -s 1G target.img
rm -f record record.old-*
status=0
head -c "$second" image.calco | "$CALCO" restore - target.img --state record --yes >out 2>err || status=$?
[ $status = 3 ] || fail "exit code $status"
cp --sparse=always another.img target.img
begin_again

# Another file got the name.
for made in blank copy; do
	cut_restore $((head_len + 50))
	cp --sparse=always target.img copy.img
	truncate -s 1G blank.new
	[ $made = copy ] || mv blank.new copy.img
	mv copy.img target.img
	cp --sparse=always target.img left.img
	for dry in --dry-run ""; do
		expect_exit 4 "$CALCO" undo target.img --state record $dry
		expect_text err "^calco: 'target.img' is not what the restore was of: another file of this name" '^hint: .*calco undo --forget'
	done
	cmp target.img left.img || fail "undo wrote to another file"
	[ -s record ] || fail "the record is gone"
done
rm -f record.old-*
run_calco restore image.calco target.img --state record --confirm target.img --json
json_true out 'd["result"]["set_aside"] == "record.old-1"'
rm -f record record.old-*

# Another disk, a record that is none, a damaged one, a disk in use.
cut_restore $((head_len + 50))
truncate -s 1G innocent.img
expect_exit 4 "$CALCO" undo innocent.img --state record
expect_text err 'another target'
truncate -s 1025M target.img
expect_exit 4 "$CALCO" undo target.img --state record
truncate -s 1G target.img
expect_exit 4 "$CALCO" undo target.img --state image.calco
# In use, as far as this machine has loop devices: there is no target, and no other disk to choose.
if [ "$(id -u)" -eq 0 ] && loop=$(losetup -f --show target.img 2>/dev/null); then
	cleanup_fn losetup -d "$loop"
	expect_exit 4 "$CALCO" undo target.img --state record
	expect_text err "target.img' cannot be written to: $loop is attached to it" '^hint: detach it first \(losetup -d\)$'
	losetup -d "$loop"
fi
cp record torn
printf 'x' | dd of=torn bs=1 seek=30 conv=notrunc status=none
expect_exit 3 "$CALCO" undo target.img --state torn
expect_exit 2 "$CALCO" undo missing.img --state record
expect_exit 2 "$CALCO" undo
run_calco undo target.img --state record
sha256sum target.img | cut -d ' ' -f 1 | cmp - <(cut -d ' ' -f 1 old.sum)

# A file that a cut restore left is completed without a question; another one that got its name is not.
truncate -s 1G later.img
rm -f record
head -c "$second" image.calco | "$CALCO" restore - later.img --state record --yes >out 2>err && fail "a cut image is no success"
cp later.img other.img
rm later.img
mv other.img later.img
expect_exit 4 "$CALCO" restore image.calco later.img --state record --json
json_true out 'd["error"]["reason"] == "not-confirmed"'

# A file that is made: the record of one of its name that is gone is set aside. Wherever it fails, the same command completes it, without a question.
rm -f later.img record.old-*
run_calco restore image.calco later.img --state record --json
json_true out 'd["result"]["set_aside"] == "record.old-1"'
run_calco verify image.calco --against later.img
if [ -e "${TOOLS:-}/faults.so" ]; then
	count() {
		rm -f later.img record record.old-*
		CALCO_FAULT=write:1000000 CALCO_FAULT_COUNT=$T/count LD_PRELOAD=$TOOLS/faults.so run_calco restore image.calco later.img --state record --threads 1 --progress none
		cat count
	}
	nr=$(count)
	[ "$nr" -gt 20 ] || fail "only $nr writes"
	for step in 1 2 3 4 8 $((nr / 3)) $((nr / 2)) $((nr * 3 / 4)) $(seq $((nr - 8)) $((nr - 1))); do
		rm -f later.img record
		CALCO_FAULT=write:$step LD_PRELOAD=$TOOLS/faults.so "$CALCO" restore image.calco later.img --state record --threads 1 --progress none >out 2>err || true
		"$CALCO" restore image.calco later.img --state record >out 2>err || { cat err >&2; fail "write $step: the same command does not complete it"; }
		[ ! -e record.old-1 ] || fail "write $step: its own record was set aside"
	done
	run_calco verify image.calco --against later.img
fi
