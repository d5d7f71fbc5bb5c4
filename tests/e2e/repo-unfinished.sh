#!/bin/bash
# What a living capture has under "new" is nobody's left-over, its leaf lists neither; what a full disk leaves is told, and how it goes or is used.
. "$(dirname "$0")/functions.sh"
requires openssl
cd "$T"

written() { find store/new -type f -printf '%f\n' | sort; }

openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 100M >disk.img || true
run_calco repo init store
"$CALCO" capture disk.img store::lab --raw all --threads 1 >said 2>&1 &
writer=$!
cleanup_fn sh -c "kill -9 $writer 2>/dev/null"
until [ -n "$(find store/new -name '*.pack')" ] || [ ! -d /proc/$writer ]; do :; done
kill -STOP $writer
written >was
[ "$(wc -l <was)" -eq 2 ] || fail "nothing to be seen: $(cat was)"
run_calco repo prune store --unfinished --json
json_true out 'd["result"]["unfinished_bytes"] == 0'
run_calco repo stats store
truncate -s 1M other.img
run_calco capture other.img store::other --raw all
written | cmp - was
kill -CONT $writer
wait $writer || fail "exit code $?: $(cat said)"
[ -z "$(written)" ] || fail "something stayed"
[ -f "store/leaves/$(basename store/packs/*.pack .pack)" ] || fail "the leaf lists were not kept"
run_calco verify store::lab --against disk.img

# No room: the hint says both ways on, and both are.
[ "$(id -u)" -eq 0 ] || exit 0
mkdir mnt
mount -t tmpfs -o size=30m tmpfs mnt || exit 0
cleanup_fn umount "$T/mnt"
run_calco repo init mnt/store
# full: the capture does not fit, and what was stored stays
full() {
	expect_exit 1 "$CALCO" capture disk.img mnt/store::lab --raw all
	expect_text err '[Nn]o space left' "^hint: .*same capture goes on with what was stored.*calco repo prune mnt/store --unfinished$"
	[ "$(du -sk mnt/store | cut -f 1)" -gt 20000 ] || fail "nothing stayed: $(find mnt/store -ls)"
}
full
full
run_calco repo prune mnt/store --unfinished
[ "$(du -sk mnt/store | cut -f 1)" -lt 1000 ] || fail "the room was not given back"
full
mount -o remount,size=150m mnt
run_calco capture disk.img mnt/store::lab --raw all --json
json_true out 'd["result"]["image_bytes"] < 85000000'
expect_text err 'that an interrupted capture had stored are used'
run_calco verify mnt/store::lab --against disk.img
run_calco repo check mnt/store --read-data
