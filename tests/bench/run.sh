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

# Two processors for everybody, whatever the machine has.
cpus=$(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | awk -F- '{ for (i = $1; i <= $NF; i++) print i }' | head -n 2 | paste -sd,)
taskset -cp "$cpus" $$ >/dev/null
CORES=$(nproc)

say() {
	echo "bench: $*" >&2
}

# stage COMMAND...: one process of a case; its CPU seconds and peak memory are added to those of the other stages
stage() {
	command time -q -a -o stats -f '%U %S %M' "$@"
}

# measure NAME ROUND OUTPUT: run the function case_NAME; one line "NAME ROUND wall cpu peak-KiB bytes" for table.py
measure() {
	local begin end bytes=0
	rm -rf out
	mkdir out
	: >stats
	sync
	begin=${EPOCHREALTIME/[.,]/}
	"case_$1"
	end=${EPOCHREALTIME/[.,]/}
	[ "$3" = - ] || bytes=$(stat -c %s "$3")
	awk -v name="$1" -v round="$2" -v us=$((end - begin)) -v bytes="$bytes" \
		'{ cpu += $1 + $2; peak += $3 } END { printf "%s %d %.3f %.2f %.0f %.0f\n", name, round, us / 1e6, cpu, peak, bytes }' stats >>results
}

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
	echo "cores $CORES"
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
