#!/bin/bash
# Volumes of 1 TiB with hundreds of thousands of small extents: each is planned in less than 3 s of processor time and 100 MiB of memory. And the worst
# there can be, an ext4 in which every other block is used, 134 million extents, in 4 s and 128 MiB: its bitmap is as large as 32 MiB, its map 80.
if [ -z "${OWN_NAMESPACE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	OWN_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 6000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/../e2e/functions.sh"
requires_loop
requires mke2fs mkfs.xfs mkfs.btrfs xfs_io python3

# plan_of DISK SECONDS MEBIBYTES: plan it; processor time and memory must not be more
plan_of() {
	python3 - "$CALCO" "$@" <<-'PYTHON' || fail "planning $1 takes too much"
		import json, resource, subprocess, sys
		calco, disk, seconds, mebibytes = sys.argv[1:]
		told = subprocess.run([calco, "capture", "--dry-run", "--json", disk], check=True, capture_output=True).stdout
		used = resource.getrusage(resource.RUSAGE_CHILDREN)
		cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
		volume = json.loads(told)["result"]["volumes"][0]
		print(f"{disk}: {volume['type']}, driver {volume['driver']}, {cpu:.2f} s of processor time, {peak:.1f} MiB")
		sys.exit(volume["driver"] == "raw" or cpu > float(seconds) or peak > float(mebibytes))
	PYTHON
}

# holes: one file, every other 4 KiB of which is a hole: 300,000 extents of it, and as many of free space
holes() {
	seq 0 8 2400000 | awk '{ printf "fpunch %dk 4k\n", $1 }' >commands
	fallocate -l 2400M mnt/file
	xfs_io mnt/file <commands >/dev/null
}

# small_files: 60,000 of them, each with an extent of its own, between the holes that others left
small_files() {
	python3 - mnt/many <<-'PYTHON'
		import os, sys
		for folder in range(120):
		    os.makedirs(f"{sys.argv[1]}/{folder}")
		    for i in range(1000):
		        with open(f"{sys.argv[1]}/{folder}/{i}", "wb") as f:
		            f.write(b"x" * 4000)
	PYTHON
	sync -f mnt
	find mnt/many -name '*[13579]' -type f -delete
	sync -f mnt
}

cd "$T"
mkdir mnt
cleanup_fn umount -q "$T/mnt"
for kind in ext4 xfs btrfs; do
	truncate -s 1T $kind
	"mkfs.$kind" -q $kind >/dev/null 2>&1
	mount -o loop $kind mnt
	if [ $kind = btrfs ]; then small_files; else holes; fi
	umount mnt
	plan_of $kind 3 100
	rm $kind
done
truncate -s 1T half
mke2fs -q -F -t ext4 -b 4096 -N 65536 -O ^metadata_csum,^uninit_bg,^resize_inode,^has_journal -E lazy_itable_init=1,nodiscard half
python3 "$ROOT/tests/tools/half-used-ext4.py" half
plan_of half 4 128
