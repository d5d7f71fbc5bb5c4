#!/bin/bash
# Round trip of a hybrid MBR beside a GPT: the GPT counts, and the MBR stays as it is.
. "$(dirname "$0")/rounds.sh"

disk=hybrid.img
truncate -s $((90 * 1024 * 1024 + 7 * 512)) $disk
sgdisk -a 1 -n 1:63:+50001 -t 1:EF00 -n 2:60007:+70001 -n 3:150001:0 $disk >/dev/null
sgdisk -h 1:2 $disk >/dev/null
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 fat16
FILES=odd part 2 ext4
part 3 raw
holds_deleted_data $disk
also_check() {
	sgdisk -v "$1" | grep -q 'No problems' || fail "sgdisk finds problems"
	sfdisk -Y dos -d "$1" 2>/dev/null | grep 'start=' | sed "s/$1//" >hybrid.now
	[ -s hybrid.was ] || cp hybrid.now hybrid.was
	cmp hybrid.now hybrid.was || fail "the hybrid MBR changed"
}
also_check $disk
[ "$(wc -l <hybrid.was)" -ge 3 ] || fail "this is no hybrid MBR"
round_trip $disk
run_calco info $disk.calco --json
json_true out 'd["result"]["disks"][0]["table"] == "gpt" and len(d["result"]["volumes"]) == 3'
