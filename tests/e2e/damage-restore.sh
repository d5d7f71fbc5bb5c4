#!/bin/bash
# A damaged image restores no byte of the damaged chunk, and what was written so far is not taken for a disk.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((64 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:+100001 -c 2:root $disk >/dev/null
part 1 fat16
FILES=odd GONE=1 part 2 ext4
attach_partition 2
mount "$dev" mnt
random_bytes 30000000 >mnt/noise
umount mnt
detach "$dev"
source=$disk
run_calco capture $disk golden.calco
run_calco info golden.calco --json

# Damage one record in the middle: its chunk, by the second reader's words, and its place in the file.
read -r at start length < <(python3 - golden.calco "$(dirname "$READER")" <<-'PYTHON'
	import os, struct, sys
	sys.path.insert(0, sys.argv[2])
	from image import Image
	with open(sys.argv[1], "rb") as f:
	    image = Image(f)
	    image.head()
	    chunks = [c for c, content in image.records() if any(content)]
	    image.tail()
	middle = chunks[len(chunks) * 2 // 3]
	data = open(sys.argv[1], "rb").read()
	header = b"CHNK"
	place = data.find(header)
	while struct.unpack_from("<Q", data, place + 8)[0] != middle.number:
	    place = data.find(header, place + 1)
	print(place + 96 + 1000, middle.start, middle.length)
PYTHON
)
printf 'XX' | dd of=golden.calco bs=1 seek="$at" conv=notrunc status=none
expect_exit 3 "$CALCO" verify golden.calco --json
json_true out "d['result']['damages'][0]['start'] == $start and d['result']['damages'][0]['length'] == $length"

# dead FILE: nothing that boots or mounts, neither on the whole disk nor where its partitions would be
dead() {
	local number from len
	blkid -p -o export "$1" >found 2>/dev/null || true
	expect_no_text found '^(TYPE|USAGE)='
	while read -r number from len; do
		attach "$1" --offset "$from" --sizelimit "$len" --read-only
		blkid -p -o export "$dev" >found 2>/dev/null || true
		detach "$dev"
		expect_no_text found '^(TYPE|USAGE)='
	done < <(python3 "$HERE/table_bytes.py" places $disk $SECTOR)
}

# same_piece FILE OTHER: the damaged chunk's place holds what it held
same_piece() {
	cmp -n "$length" -i "$start" "$1" "$2" || fail "bytes of the damaged chunk were written"
}

truncate -s "$(stat -c %s $disk)" blank.img zeros.img
expect_exit 3 "$CALCO" restore golden.calco blank.img --yes
expect_text err "partition 2|chunk"
same_piece blank.img zeros.img
dead blank.img
garbage full.img "$(stat -c %s $disk)"
cp full.img before.img
expect_exit 3 "$CALCO" restore golden.calco full.img --confirm full.img
same_piece full.img before.img
dead full.img
# The golden disk's own earlier clone, which would boot: not any more.
cp --sparse=always $disk clone.img
expect_exit 3 "$CALCO" restore golden.calco clone.img --confirm clone.img
same_piece clone.img $disk
dead clone.img
cat golden.calco | expect_exit 3 "$CALCO" restore - full.img --confirm full.img
dead full.img
