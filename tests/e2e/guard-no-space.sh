#!/bin/bash
# No room for a plain file: refused before it is made, with the exact shortage; holes and all-zero chunks take no room.
. "$(dirname "$0")/rounds.sh"

truncate -s 64M golden.img
random_bytes 8388608 | dd of=golden.img bs=1M conv=notrunc status=none iflag=fullblock
run_calco capture golden.img golden.calco --raw gaps
mount -t tmpfs -o size=7m tmpfs mnt

# no_space TARGET...: refused, nothing is made
no_space() {
	local free
	free=$(($(stat -f -c '%a * %S' mnt)))
	expect_exit 4 "$CALCO" restore "$image" "$@" --json
	json_true out 'd["error"]["reason"] == "no-space"'
	expect_text out "$free bytes free, $((need - free)) too few for the $need bytes"
	[ "$(ls mnt)" = "$there" ] || fail "left behind: $(ls mnt)"
}

image=golden.calco need=8388608 there=
no_space mnt/new.img
no_space mnt/new.img --dry-run
there=empty.img
: >mnt/empty.img
no_space mnt/empty.img
truncate -s 64M mnt/empty.img
no_space mnt/empty.img --yes
[ "$(stat -c %b mnt/empty.img)" = 0 ] || fail "a refused restore wrote"
rm mnt/empty.img

# A pipe does not tell; it ends where the room ends.
truncate -s 64M mnt/x.img
cat golden.calco | expect_exit 1 "$CALCO" restore - mnt/x.img --yes --state state
expect_text err 'No space left' '^hint: make room there, then the same command finishes it'
mount -o remount,size=9m mnt
cat golden.calco | expect_exit 0 "$CALCO" restore - mnt/x.img --confirm x.img --state state
cmp mnt/x.img golden.img || fail "another disk after the same command"
rm mnt/x.img

# Room for every byte, and not one block more.
mount -o remount,size=8m mnt
run_calco restore golden.calco mnt/new.img
cmp mnt/new.img golden.img || fail "another disk"
# What the file has already is not needed again.
run_calco restore golden.calco mnt/new.img --confirm new.img
rm mnt/new.img

# Two targets share the room, one volume takes only its own.
mount -o remount,size=12m mnt
cp --sparse=always golden.img second.img
run_calco capture golden.img second.img both.calco --raw gaps
image=both.calco need=16777216 there=
no_space mnt/one.img mnt/two.img
run_calco restore both.calco mnt/one.img two.img
rm mnt/one.img two.img

disk=disk.img
truncate -s 64M disk.img
sgdisk -n 1:2048:+16M -n 2:0:+16M disk.img >/dev/null
random_bytes 15000000 | dd of=disk.img bs=1M seek=1 conv=notrunc status=none iflag=fullblock
random_bytes 5000000 | dd of=disk.img bs=1M seek=17 conv=notrunc status=none iflag=fullblock
run_calco capture disk.img disk.calco --raw all
expect_exit 4 "$CALCO" restore disk.calco mnt/new.img
expect_exit 4 "$CALCO" restore disk.calco mnt/new.img --only 1
run_calco restore disk.calco mnt/new.img --only 2
