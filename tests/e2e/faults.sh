#!/bin/bash
# Each read, write, flush and allocation of each job fails once: never a crash, a hang, or success with wrong data; see tests/faults.py.
# FAULTS: how many calls of each kind, evenly spread (16); 0: all of them
. "$(dirname "$0")/functions.sh"
[ -f "$TOOLS/faults.so" ] || skip "faults.so is not built"
requires sgdisk mkfs.fat mke2fs python3
cd "$T"

mkdir files
for n in $(seq 40); do openssl enc -aes-128-ctr -K "0$n" -iv 00 -in /dev/zero 2>/dev/null | head -c $((n * 1000)) >"files/$n" || true; done
truncate -s 6M disk.img old.img
sgdisk -a 1 -n 1:34:4129 -n 2:4130:10000 disk.img >/dev/null
truncate -s 2M part
mkfs.fat -F 12 part >/dev/null
put_partition disk.img 1 part
rm part
truncate -s 2900K part
mke2fs -q -F -t ext4 -d files part
put_partition disk.img 2 part
mke2fs -q -F -t ext4 -L old -d files old.img
run_calco capture disk.img image.calco
run_calco key new sym --kind symmetric
run_calco key new signer
run_calco capture disk.img sealed.calco --key sym --sign signer
# What the guard asks the system must not go wrong unnoticed either.
if [ "$(id -u)" -eq 0 ] && cp old.img mounted.img && mkdir mnt && mount -o loop,ro,noload mounted.img mnt 2>err; then
	cleanup_fn umount "$T/mnt"
	cp mounted.img mounted.was
else
	rm -f mounted.img
fi
python3 "$ROOT/tests/faults.py" "$CALCO" "$TOOLS/faults.so" "$T" "${FAULTS:-16}"
