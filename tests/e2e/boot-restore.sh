#!/bin/bash
# A golden disk restored over another bootable one starts under BIOS and UEFI; cut short, it starts under neither, says why, and the firmware
# goes on to the next disk; after a rerun it starts. tests/boot/crash-boot.sh does this thoroughly.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/crashlib.sh"
. "$ROOT/tests/boot/bootlib.sh"

make_fallbacks
make_boot_mbr "$T/old" one
make_boot_gpt "$T/golden" two
boots_to bios "$T/old" one
run_calco capture "$T/golden" "$T/golden.calco"
log_restore "$T/golden.calco" "$T/old"
boots_to bios "$T/final" two
boots_to uefi "$T/final" two

cut_target "$T/old" $(((DISARMED + ARM) / 2))
boots_not bios "$T/target"
boots_not uefi "$T/target"
rerun_from "$T/golden.calco" "$T/old" $(((DISARMED + ARM) / 2)) synced
boots_to bios "$T/target" two
echo "$boots boots"
