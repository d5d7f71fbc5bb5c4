#!/bin/bash
# A target that is too small by one sector is refused before the first write, with the exact shortage.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
size=$((40 * 1024 * 1024 + 512))
truncate -s $size $disk
sgdisk -a 1 -n 1:63:+60001 $disk >/dev/null
FILES=odd GONE=1 part 1 ext4
run_calco capture $disk golden.calco

# too_small TARGET SHORTAGE CONFIRMATION
too_small() {
	local was
	was=$(hash_of "$1")
	expect_exit 4 "$CALCO" restore golden.calco "$1" --confirm "$3" --json
	json_true out "d['error']['reason'] == 'too-small'"
	expect_text out "[ (]$2 bytes?\\)? smaller"
	cat golden.calco | expect_exit 4 "$CALCO" restore - "$1" --confirm "$3"
	expect_text err " $2 too few for"
	[ "$(hash_of "$1")" = "$was" ] || fail "a target that is too small was written"
}

garbage small.img $((size - 512))
too_small small.img 512 small.img
garbage small.img $((size - 1))
too_small small.img 1 small.img
garbage small.img 1000
too_small small.img $((size - 1000)) small.img
garbage small.img $((size - 512))
attach small.img
too_small "$dev" 512 $((size - 512))
detach "$dev"
