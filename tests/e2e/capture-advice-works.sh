#!/bin/bash
# The command that is named for a file system that is not clean makes it clean: each is run as it stands in the hint.
. "$(dirname "$0")/functions.sh"
requires mkfs.exfat fsck.exfat mkfs.fat fsck.fat mkfs.f2fs fsck.f2fs mke2fs e2fsck debugfs tune2fs dumpe2fs mkfs.xfs xfs_db xfs_repair

cd "$T"
# poke FILE OFFSET BYTES: as printf writes them
poke() {
	# shellcheck disable=SC2059
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# refused FILE REASON: nothing is captured, and $advice is the command of the hint
refused() {
	expect_exit 4 "$CALCO" capture "$1" --dry-run --json
	json_true out "d['error']['reason'] == '$2'"
	json_get out "d['error']['hint']" >hint
	advice=$(sed -nE "s/^(.* )?(run|let) ([a-z0-9._]+ ([^,;]* )?$1).*/\3/p" hint)
}

# works FILE REASON: and then it is captured
works() {
	refused "$@"
	[ -n "$advice" ] || fail "no command is named: $(cat hint)"
	# What a file checker says with 1 is: errors corrected. -y is how e2fsck is answered without a terminal.
	[[ $advice != e2fsck\ -f\ * ]] || advice="e2fsck -y ${advice#e2fsck }"
	$advice >fsck 2>&1 </dev/null || [ $? = 1 ] || fail "$advice: $(cat fsck)"
	run_calco capture "$1" --dry-run || fail "$advice does not help"
	rm "$1"
}

new() {
	rm -f "$1"
	truncate -s "$2" "$1"
}

# ---- exFAT: VolumeDirty, and a main boot region that is not what its checksum says
new exfat 64M
mkfs.exfat exfat >/dev/null
cp exfat backup
poke exfat 106 '\x02'
works exfat dirty
poke backup 120 '\xee'
works backup errors

# ---- FAT: the dirty mark of the boot sector, and the bit of the table that is cleared while it is mounted
for bits in 12:4M 16:40M 32:64M; do
	new fat ${bits#*:}
	mkfs.fat -F "${bits%:*}" fat >/dev/null
	poke fat $((${bits%:*} == 32 ? 65 : 37)) '\x01'
	works fat dirty
done
# The mark for read errors is one that no tool of Linux removes, and the hint does not say that one does.
new fat 64M
mkfs.fat -F 32 fat >/dev/null
poke fat 65 '\x02'
refused fat errors
expect_text hint '^run chkdsk /r '
expect_no_text hint 'run fsck.fat'
fsck.fat -a fat >fsck 2>&1 || [ $? = 1 ]
refused fat errors

# ---- ext4: errors, not clean, a journal to be replayed, multiple mount protection
for state in 2:errors 0:dirty; do
	new ext4 32M
	mke2fs -q -F -t ext4 ext4
	debugfs -w -R "ssv state ${state%:*}" ext4 2>/dev/null
	works ext4 "${state#*:}"
done
new ext4 32M
mke2fs -q -F -t ext4 ext4
debugfs -w -R 'feature needs_recovery' ext4 >/dev/null 2>&1
works ext4 dirty-journal
new ext4 32M
mke2fs -q -F -t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,mmp ext4
poke ext4 $(($(dumpe2fs -h ext4 2>/dev/null | sed -n 's/^MMP block number: *//p') * 1024 + 4)) '\x34\x12\x00\x00'
works ext4 mmp

# ---- F2FS: errors found by the kernel, by its fsck's mark, a resize cut short
new f2fs 128M
mkfs.f2fs -q f2fs >/dev/null
cp f2fs whole
for flag in 0x8 0x10 0x4000; do
	cp whole f2fs
	python3 "$ROOT/tests/tools/f2fs.py" flags f2fs $flag 0
	works f2fs errors
done

# ---- XFS: marked for repair, and a mkfs that did not end
new xfs 320M
mkfs.xfs -q xfs
cp --sparse=always xfs half
features=$(xfs_db -r -c 'sb 0' -c 'print features_incompat' xfs)
xfs_db -x -c 'sb 0' -c "write features_incompat $(printf '0x%x' $((${features#*= } | 0x10)))" xfs >/dev/null
works xfs needs-repair
xfs_db -x -c 'sb 0' -c 'write inprogress 1' half >/dev/null
works half in-progress
