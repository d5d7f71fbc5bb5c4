#!/bin/bash
# Memory stays within its bound: capture, restore and verify with two threads need at most 64 MiB and 64 bytes for each used chunk.
. "$(dirname "$0")/functions.sh"

requires sgdisk partx mkfs.fat mmd mcopy mke2fs mkswap openssl python3

# peak_of NAME CHUNKS ARGUMENT...: run calco, which must succeed, and hold its peak against the bound
peak_of() {
	local name=$1 chunks=$2
	shift 2
	python3 "$T/peak" "$name" "$chunks" "$CALCO" "$@" 2>"$T/err" || fail "$name: $(cat "$T/err")"
}

cat >"$T/peak" <<'PYTHON'
import resource, subprocess, sys
name, chunks = sys.argv[1], int(sys.argv[2])
r = subprocess.run(sys.argv[3:], stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
bound = (64 << 20) + 64 * chunks
print(f"{name}: {peak / 2**20:.1f} MiB of at most {bound / 2**20:.1f} MiB, {chunks} chunks")
sys.exit(r.returncode != 0 or peak > bound)
PYTHON

# check_all NAME DISK: what it holds is what calco says, so the number of chunks comes from there
check_all() {
	local name=$1 disk=$2 image=$T/$1.calco target=$T/$1.target chunks
	run_calco capture "$disk" "$T/first.calco" --json
	chunks=$(json_get "$T/out" 'd["result"]["chunks"]')
	rm "$T/first.calco"
	peak_of "$name capture" "$chunks" capture --threads 2 "$disk" "$image"
	peak_of "$name verify" "$chunks" verify --threads 2 "$image"
	peak_of "$name restore" "$chunks" restore --threads 2 --yes "$image" "$target"
	peak_of "$name verify against" "$chunks" verify --threads 2 "$image" --against "$target"
	rm "$target"
	truncate -s 2G "$target"
	peak_of "$name capture to a pipe" "$chunks" capture --threads 2 "$disk" -
	peak_of "$name verify of a pipe" "$chunks" verify --threads 2 - <"$image"
	peak_of "$name restore of a pipe" "$chunks" restore --threads 2 --yes - "$target" < <(cat "$image")
	rm "$target" "$image"
}

# Few chunks on a large disk.
make_gpt_disk "$T/sparse" 2G
check_all sparse "$T/sparse"
rm "$T/sparse"

# Many chunks, all of them in use, and no two files beside each other.
make_ext4 "$T/full" 1G -b 1024
openssl enc -aes-128-ctr -K 01 -iv 00 -in /dev/zero 2>/dev/null | head -c 400M >"$T/random" || true
debugfs -w -R "write $T/random random" "$T/full" >/dev/null 2>&1
rm "$T/random"
check_all full "$T/full"
