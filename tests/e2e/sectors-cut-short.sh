#!/bin/bash
# A restore to sectors of another size that fails at any of its writes: the ESP that is made anew does not start, the same command completes the disk to
# the same bytes, and before data was written undo gives back what was there.
. "$(dirname "$0")/rounds.sh"
requires mtools partx
FAULTS=$TOOLS/faults.so
[ -e "$FAULTS" ] || skip "faults.so is not built"

truncate -s 80M disk.img
sgdisk -n 1:2048:+34M -t 1:EF00 -n 2:0:+24M -n 3:0:+8M -t 3:8200 disk.img >/dev/null
mkfs.fat -F 16 -s 2 -n EFI -C esp $((34 * 1024)) >/dev/null
mmd -i esp ::/EFI ::/EFI/BOOT
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 3000000 >loader || true
mcopy -i esp loader ::/EFI/BOOT/BOOTX64.EFI
put_partition disk.img 1 esp
make_ext4 part 24M -b 4096
put_partition disk.img 2 part
make_swap part2 8M
put_partition disk.img 3 part2
run_calco capture disk.img disk.calco

# What the target was before: a disk with sectors of 4096 and file systems in other places.
truncate -s 90M old.img
attach old.img --sector-size 4096
sgdisk -n 1:0:+20M -n 2:0:+30M "$dev" >/dev/null
partx -a "$dev" 2>/dev/null || partx -u "$dev"
mke2fs -q -F -t ext4 "${dev}p1"
mkfs.fat -F 16 -s 1 "${dev}p2" >/dev/null
partx -d "$dev"
sync "$dev"
detach "$dev"
printf 'OLD BOOT CODE' | dd of=old.img conv=notrunc status=none

# One thread, so that the n-th write is the same one each time.
restore() {
	"$CALCO" restore disk.calco target.img --sector-size 4096 --confirm target.img --state record --threads 1 --progress none >out 2>err
}

cp --sparse=always old.img target.img
CALCO_FAULT=write:1000000 CALCO_FAULT_COUNT=$T/count LD_PRELOAD=$FAULTS restore || fail "the whole restore"
cp --sparse=always target.img final.img
nr=$(cat count)
[ "$nr" -gt 40 ] || fail "only $nr writes"
run_calco verify disk.calco --against final.img

undone=0
# Many of them tell the plan or go to the state record; the target is cleared somewhere in the middle, and gets its last superblocks at the end.
steps=$(awk -v n="$nr" 'BEGIN { for (i = 1; i < n - 120; i += 60) print i; for (i = n - 120; i < n - 12; i += 12) print i; for (i = n - 12; i <= n; i++) print i }')
for step in $steps; do
	rm -f record
	cp --sparse=always old.img target.img
	status=0
	CALCO_FAULT=write:$step LD_PRELOAD=$FAULTS restore || status=$?
	# A write of progress or of the last record may fail without harm.
	[ $status -ne 0 ] || { cmp target.img final.img || fail "write $step failed unnoticed"; continue; }
	if ! cmp -s target.img old.img; then
		if [ "$step" -lt $((nr - 8)) ]; then
			! blkid -p -O 1048576 target.img >found 2>/dev/null || { cat found >&2; fail "write $step: the ESP is recognised"; }
		fi
		cp --sparse=always target.img cut.img
		cp record cut.record
		if "$CALCO" undo target.img --state record >out 2>err; then
			cmp target.img old.img || fail "write $step: undo gives something else back"
			undone=$((undone + 1))
		fi
		mv cut.img target.img
		mv cut.record record
	fi
	restore || { cat err >&2; fail "write $step: the same command does not complete it"; }
	cmp target.img final.img || fail "write $step: a rerun makes another disk"
done
[ $undone -ge 1 ] || fail "undo was never possible"
