#!/bin/sh
# make_xfs_seeds.sh DIR - real XFS volumes as seeds for fuzz_xfs, in its format (see there).
set -eu

out=$1
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
# mkfs.xfs makes volumes this small only for its own tests; these variables make it think that it is in one.
export TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1
mkdir -p "$out"
# Without the tools there is nothing to replay but the stored corpus.
command -v mkfs.xfs >/dev/null && command -v xfs_io >/dev/null || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/mnt"
head -c 3000 /dev/zero | tr '\0' x >"$tmp/file"
{
	echo /none; echo 0 0; echo d--755 0 0
	echo "file ---644 0 0 $tmp/file"
	echo 'link l--777 0 0 elsewhere'
	echo 'folder d--755 0 0'; echo "file ---644 0 0 $tmp/file"; echo '$'
	echo '$'
} >"$tmp/proto"

# seed NAME [anew]: what of the volume is not zero, the content of files (x) left out; anew: with a log that is one record of round 9
seed() {
	python3 - "$tmp/fs" "$out/$1" "${2:-}" <<-'END'
	import struct, sys
	with open(sys.argv[1], "rb") as f:
	    data = bytearray(f.read())
	block, = struct.unpack_from(">I", data, 4)
	if sys.argv[3]:
	    start, length = struct.unpack_from(">Q", data, 48)[0] * block, struct.unpack_from(">I", data, 96)[0] * block
	    log = bytearray(1024)
	    struct.pack_into(">IIIIQQIIII", log, 0, 0xFEEDBABE, 9, 2, 512, 9 << 32, 9 << 32, 0, 0xFFFFFFFF, 1, 0xB0C0D0D0)
	    struct.pack_into(">I16sI", log, 300, 1, bytes(data[32:48]), 32768)
	    struct.pack_into(">IIBBH", log, 512, 9, 8, 0xAA, 0x20, 0)
	    data[start:start + length] = log + bytes(length - 1024)
	with open(sys.argv[2], "wb") as f:
	    f.write(struct.pack("<Q", len(data)))
	    for i in range(0, len(data), 512):
	        sector = data[i:i + 512]
	        if any(sector) and set(sector) - {0} != {ord("x")} and f.tell() < 150000:
	            f.write(struct.pack("<I", i // 512) + sector)
	END
}

# volume OPTION...
volume() {
	rm -f "$tmp/fs"
	truncate -s 33M "$tmp/fs"
	mkfs.xfs -q -p "$tmp/proto" -m uuid=11111111-2222-3333-4444-555555555555 "$@" "$tmp/fs" 2>/dev/null
}

volume -m crc=0 -b size=1024 -i size=256 -d agcount=2 -l size=3m
seed v4
volume -b size=1024 -d agcount=2 -l size=10m -m rmapbt=1
seed v5-all
volume -b size=4096 -s size=4096 -d agcount=1 -l size=18m -i nrext64=1
seed v5-4k
volume -b size=1024 -d agcount=1 -l size=5m -m reflink=0,finobt=0
seed v5

# Trees of two levels, where the kernel can make them; a log that went on; one that is dirty.
# shellcheck disable=SC2016 # expanded by the inner shell
unshare -m sh -ec 'mount -o loop "$1/fs" "$1/mnt"; umount "$1/mnt"' - "$tmp" 2>/dev/null || exit 0
# shellcheck disable=SC2016 # expanded by the inner shell
unshare -m sh -ec 'mount -o loop "$1/fs" "$1/mnt"; cd "$1/mnt"; head -c 300000 /dev/zero | tr "\0" x >pieces
	i=0; while [ $i -lt 260 ]; do echo fpunch ${i}k 1k; i=$((i + 2)); done | xfs_io pieces
	cd /; umount "$1/mnt"' - "$tmp"
seed v5-trees anew
volume -b size=1024 -d agcount=1 -l size=5m -m reflink=0,finobt=0
# shellcheck disable=SC2016 # expanded by the inner shell
unshare -m sh -ec 'mount -o loop "$1/fs" "$1/mnt"; echo 1 >"$1/mnt/new"; sync -f "$1/mnt"; xfs_io -x -c shutdown "$1/mnt"; umount "$1/mnt"' - "$tmp"
seed v5-dirty
