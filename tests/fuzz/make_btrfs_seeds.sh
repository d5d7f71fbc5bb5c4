#!/bin/sh
# make_btrfs_seeds.sh DIR - real btrfs file systems as seeds for fuzz_btrfs, in its format (see there).
set -eu

out=$1
tools=$(cd "$(dirname "$0")/../tools" && pwd)
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
mkdir -p "$out"
# Without the tools there is nothing to replay but the stored corpus.
command -v mkfs.btrfs >/dev/null || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/tree"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c $((i * 999)) /dev/urandom >"$tmp/tree/file $i"; done

# volume NAME SIZE OPTION...: as it is, and with checksums that are made good
volume() {
	name=$1
	rm -f "$tmp/fs"
	truncate -s "$2" "$tmp/fs"
	shift 2
	mkfs.btrfs -q --rootdir "$tmp/tree" "$@" "$tmp/fs" >/dev/null 2>&1
	python3 "$tools/btrfs_image.py" seed "$tmp/fs" "$out/$name"
	python3 - "$out/$name" <<-'PYTHON'
		import sys
		data = bytearray(open(sys.argv[1], "rb").read())
		data[7] |= 0x80
		open(sys.argv[1] + "-fixed", "wb").write(data)
	PYTHON
}

volume mixed 40M -M -n 4096
volume mixed-dup 400M -M -n 4096 -m dup -d dup
volume default 120M -n 4096
volume large-nodes 120M
volume no-space-tree 120M -n 4096 -R ^free-space-tree -O ^no-holes,^skinny-metadata
volume groups 120M -n 4096
python3 "$tools/btrfs_image.py" groups "$tmp/fs"
python3 "$tools/btrfs_image.py" seed "$tmp/fs" "$out/groups"
volume log 120M -n 4096
python3 "$tools/btrfs_image.py" super "$tmp/fs" 0x60 8 4194304
python3 "$tools/btrfs_image.py" seed "$tmp/fs" "$out/log"

# Of several devices only where loop devices work
[ "$(id -u)" -eq 0 ] && command -v losetup >/dev/null || exit 0
several() {
	name=$1 nr=$2 loops=''
	shift 2
	for i in $(seq "$nr"); do
		rm -f "$tmp/d$i"
		truncate -s 300M "$tmp/d$i"
		loop=$(losetup -f --show "$tmp/d$i" 2>/dev/null) || break
		loops="$loops $loop"
	done
	# shellcheck disable=SC2086 # a list of devices
	if mkfs.btrfs -q -f -n 4096 "$@" $loops >/dev/null 2>&1; then made=1; else made=; fi
	for loop in $loops; do losetup -d "$loop"; done
	[ -n "$made" ] || return 0
	python3 "$tools/btrfs_image.py" join "$out/$name" "$tmp"/d?
	rm -f "$tmp"/d?
}
several raid1 2 -m raid1 -d raid1
several raid0 2 -m raid0 -d raid0
several raid10 4 -m raid10 -d raid10
several raid5 3 -m raid5 -d raid5
several raid6 4 -m raid6 -d raid6
several raid1c3 3 -m raid1c3 -d raid1c3
