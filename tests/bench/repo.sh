#!/bin/bash
# What versions of a golden image cost in a repository, beside restic and borg. docs/benchmarks.md explains what is measured and why.
# Usage: repo.sh
# Environment: CALCO, ROUNDS (3; the peers take part in the first), BENCH_DIR (where the samples and results lie, up to 25 GB; default
# below TMPDIR or /tmp), KEEP=1 (leave the samples there for the next run), OUT (build/bench), PEERS= (without restic and borg).
set -eu -o pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin
CALCO=${CALCO:-$PWD/build/calco}
OUT=${OUT:-$PWD/build/bench}
ROUNDS=${ROUNDS:-3}
PEERS=${PEERS-restic borg}
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
	rm -rf "$dir/out" "$dir/stores" "$dir/clean" "$dir/disk.img" "$dir/borg-base" "$dir/in.calco"
	[ -n "${KEEP-}" ] || rm -rf "$dir/golden"
	[ -n "${BENCH_DIR-}" ] || rm -rf "$dir"
}
trap remove EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# shellcheck source=tests/bench/measurelib.sh
. "$HERE/measurelib.sh"

# ---- cases

capture() {
	stage "$CALCO" capture --threads 2 --progress none "$@" >/dev/null
}

restore() {
	stage "$CALCO" restore --threads 2 --progress none --yes --state out/state "$1" out/disk.img >/dev/null 2>&1
}

case_file() {
	capture golden/v1.img out/a.calco
}

case_repo_v1() {
	capture golden/v1.img stores/calco::lab
}

case_repo_v2() {
	capture golden/v2.img stores/calco::lab
}

case_repo_near() {
	capture golden/near.img stores/near::lab
}

case_restore_file() {
	restore in.calco
}

case_restore_v1() {
	restore stores/calco::lab@1
}

case_restore_v2() {
	restore stores/calco::lab@2
}

# The peers get the disk as a plain file of always the same name.
case_restic() {
	RESTIC_PASSWORD=bench stage restic -q -r stores/restic --no-cache backup disk.img
}

case_borg() {
	BORG_BASE_DIR=$dir/borg-base stage borg create --compression zstd,3 "stores/borg::$version" disk.img
}

# ---- a round

# Nothing counts that is not the disk again. Of a disk that was never restored, what ext4 says is zero (the journal's body, inode tables
# that were never used) may still hold old bytes.
equal() {
	{ "$CALCO" verify --progress none --json "$1" --against "golden/$2.img" 2>/dev/null || [ $? -eq 3 ]; } | python3 -c '
import json, sys
r = json.load(sys.stdin)["result"]
sys.exit(len(r["damages"]) != r["damages_found"] or any(not d["what"].startswith("not zero, in what") for d in r["damages"]))
' || { say "$1 is not $2.img"; exit 1; }
}

note_leaves() {
	echo "leaves_$1 $(du -s --block-size=1 stores/calco/leaves | cut -f 1)" >>facts
}

calco_round() {
	measure file "$1" out/a.calco
	mv out/a.calco in.calco
	rm -rf stores/calco stores/near
	"$CALCO" repo init stores/calco >/dev/null
	measure repo_v1 "$1" stores/calco
	equal stores/calco::lab@1 v1
	[ "$1" -gt 1 ] || note_leaves v1
	cp -a stores/calco stores/near
	measure repo_near "$1" stores/near
	equal stores/near::lab@2 near
	rm -rf stores/near
	measure repo_v2 "$1" stores/calco
	equal stores/calco::lab@2 v2
	[ "$1" -gt 1 ] || note_leaves v2
	measure restore_file "$1" -
	measure restore_v1 "$1" -
	measure restore_v2 "$1" -
	"$CALCO" verify --progress none stores/calco::lab@2 --against out/disk.img >/dev/null
	rm -f in.calco
}

# What calco restored: the same system, and nothing where the file system holds nothing
make_clean() {
	local version
	mkdir -p clean
	for version in 1 2; do
		"$CALCO" restore --progress none --yes --state clean/state "stores/calco::lab@$version" "clean/v$version.img" >/dev/null 2>&1
		rm -rf clean/state
	done
}

# peer_round PEER FOLDER SUFFIX: both versions from the images in FOLDER
peer_round() {
	local version
	rm -rf "stores/$1"
	if [ "$1" = restic ]; then
		RESTIC_PASSWORD=bench restic -q -r stores/restic init
	else
		BORG_BASE_DIR=$dir/borg-base borg init -e none stores/borg 2>/dev/null
	fi
	for version in v1 v2; do
		say "$1: $2/$version"
		ln -f "$2/$version.img" disk.img
		measure "$1" 1 "stores/$1"
		sed -i "s/^$1 /$1_$version$3 /" results
	done
	rm -rf "stores/$1"
}

"$HERE/golden.sh" "$dir/golden"
cd "$dir"
rm -rf stores clean
mkdir -p stores out
rm -f results
{
	echo "load $(cut -d ' ' -f 1 /proc/loadavg)"
	echo "restic $(restic version | cut -d ' ' -f 2)"
	echo "borg $(borg --version | cut -d ' ' -f 2)"
	for version in v1 v2 near; do
		echo "used_$version $("$CALCO" capture --dry-run --json "golden/$version.img" |
			python3 -c 'import json, sys; print(json.load(sys.stdin)["result"]["used_bytes"])')"
	done
} >facts
cat golden/{v1,v2,near}.img >/dev/null
for ((r = 1; r <= ROUNDS; r++)); do
	say "versions: round $r"
	calco_round "$r"
done
[ -z "$PEERS" ] || make_clean
for peer in $PEERS; do
	peer_round "$peer" golden ""
	peer_round "$peer" clean _clean
done
echo "rounds $ROUNDS" >>facts
mkdir -p "$OUT"
python3 "$HERE/repo_table.py" results facts "$OUT/repo.json" | tee "$OUT/repo.txt"
