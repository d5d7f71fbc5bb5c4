#!/bin/bash
# A larger target gets the disk that is expected there: the backup GPT at its end, everything else as it was.
. "$(dirname "$0")/rounds.sh"

size=$((90 * 1024 * 1024 + 512))
larger=$((151 * 1024 * 1024 + 13 * 512))
disk=gpt.img
truncate -s $size $disk
sgdisk -a 1 --disk-guid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE -n 1:63:+20001 -t 1:EF00 -n 2:30001:+90001 -c 2:'root Ä' \
	-u 2:11112222-3333-4444-5555-666677778888 -A 2:set:2 -A 2:set:60 -n 3:130007:0 -c 3:last $disk >/dev/null
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 fat16
part 2 ext4
FILES=odd part 3 ext3
source=$disk
capture_checked $disk gpt.calco

# what of a table must be the same on a larger disk
sgdisk_facts() {
	sgdisk -p "$1" | grep -E '^ +[0-9]|GUID'
	for i in 1 2 3; do sgdisk -i $i "$1"; done
}
# larger_gpt DISK
larger_gpt() {
	local problems
	problems=$(sgdisk -v "$1")
	[[ $problems == *"No problems found"* ]] || fail "sgdisk: $problems"
	sfdisk --verify "$1" >out 2>&1 || { cat out >&2; fail "sfdisk finds problems"; }
	python3 - "$1" $SECTOR <<-'PYTHON' || fail "the backup GPT is not at the end of $1"
		import struct, sys
		with open(sys.argv[1], "rb") as f:
		    end = f.seek(0, 2)
		    sector = int(sys.argv[2])
		    f.seek(sector)
		    first = f.read(92)
		    f.seek(end - sector)
		    last = f.read(92)
		assert last[:8] == b"EFI PART" and struct.unpack_from("<Q", first, 32)[0] == end // sector - 1
		assert struct.unpack_from("<QQ", last, 24) == (end // sector - 1, 1)
		assert struct.unpack_from("<Q", first, 48)[0] == end // sector - 34
	PYTHON
	sgdisk_facts $disk >was
	sgdisk_facts "$1" | diff was - || fail "the table of $1 says something else"
	run_calco verify gpt.calco --against "$1"
	cmp -n 440 $disk "$1" || fail "the boot code differs"
	check_disk "$1"
}
truncate -s $larger blank.img
run_calco restore gpt.calco blank.img --yes
larger_gpt blank.img
! LC_ALL=C grep -q -a -F "$MARKER" blank.img || fail "deleted data came along"
# Where the backup stood on the small disk there is none any more.
[ "$(dd if=blank.img bs=512 skip=$((size / 512 - 1)) count=1 status=none | tr -d '\0' | wc -c)" = 0 ] || fail "the old backup GPT is still there"
garbage full.img $larger
run_calco restore gpt.calco full.img --confirm full.img
larger_gpt full.img
# A second time, onto what is there now.
run_calco restore gpt.calco full.img --confirm full.img
larger_gpt full.img
# Captured again from there and back onto a disk of that size: nothing changes any more.
run_calco capture full.img second.calco
run_calco restore second.calco third.img
python3 "$HERE/table_bytes.py" compare full.img third.img $SECTOR || fail "the table changes with every clone"

# By one sector, and to a size that is not a multiple of the sector.
for extra in 512 700; do
	rm -f blank.img
	truncate -s $((size + extra)) blank.img
	run_calco restore gpt.calco blank.img --yes
	run_calco verify gpt.calco --against blank.img
	sgdisk -v blank.img >out 2>/dev/null
	expect_text out 'No problems found'
done
rm -f blank.img full.img third.img

# An MBR knows nothing of the disk's size.
disk=mbr.img
truncate -s $size $disk
printf 'start=63, size=20001, type=6\nstart=30001, size=120000, type=5\nstart=30064, size=50001, type=83\n' | sfdisk -q $disk
part 1 fat16
FILES=odd part 5 ext4
source=$disk
capture_checked $disk mbr.calco
garbage full.img $larger
run_calco restore mbr.calco full.img --confirm full.img
same_tables full.img
check_disk full.img
run_calco verify mbr.calco --against full.img
sfdisk --verify full.img >out 2>&1 || { cat out >&2; fail "sfdisk finds problems"; }
