#!/bin/sh
# make_exfat_seeds.sh DIR - exFAT volumes as seeds for fuzz_exfat, in its format (see there).
set -eu

out=$1
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out"

# pack NAME: $tmp/fs without its zeros
pack() {
	python3 - "$tmp/fs" "$out/$1" <<-'END'
	import struct, sys
	data = open(sys.argv[1], "rb").read()
	with open(sys.argv[2], "wb") as f:
	    f.write(struct.pack("<Q", len(data)))
	    for i in range(0, len(data), 512):
	        # The checksums are put right by the target, and what is in files does not matter.
	        sector = data[i:i + 512]
	        if any(sector) and i != 11 * 512 and f.tell() < 60000:
	            f.write(struct.pack("<I", i // 512) + sector)
	END
}

# seed NAME SIZE OPTION...
seed() {
	name=$1
	size=$2
	shift 2
	python3 "$here/../tools/exfat.py" make "$tmp/fs" "$size" "$@"
	pack "$name"
}

seed small 60000 cluster=512 files=6 dirs=3 deleted=1 max=1500
seed junk 61000 cluster=512 files=5 dirs=1 deleted=1 max=1500 junk=2 seed=2
seed bad 62000 cluster=512 files=4 dirs=2 deleted=0 max=2500 bad=3 seed=3
seed texfat 63000 cluster=512 files=4 dirs=2 deleted=0 max=1500 fats=2 seed=4
seed texfat-second 64000 cluster=512 files=4 dirs=2 deleted=0 max=1500 fats=2 active=1 second=3 seed=5
seed sectors-4096 600000 sector=4096 cluster=4096 files=3 dirs=1 deleted=0 max=1000
seed sectors-1024 100000 sector=1024 cluster=1024 files=3 dirs=2 deleted=0 max=1000 gap=3
seed folders 60000 cluster=512 files=0 dirs=12 deleted=0
truncate -s 0 "$tmp/fs"
truncate -s 2M "$tmp/fs"
mkfs.exfat -c 512 -b 512 -L seed "$tmp/fs" >/dev/null
pack mkfs
