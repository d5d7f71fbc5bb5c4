#!/bin/bash
# An ESP on an md mirror with its superblock at the end (metadata 1.0): taken whole, and the notice says why and what that costs.
. "$(dirname "$0")/functions.sh"
requires mkfs.fat sgdisk partx blkid

# put_md_superblock FILE: as "mdadm --create --level=1 --metadata=1.0" writes it (Linux include/uapi/linux/raid/md_p.h)
put_md_superblock() {
	python3 - "$1" <<-'PYTHON'
		import struct, sys
		with open(sys.argv[1], "r+b") as f:
		    sectors = f.seek(0, 2) // 512
		    at = (sectors - 16) & ~7
		    def block(csum):
		        b = struct.pack("<IIII16s32sQIIQII", 0xA92B4EFC, 1, 0, 0, b"set-uuid-set-uui", b"lab:esp", 1, 1, 0, at, 0, 2)
		        b = b.ljust(128, b"\0") + struct.pack("<QQQQII16sB3xI", 0, at, at, 0, 0, 0, b"dev-uuid-dev-uui", 0, 0)
		        return (b + struct.pack("<QQQII", 1, 1, 2**64 - 1, csum, 2)).ljust(256, b"\0") + struct.pack("<HH", 0, 1)
		    total = sum(struct.unpack("<65I", block(0)))
		    total = (total & 0xFFFFFFFF) + (total >> 32)
		    f.seek(at * 512)
		    f.write(block(total))
	PYTHON
}

cd "$T"
truncate -s 64M disk.img
sgdisk -n 1:0:+40M -t 1:EF00 disk.img >/dev/null
truncate -s 40M part
mkfs.fat -F 32 -s 1 part $((39 << 10)) >/dev/null 2>&1
put_md_superblock part
[ "$(blkid -p -o value -s TYPE part)" = linux_raid_member ] || fail "blkid sees no member of a RAID"
put_partition disk.img 1 part
run_calco capture disk.img esp.calco
expect_text err 'partition 1 \(linux_raid_member\): taken raw: vfat in a member of a Linux RAID .*all 40\.0 MiB are copied, free space too$'
run_calco info esp.calco --json
json_true out '[v["raw"] for v in d["result"]["volumes"]] == ["fallback"]'
head -c 64M /dev/urandom >target.img
run_calco restore esp.calco target.img --confirm target.img --scrub none --state state
get_partition target.img 1 got
cmp part got
