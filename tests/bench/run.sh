#!/bin/bash
# make bench: calco beside its peers and beside the limit, in one run. docs/benchmarks.md explains what is measured and why.
# Usage: run.sh
# Environment: CALCO, TOOLS (tests/tools as built), ROUNDS (3), BUDGET (no further round begins that would end later than so many
# seconds after the first began: 330), BENCH_DIR (where the samples and results lie, up to 25 GB; default below TMPDIR or /tmp),
# KEEP=1 (leave the samples there for the next run), OUT (build/bench).
set -eu -o pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin
CALCO=${CALCO:-$PWD/build/calco}
TOOLS=${TOOLS:-$PWD/build/tests/tools}
OUT=${OUT:-$PWD/build/bench}
ROUNDS=${ROUNDS:-3}
BUDGET=${BUDGET:-330}
HERE=$PWD/tests/bench

[ "$(id -u)" -eq 0 ] || { echo "bench: needs root, for a mount" >&2; exit 1; }
if [ -n "${BENCH_DIR-}" ]; then
	mkdir -p "$BENCH_DIR"
	dir=$(realpath "$BENCH_DIR")
else
	dir=$(mktemp -d "${TMPDIR:-/tmp}/calco-bench.XXXXXX")
fi
remove() {
	cd /
	if [ -z "${KEEP-}" ]; then
		rm -rf "$dir"
	else
		rm -rf "$dir/out"
		echo "samples kept in $dir"
	fi
}
trap remove EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# shellcheck source=tests/bench/measurelib.sh
. "$HERE/measurelib.sh"
# shellcheck source=tests/bench/functions.sh
. "$HERE/functions.sh"

round() {
	local name output
	while read -r name output; do
		say "round $1: $name"
		measure "$name" "$1" "$output"
	done < <(list_cases)
}

machine() {
	echo "cores $(nproc)"
	echo "memory_mib $(awk '/^MemTotal/ { printf "%.0f", $2 / 1024 }' /proc/meminfo)"
	echo "load $(cut -d ' ' -f 1 /proc/loadavg)"
	echo "sha_ni $(grep -qw sha_ni /proc/cpuinfo && echo yes || echo no)"
	echo "avx512 $(grep -qw avx512bw /proc/cpuinfo && echo yes || echo no)"
	echo "zstd $(zstd --version | grep -o 'v[0-9.]*')"
	echo "partclone $(partclone.extfs --version | grep -o 'v[0-9.]*' | head -n 1)"
	echo "qemu $(qemu-img --version | grep -o 'version [0-9.]*' | cut -d ' ' -f 2)"
}

cd "$dir"
if [ ! -f disk.img ]; then
	say "making the sample"
	"$HERE/sample.sh" "$dir" "$TOOLS"
fi
rm -f results facts
machine >facts
echo "used_bytes $(stat -c %s used.bin)" >>facts
echo "all_used_bytes $(stat -c %s all-used.bin)" >>facts
prepare_cases
echo "chunks $("$CALCO" info --json in/a.calco | python3 -c 'import json, sys; print(sum(r["chunks"] for r in json.load(sys.stdin)["result"]["regions"]))')" >>facts
say "reading the samples into the page cache"
cat disk.img used.bin all-used.bin in/* >/dev/null
begin=$SECONDS
for ((r = 1; r <= ROUNDS; r++)); do
	round "$r"
	spent=$((SECONDS - begin))
	if [ $((spent + spent / r)) -gt "$BUDGET" ] && [ "$r" -lt "$ROUNDS" ]; then
		say "$r of $ROUNDS rounds took $spent s: no more of them"
		break
	fi
done
echo "rounds $((r < ROUNDS ? r : ROUNDS))" >>facts
say "plans of large disks"
plan_cases
mkdir -p "$OUT"
python3 "$HERE/table.py" results facts "$OUT/bench.json" | tee "$OUT/bench.txt"
