#!/bin/bash
# A block bitmap that lost bits without a checksum to tell: the volume is taken whole, no file is dropped.
. "$(dirname "$0")/functions.sh"
requires mke2fs dumpe2fs

cd "$T"
mkdir tree
head -c 3M /dev/urandom >tree/a
mke2fs -q -F -t ext3 -b 1024 -d tree fs.img 16M
block=$(debugfs -R "bmap /a 2000" fs.img 2>/dev/null)
group=$(((block - 1) / 8192))
bitmap=$(dumpe2fs fs.img 2>/dev/null | sed -n "/^Group $group:/,/^Group/s/.*Block bitmap at \([0-9]*\).*/\1/p")
dd if=/dev/zero of=fs.img bs=1 seek=$((bitmap * 1024 + (block - 1) % 8192 / 8)) count=4 conv=notrunc status=none
run_calco capture fs.img fs.calco
expect_text "$T/err" "taken raw"
head -c 16M /dev/urandom >target.img
run_calco restore fs.calco target.img --confirm target.img --scrub none --state state
debugfs -R "dump /a got" target.img 2>/dev/null
cmp tree/a got

# The same of NTFS, whose $Bitmap has no checksum either: the notice names the record of the file.
requires mkntfs ntfscp ntfscat
truncate -s 16M ntfs.img
mkntfs -q -F -c 4096 ntfs.img >/dev/null 2>&1
ntfscp -q ntfs.img tree/a /a >/dev/null 2>&1
python3 - "$ROOT/tests/tools" <<-'PYTHON'
	import sys
	sys.dont_write_bytecode = True
	sys.path.insert(0, sys.argv[1])
	import ntfs_image
	v = ntfs_image.Volume("ntfs.img")
	file = next(v.runs(v.record(64), ntfs_image.DATA))[0]
	bitmap = next(v.runs(v.record(6), ntfs_image.DATA))[0]
	v.write(bitmap * v.cluster + file // 8 + 1, bytes(4))
PYTHON
run_calco capture ntfs.img ntfs.calco
expect_text "$T/err" "taken raw: record 64 of the .MFT uses cluster"
head -c 16M /dev/urandom >target.img
run_calco restore ntfs.calco target.img --confirm target.img --scrub none --state state
ntfscat target.img /a >got 2>/dev/null
cmp tree/a got
