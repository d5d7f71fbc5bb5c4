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
