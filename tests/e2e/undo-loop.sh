#!/bin/bash
# The record of a restore to a loop device is that of the file behind it: not of another file that gets the device's name later.
. "$(dirname "$0")/functions.sh"
requires_loop
requires mke2fs e2fsck openssl
cd "$T"

make_ext4 old.img 64M -L old
make_ext4 new.img 64M -L new
cp --sparse=always old.img before.img
cp --sparse=always old.img innocent.img
run_calco capture new.img new.calco
head_len=$(LC_ALL=C grep -abom 1 CHNK new.calco | head -n 1 | cut -d : -f 1)
loop=$(losetup --find --show old.img)
cleanup_fn sh -c "for f in old innocent; do losetup -nO NAME -j '$T/'\$f.img | xargs -r losetup -d; done"
status=0
head -c $((head_len + 50)) new.calco | "$CALCO" restore - "$loop" --state record --confirm $((64 << 20)) >out 2>err || status=$?
[ $status = 3 ] || fail "exit code $status: $(cat err)"
losetup -d "$loop"
cmp -s old.img before.img && fail "nothing was disarmed"

losetup "$loop" innocent.img 2>err || skip "$loop was taken by somebody else"
expect_exit 4 "$CALCO" undo "$loop" --state record
expect_text err "state record of another target \('loop device over .*/old.img'\)"
expect_exit 4 "$CALCO" restore new.calco "$loop" --state record --confirm $((64 << 20))
cmp innocent.img before.img || fail "the other file was written to"

# Nor of another file that gets the name of the first.
losetup -d "$loop"
mv old.img kept.img
cp --sparse=always before.img old.img
loop=$(losetup --find --show old.img)
expect_exit 4 "$CALCO" undo "$loop" --state record
expect_text err "is not what the restore was of: another file of this name"
cmp old.img before.img || fail "the other file was written to"
[ -s record ] || fail "the record is gone"
losetup -d "$loop"
mv kept.img old.img
loop=$(losetup --find --show innocent.img)

other=$(losetup --find --show old.img)
[ "$other" != "$loop" ] || fail "two files on one device"
run_calco undo "$other" --state record
cmp old.img before.img || fail "it is not as it was"
