#!/bin/bash
# Every parser of outside bytes under libFuzzer with ASan and UBSan, FUZZ_RUNS inputs each (of a whole repository a hundredth), beginning with the stored findings and seeds made on
# the spot. FUZZ_ONLY: words, only these targets. FUZZ_CORPUS: a folder that keeps what was found worth mutating, for the next time.
set -eu
cd "$(dirname "$0")/../.."
RUNS=${FUZZ_RUNS:-10000000}
corpus=${FUZZ_CORPUS:-$(mktemp -d)}
[ -n "${FUZZ_CORPUS:-}" ] || trap 'rm -rf "$corpus"' EXIT

tests/deps.sh fuzz
make --no-print-directory all fuzz
for engine in build/engine/fuzz_*; do
	name=${engine##*/fuzz_}
	[[ -z ${FUZZ_ONLY:-} || " $FUZZ_ONLY " == *" $name "* ]] || continue
	folders=("$corpus/$name")
	mkdir -p "${folders[0]}"
	if [ -x "tests/fuzz/make_${name}_seeds.sh" ] && [ ! -d "build/seeds/$name" ]; then
		"tests/fuzz/make_${name}_seeds.sh" "build/seeds/$name.new"
		mv "build/seeds/$name.new" "build/seeds/$name"
	fi
	for folder in "tests/fuzz/corpus/$name" "build/seeds/$name"; do
		[ ! -d "$folder" ] || folders+=("$folder")
	done
	runs=$RUNS
	[ "$name" != repo ] || runs=$((RUNS / 100)) # a folder of files is made and pruned each time
	"$engine" -runs="$runs" -timeout=30 -rss_limit_mb=2048 -max_len=400000 -print_final_stats=1 -artifact_prefix="$corpus/$name-" "${folders[@]}" >"$corpus/$name.log" 2>&1 || {
		tail -n 40 "$corpus/$name.log" >&2
		echo "FAILED: fuzz_$name; the input is beside $corpus/$name.log" >&2
		trap - EXIT
		exit 1
	}
	awk -v name="$name" '/number_of_executed_units/ { print "fuzz_" name ": " $2 " runs, no finding" }' "$corpus/$name.log"
done
