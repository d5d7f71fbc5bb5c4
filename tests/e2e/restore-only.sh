#!/bin/bash
# --only writes one volume into its place on a disk that has a fitting partition, and nothing beside it.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((90 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:+50001 -c 2:root -n 3:90001:+60001 -c 3:home $disk >/dev/null
part 1 fat16
FILES=odd part 2 ext4 -L golden-root -U 01234567-89ab-cdef-0123-456789abcdef
FILES=odd part 3 ext3
source=$disk
capture_checked $disk golden.calco

# Partition 2 is spoilt; 1 and 3 have changed since.
cp --sparse=always $disk target.img
key_stream 99 | head -c 20000000 | dd of=target.img conv=notrunc oflag=seek_bytes seek=$((30001 * 512)) status=none iflag=fullblock bs=1M
for at in 70 90100; do printf 'changed' | dd of=target.img bs=512 seek=$at conv=notrunc status=none; done
cp --sparse=always target.img before.img
for volume in 2 root golden-root 01234567-89ab-cdef-0123-456789abcdef; do
	cp --sparse=always before.img target.img
	run_calco restore golden.calco target.img --only $volume --confirm target.img
	disk=target.img check_ext 2
	cmp -n $((30001 * 512)) target.img before.img || fail "bytes before the volume were written"
	cmp -i $((80002 * 512)) target.img before.img || fail "bytes behind the volume were written"
	run_calco verify golden.calco --against target.img --only $volume
	expect_exit 3 "$CALCO" verify golden.calco --against target.img
done

# Nothing fits: no such volume, a disk with another table, a file that is too small.
cp before.img other.img
sgdisk -Z other.img >/dev/null
sgdisk -n 2:30001:+50000 other.img >/dev/null
was=$(hash_of other.img)
expect_exit 4 "$CALCO" restore golden.calco other.img --only 2 --confirm other.img --json
json_true out 'd["error"]["reason"] == "no-place"'
expect_exit 2 "$CALCO" restore golden.calco other.img --only 7 --confirm other.img
[ "$(hash_of other.img)" = "$was" ] || fail "a refused restore wrote"
garbage small.img $((50001 * 512 - 512))
was=$(hash_of small.img)
expect_exit 4 "$CALCO" restore golden.calco small.img --only 2 --confirm small.img --json
json_true out 'd["error"]["reason"] == "too-small"'
[ "$(hash_of small.img)" = "$was" ] || fail "a refused restore wrote"

# A plain file without a table takes the volume at its beginning.
rm -f alone.img
truncate -s 40M alone.img
run_calco restore golden.calco alone.img --only 2 --yes
e2fsck -fn alone.img >out 2>&1 || { cat out >&2; fail "e2fsck finds errors"; }
[ "$(blkid -p -o value -s LABEL alone.img)" = golden-root ] || fail "another file system"
