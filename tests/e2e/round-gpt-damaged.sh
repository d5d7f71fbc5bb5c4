#!/bin/bash
# A GPT with one damaged copy is read from the other, captured with a notice, and comes back with the very same damage.
. "$(dirname "$0")/rounds.sh"

make() {
	disk=$1
	truncate -s $((60 * 1024 * 1024 + 512)) "$disk"
	sgdisk -a 1 -n 1:63:+30001 -t 1:EF00 -n 2:40001:+70001 -c 2:root "$disk" >/dev/null
	: >"$disk.checks"
	part 1 fat12
	FILES=odd part 2 ext4
	checks=$(cat "$disk.checks")
	: >"$disk.checks"
}

# the damage comes after the file systems: nobody's tools read such a table. Restored, they are checked at their known places.
place() {
	case $1 in
	1) echo $((63 * 512)) $((30002 * 512)) ;;
	2) echo $((40001 * 512)) $((70002 * 512)) ;;
	esac
}
has_table() { false; }

# both_ends DISK: the table's bytes stay as they are
also_check() {
	cmp -n $((34 * 512)) "$1" "$source" || fail "the beginning differs"
	cmp -i $((60 * 1024 * 1024 - 32 * 512)) "$1" "$source" || fail "the end differs"
}

for at in 520 1100; do
	make primary-$at.img
	printf 'damage' | dd of="$disk" bs=1 seek=$at conv=notrunc status=none
	echo "$checks" >"$disk.checks"
	round_trip "$disk"
	run_calco capture "$disk" again-$at.calco
	expect_text err 'GPT|backup'
	run_calco info "$disk.calco" --json
	json_true out 'd["result"]["disks"][0]["table"] == "gpt" and len(d["result"]["volumes"]) == 2'
done

make backup.img
printf 'damage' | dd of="$disk" bs=1 seek=$((60 * 1024 * 1024 + 20)) conv=notrunc status=none
echo "$checks" >"$disk.checks"
round_trip "$disk"
