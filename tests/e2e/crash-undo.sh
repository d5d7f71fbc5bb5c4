#!/bin/bash
# Wherever a restore is cut before its first data, undo brings back the old disk to the byte; later it leaves the disk alone and says so.
# CRASH_UNDOS: how many places for each pair of layouts
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 2000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/crashlib.sh"

undone=0 kept=0

# cut_at OLD STEP RECORD: the target and its record as the restore left them
cut_at() {
	cut_target "$T/$1" "$2"
	"$TOOLS/replay" state "$T/log" "$2" "$3" "$T/state.bin"
}

check_undos() {
	local n=${CRASH_UNDOS:-6} step which=synced
	log_restore "$T/$1.calco" "$T/$2"
	for step in $(sample "$n" 1 $((DISARMED - 1))); do
		cut_at "$2" "$step" "$which"
		run_calco undo "$T/target" --state "$T/state.bin"
		cmp "$T/target" "$T/$2" || fail "$1 over $2, cut at $step of $END: the old disk is not back"
		[ ! -e "$T/state.bin" ] || fail "the record is still there"
		[ "$which" = latest ] && which=synced || which=latest
		undone=$((undone + 1))
	done
	# The old bytes are back and the disk is whole: it can be restored over again.
	run_calco restore "$T/$1.calco" "$T/target" --state "$T/state.bin" --confirm target
	cmp "$T/target" "$T/final"
	for step in $(((DISARMED + ARM) / 2)) "$ARM" "$BOOT" $((END - 1)); do
		cut_at "$2" "$step" synced
		cp --sparse=always "$T/target" "$T/left"
		expect_exit 4 "$CALCO" undo "$T/target" --state "$T/state.bin"
		expect_text "$T/err" 'nothing of .* can be put back|was finished'
		cmp "$T/target" "$T/left"
		rerun "$T/$1.calco" "$T/$2" >"$T/said"
		kept=$((kept + 1))
	done
}

make_mbr "$T/mbr" one
make_gpt "$T/gpt" two
make_gpt "$T/gpt-older" three
make_fatdisk "$T/fat" four
make_extdisk "$T/ext" five
for name in mbr gpt fat ext; do
	run_calco capture "$T/$name" "$T/$name.calco"
done
check_undos gpt mbr
check_undos mbr gpt
check_undos gpt gpt-older
check_undos fat gpt
check_undos ext fat
check_undos mbr ext
echo "$undone undone, $kept left alone"
