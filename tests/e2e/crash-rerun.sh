#!/bin/bash
# A restore that was cut short is finished by the same command, from wherever it was cut: the disk becomes what an undisturbed restore makes,
# and the state record keeps the bytes of the disk as it was before the first attempt.
# CRASH_RERUNS: how many places for each pair of layouts
# Hundreds of megabytes are copied and synced: in memory, where there is room.
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 2000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/crashlib.sh"

reruns=0

# cut_twice IMAGE OLD STEP PART: cut at STEP, cut the rerun after one PARTth of its steps, and finish with a third attempt
cut_twice() {
	local step
	cut_target "$2" "$3"
	"$TOOLS/replay" state "$T/log" "$3" synced "$T/state.bin"
	cp --sparse=always "$T/target" "$T/half"
	"$TOOLS/writelog" "$1" "$T/state.bin" "$T/log-2" "$T/target" || fail "a logged rerun failed"
	cmp "$T/target" "$T/final" || fail "a logged rerun makes another disk"
	cp --sparse=always "$T/half" "$T/target"
	step=$(($("$TOOLS/replay" list "$T/log-2" | wc -l) / $4))
	"$TOOLS/replay" apply "$T/log-2" "$T/target" 0 "$step"
	"$TOOLS/replay" state "$T/log-2" "$step" synced "$T/state.bin"
	rerun "$1" "$2" >"$T/said"
	cmp "$T/said" "$T/uninterrupted" || fail "cut twice: the record grew"
	rm "$T/log-2" "$T/half"
	reruns=$((reruns + 2))
}

# check_other_image OLD FIRST SECOND: another image finishes what the first began
check_other_image() {
	log_restore "$T/$2.calco" "$T/$1"
	cp --sparse=always "$T/$1" "$T/target"
	rm "$T/state.bin"
	run_calco restore "$T/$3.calco" "$T/target" --state "$T/state.bin" --confirm target
	cp --sparse=always "$T/target" "$T/final"
	rerun_from "$T/$3.calco" "$T/$1" $(((ARM + END) / 2)) synced
	reruns=$((reruns + 1))
}

# check_reruns IMAGE OLD
check_reruns() {
	local image=$T/$1.calco old=$T/$2 n=${CRASH_RERUNS:-2} which=synced step
	log_restore "$image" "$old"
	check_state "$old" >"$T/uninterrupted"
	for step in $(sample "$n" 1 "$DISARMED") $(sample "$n" "$DISARMED" "$ARM") $(sample "$n" "$ARM" $((END - 1))); do
		rerun_from "$image" "$old" "$step" "$which" >"$T/said"
		# The first attempt saw all that had to be saved; the second adds nothing.
		[ "$step" -lt "$DISARMED" ] || cmp "$T/said" "$T/uninterrupted" || fail "cut at $step of $END: the record grew"
		reruns=$((reruns + 1))
		[ "$which" = latest ] && which=synced || which=latest
	done
	# Cut in the middle of a write; cut when all was written and only the record was not finished.
	rerun_from "$image" "$old" $(((ARM + BOOT) / 2)) synced 512
	cut_target "$old" "$END"
	"$TOOLS/replay" state "$T/log" $((END - 1)) synced "$T/state.bin"
	rerun "$image" "$old" >/dev/null
	reruns=$((reruns + 2))
	cut_twice "$image" "$old" $((ARM + 2)) 3
	cut_twice "$image" "$old" $(((DISARMED + ARM) / 2)) 2
	run_calco verify "$image" --against "$T/target"
	echo "$1 over $2: $(cat "$T/uninterrupted")"
}

# check_two IMAGE OLD-1 OLD-2: two disks, with a record for each; the later reruns read the image from standard input
check_two() {
	local n step image old=("$T/$2" "$T/$3") record=("$T/two.bin" "$T/two.bin.2")
	cp --sparse=always "${old[0]}" "$T/target-0"
	cp --sparse=always "${old[1]}" "$T/target-1"
	"$TOOLS/writelog" "$T/$1.calco" "$T/two.bin" "$T/log" "$T/target-0" "$T/target-1" || fail "the logged restore failed"
	# The targets stay the files that they are: a record is not of another one of the name.
	cp --sparse=always "$T/target-0" "$T/final-0"
	cp --sparse=always "$T/target-1" "$T/final-1"
	read -r DISARMED ARM BOOT END < <("$TOOLS/replay" points "$T/log")
	for step in $((DISARMED / 2)) $(((DISARMED + ARM) / 2)) $((ARM + 9)) "$BOOT" $((END - 3)); do
		for n in 0 1; do
			cp --sparse=always "${old[n]}" "$T/target-$n"
			REPLAY_DISK=$n "$TOOLS/replay" apply "$T/log" "$T/target-$n" 0 "$step"
			REPLAY_DISK=$n "$TOOLS/replay" state "$T/log" "$step" synced "${record[n]}"
		done
		image=$T/$1.calco
		[ "$step" -lt "$BOOT" ] || image=-
		run_calco restore "$image" "$T/target-0" "$T/target-1" --state "$T/two.bin" --confirm target-0 --confirm target-1 <"$T/$1.calco"
		for n in 0 1; do
			cmp "$T/target-$n" "$T/final-$n" || fail "cut at $step: disk $n"
			python3 "$ROOT/tests/e2e/state_record.py" "${record[n]}" "${old[n]}" || fail "the state record of disk $n"
		done
		reruns=$((reruns + 1))
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
make_gpt "$T/gpt-large" six 100M
truncate -s "$DISK_SIZE" "$T/empty"

check_reruns gpt mbr
check_reruns mbr gpt
check_reruns gpt gpt-older
check_reruns fat gpt
check_reruns ext fat
check_reruns gpt gpt-large
check_reruns mbr empty
check_other_image mbr fat gpt
check_other_image gpt mbr ext
run_calco capture "$T/gpt" "$T/mbr" "$T/two.calco"
check_two two mbr gpt-older
echo "$reruns reruns"
