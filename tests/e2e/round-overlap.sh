#!/bin/bash
# Partitions that overlap are taken whole, with a notice, and come back byte for byte.
. "$(dirname "$0")/rounds.sh"

# entry DISK INDEX START LENGTH: a partition of an MBR, whatever else is there
entry() {
	python3 - "$@" <<-'PYTHON'
		import struct, sys
		name, index, start, length = sys.argv[1], *map(int, sys.argv[2:])
		with open(name, "r+b") as f:
		    f.seek(446 + 16 * (index - 1))
		    f.write(struct.pack("<4sB3sII", bytes(4), 0x83, bytes(3), start, length))
		    f.seek(510)
		    f.write(b"\x55\xaa")
	PYTHON
}

disk=overlap.img
truncate -s 40M $disk
entry $disk 1 63 30001
entry $disk 2 20000 20011
entry $disk 3 50001 30003
FILES=odd GONE=2 part 3 ext4
for n in 1 2; do
	attach_partition $n
	random_bytes $((3000000 + n)) | dd of="$dev" bs=1M iflag=fullblock conv=notrunc,fsync status=none
	detach "$dev"
done
attach $disk --offset $((63 * 512)) --sizelimit $((39948 * 512))
hash_of "$dev" >whole.was
detach "$dev"
also_check() {
	attach "$1" --offset $((63 * 512)) --sizelimit $((39948 * 512))
	hash_of "$dev" | cmp - whole.was || fail "the overlapping partitions differ"
	detach "$dev"
}
round_trip $disk
run_calco capture $disk again.calco
expect_text err 'overlap'
