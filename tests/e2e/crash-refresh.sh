#!/bin/bash
# A refresh that is cut short anywhere leaves a dead disk, which the same command completes, and undo where nothing was written yet.
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 2000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/crashlib.sh"
export WRITELOG_REFRESH=1

# check_refresh IMAGE OLD: every prefix of its writes, torn and reordered ones, by libblkid; and some of them completed
check_refresh() {
	local step
	log_restore "$T/$1.calco" "$T/$2"
	cp --sparse=always "$T/$2" "$T/replayed"
	printf '%s over %s: ' "$1" "$2"
	"$TOOLS/crashcheck" "$T/log" "$T/replayed" "$T/$2" "$T/final" || fail "$1 over $2"
	run_calco verify "$T/$1.calco" --against "$T/replayed"
	check_state "$T/$2"
	for step in $(sample 2 1 "$DISARMED") $(sample 2 "$DISARMED" "$ARM") $(sample 2 "$ARM" $((END - 1))); do
		cut_target "$T/$2" "$step"
		"$TOOLS/replay" state "$T/log" "$step" synced "$T/state.bin"
		run_calco refresh "$T/$1.calco" "$T/target" --state "$T/state.bin" --confirm target
		run_calco verify "$T/$1.calco" --against "$T/target"
	done
	# While it clears, all that was taken can be put back.
	cut_target "$T/$2" $((DISARMED - 1))
	"$TOOLS/replay" state "$T/log" $((DISARMED - 1)) synced "$T/state.bin"
	run_calco undo "$T/target" --state "$T/state.bin"
	cmp "$T/$2" "$T/target" || fail "undo of a refresh of $2 to $1"
	rm "$T/log" "$T/replayed"
}

make_gpt "$T/gpt" two
make_gpt "$T/used" three
make_mbr "$T/mbr" one
for name in gpt mbr; do
	run_calco capture "$T/$name" "$T/$name.calco"
done
check_refresh gpt used
check_refresh gpt mbr
check_refresh mbr gpt
