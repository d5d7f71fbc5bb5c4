#!/bin/bash
# Restores over other bootable disks, cut at sampled places: started under SeaBIOS and OVMF. CRASH_BOOTS: places for each pair (20)
. "$(dirname "$0")/../e2e/functions.sh"
. "$ROOT/tests/e2e/crashlib.sh"
. "$ROOT/tests/boot/bootlib.sh"

cuts=0 finished=0

# check_boots IMAGE OLD OLD-WORD WORD
check_boots() {
	local image=$T/$1.calco old=$T/$2 firmware step places
	for firmware in bios uefi; do
		boots_to "$firmware" "$old" "$3"
		boots_to "$firmware" "$T/$1" "$4"
	done
	log_restore "$image" "$old"
	for firmware in bios uefi; do
		boots_to "$firmware" "$T/final" "$4"
	done
	# Evenly over the writing, and every stage's border.
	places=$({ sample $((${CRASH_BOOTS:-20} - 6)) "$DISARMED" "$ARM"; sample 7 "$ARM" "$BOOT"; } | sort -nu)
	for step in $places; do
		cut_target "$old" "$step"
		for firmware in bios uefi; do
			boots_not "$firmware" "$T/target"
		done
		cuts=$((cuts + 1))
	done
	# In the last stage sector 0 comes last: until then BIOS does not start it. UEFI starts all of it as soon as the ESP is there.
	for step in $(seq $((BOOT + 1)) $((END - 2))); do
		cut_target "$old" "$step"
		boots_not bios "$T/target"
		boot uefi "$T/target"
		grep -qxE "marker-($4|fallback)" "$T/console.txt" || fail "uefi: step $step of the last stage"
		expect_no_text "$T/console.txt" "^marker-$3\$"
		cuts=$((cuts + 1))
	done
	for step in $(sample 3 "$DISARMED" "$BOOT"); do
		rerun_from "$image" "$old" "$step" synced
		for firmware in bios uefi; do
			boots_to "$firmware" "$T/target" "$4"
		done
		finished=$((finished + 1))
	done
	echo "$1 over $2: disarmed $DISARMED arm $ARM boot $BOOT end $END; so far $cuts cuts, $finished reruns, $boots boots"
}

make_fallbacks
make_boot_mbr "$T/mbr" one
make_boot_gpt "$T/gpt" two
make_boot_gpt "$T/gpt-older" three
for name in mbr gpt; do
	run_calco capture "$T/$name" "$T/$name.calco"
done
check_boots gpt mbr one two
check_boots mbr gpt two one
check_boots gpt gpt-older three two
