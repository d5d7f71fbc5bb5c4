#!/bin/bash
# A disk of 1 TiB with every other block in use, the worst that can happen to whoever keeps extents: the plan ends in reasonable
# time, within the memory that is promised (64 MiB and 64 bytes for each chunk), and the head of the image stays below 40 MiB.
. "$(dirname "$0")/functions.sh"
requires mke2fs python3
[ -x "${TOOLS-}/headsize" ] || skip "tests/tools/headsize was not built"
[ -x /usr/bin/time ] || skip "time is not installed"

truncate -s 1T "$T/disk" 2>/dev/null || skip "no sparse files of 1 TiB here"
mke2fs -q -F -t ext4 -b 4096 -i 67108864 -O '^has_journal,^metadata_csum,^uninit_bg,^resize_inode' -E nodiscard "$T/disk"
[ "$(du -m "$T/disk" | cut -f 1)" -lt 300 ] || fail "the empty file system takes too much of this disk"
"$ROOT/tests/tools/half-used-ext4.py" "$T/disk"

# peak_below KIB: of the command measured last
peak_below() {
	local peak
	peak=$(tail -n 1 "$T/peak")
	[ "$peak" -le "$1" ] || fail "peak memory $peak KiB, promised $1"
}

chunks=4194304
limit=$((64 * 1024 + chunks * 64 / 1024))
expect_exit 0 timeout 300 /usr/bin/time -o "$T/peak" -f %M "$CALCO" capture --dry-run --json "$T/disk"
peak_below $limit
json_true "$T/out" "d['result']['regions'][0]['chunks'] == $chunks"
# Half of all, and in the other half what metadata takes
json_true "$T/out" "1 << 39 <= d['result']['used_bytes'] <= (1 << 39) + (256 << 20)"

expect_exit 0 timeout 300 /usr/bin/time -o "$T/peak" -f %M "$TOOLS/headsize" "$T/disk"
peak_below $limit
expect_text "$T/out" "^chunks=$chunks\$"
core=$(sed -n 's/^core_bytes=//p' "$T/out")
[ "$core" -le $((40 << 20)) ] || fail "the head takes $core bytes"
