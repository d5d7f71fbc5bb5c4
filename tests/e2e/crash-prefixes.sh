#!/bin/bash
# Wherever a restore over another layout is cut short, the disk is dead for firmware and mounters (every prefix of its writes, torn
# writes, writes that overtook each other); libblkid is the judge.
# Hundreds of megabytes are copied and synced: in memory, where there is room.
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 2000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/crashlib.sh"

# check_restore IMAGE OLD
check_restore() {
	log_restore "$T/$1.calco" "$T/$2"
	cp --sparse=always "$T/$2" "$T/replayed"
	printf '%s over %s: ' "$1" "$2"
	"$TOOLS/crashcheck" "$T/log" "$T/replayed" "$T/$2" "$T/final" || fail "$1 over $2"
	run_calco verify "$T/$1.calco" --against "$T/replayed"
	check_state "$T/$2"
	rm "$T/log" "$T/replayed"
}

# check_two IMAGE OLD-1 OLD-2: all disks are disarmed before the first is written to, and armed after the last is
check_two() {
	cp --sparse=always "$T/$2" "$T/target-1"
	cp --sparse=always "$T/$3" "$T/target-2"
	"$TOOLS/writelog" "$T/$1.calco" "$T/two.bin" "$T/log" "$T/target-1" "$T/target-2" || fail "the logged restore failed"
	local n old
	for n in 1 2; do
		[ $n -eq 1 ] && old=$T/$2 || old=$T/$3
		cp --sparse=always "$old" "$T/replayed-$n"
		printf '%s, disk %s over %s: ' "$1" "$n" "$(basename "$old")"
		REPLAY_DISK=$((n - 1)) "$TOOLS/crashcheck" "$T/log" "$T/replayed-$n" "$old" "$T/target-$n" || fail "disk $n of $1"
	done
	run_calco verify "$T/$1.calco" --against "$T/replayed-1" --against "$T/replayed-2"
	rm "$T/log" "$T"/replayed-* "$T"/target-*
}

make_mbr "$T/mbr" one
make_gpt "$T/gpt" two
make_gpt "$T/gpt-older" three
make_fatdisk "$T/fat" four
make_extdisk "$T/ext" five
make_rawdisk "$T/raw"
make_brokengpt "$T/broken" six
make_gpt "$T/gpt-large" seven 100M
make_raidmember "$T/raid" eight
for name in mbr gpt fat ext raw raid; do
	run_calco capture "$T/$name" "$T/$name.calco"
done

check_restore gpt mbr
check_restore mbr gpt
check_restore gpt gpt-older
check_restore fat gpt
check_restore gpt fat
check_restore mbr ext
check_restore ext mbr
check_restore raw gpt
check_restore gpt raw
check_restore gpt broken
check_restore gpt gpt-large
check_restore mbr gpt-large
WRITELOG_SCRUB=none check_restore fat gpt-large
check_restore ext fat
check_restore raw ext
check_restore gpt raid
check_restore raid gpt
if command -v mkfs.btrfs >/dev/null; then
	make_btrfs "$T/btrfs" nine
	check_restore gpt btrfs
fi
if command -v xorriso >/dev/null; then
	make_iso "$T/iso" ten
	run_calco capture "$T/iso" "$T/iso.calco"
	check_restore gpt iso
	check_restore iso gpt
fi
run_calco capture "$T/gpt" "$T/mbr" "$T/two.calco"
check_two two mbr gpt-older
