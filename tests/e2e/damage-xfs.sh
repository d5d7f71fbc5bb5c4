#!/bin/bash
# Metadata of XFS changed at random: every capture ends, and what it does not refuse is a whole copy. ROUNDS=48; tests/long/ asks for more.
. "$(dirname "$0")/rounds.sh"
requires mkfs.xfs xfs_io python3

export CALCO PYTHONDONTWRITEBYTECODE=1
# mkfs.xfs makes volumes this small only for its own tests; these variables make it think that it is in one.
export TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1
mkdir tree
random_bytes 70000 >tree/large
seq 1 80 >tree/small

# volume FILE SIZE OPTION...: through the kernel, with files in many pieces
volume() {
	local i
	truncate -s "$2" "$1"
	mkfs.xfs -q "${@:3}" "$1"
	attach "$1"
	mount "$dev" mnt 2>"$T/err" || skip "this kernel does not mount it: $(cat "$T/err")"
	for i in 1 2 3; do cp -r tree "mnt/$i"; done
	(cd mnt/1 && seq -f 'a name %g' 80 | tr '\n' '\0' | xargs -0 touch)
	xfs_io -f -c 'pwrite -q 0 2m' mnt/pieces
	for i in $(seq 0 2 400); do echo "fpunch $((i * 4096)) 4096"; done >commands
	xfs_io mnt/pieces <commands
	rm -r mnt/2
	umount mnt
	detach "$dev"
}

volume base-1.img 34M -b size=1024 -d agcount=2 -m rmapbt=1 -l size=10m
volume base-2.img 34M -d agcount=1 -l size=16m
volume base-3.img 34M -d agcount=2 -b size=1024 -l size=6m -m reflink=0,finobt=0
# Version 4, which this kernel may not know, by mkfs alone
truncate -s 34M base-4.img
{
	echo /none; echo 0 0; echo d--755 0 0
	for f in 1 2 3 4 5 6; do echo "file-$f ---644 0 0 $PWD/tree/large"; done
	echo '$'
} >proto
mkfs.xfs -q -m crc=0 -b size=1024 -d agcount=2 -l size=3m -p proto base-4.img 2>/dev/null
python3 "$ROOT/tests/tools/xfs_mutate.py" "${SEED:-9}" "${ROUNDS:-48}" >log || { tail -n 3 log >&2; fail "see above"; }
tail -n 1 log
