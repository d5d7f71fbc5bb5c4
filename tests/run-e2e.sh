#!/bin/bash
# Run tests/e2e/*.sh, or those named, two at a time, and print one TAP line for each with its time.
# Environment: CALCO (the program), JOBS (2), TEST_TIMEOUT (600 seconds for each). Exit 1 if any failed.
set -eu
cd "$(dirname "$0")/.."
export CALCO=${CALCO:-$PWD/build/calco} TEST_TIMEOUT=${TEST_TIMEOUT:-600} LOGS
LOGS=$(mktemp -d "${TMPDIR:-/tmp}/calco-e2e.XXXXXX")
# What several tests need is made by the first of them.
export E2E_CACHE=$LOGS/cache
mkdir "$E2E_CACHE"
trap 'rm -rf "$LOGS"' EXIT

if [ $# -eq 0 ]; then
	# Those that take longest come first, so that in the end no processor waits for one of them.
	slow=(interrupted-restore damage-bits plan-1tb round-exfat damage-ext damage-exfat crash-prefixes crash-rerun round-ext4-options round-ntfs-mbr
		round-f2fs damage-f2fs round-luks round-ntfs round-xfs round-gpt)
	mapfile -t tests < <({ printf 'tests/e2e/%s.sh\n' "${slow[@]}"; grep -lE '^#!' tests/e2e/*.sh | sort; } | awk '!seen[$0]++')
else
	tests=("$@")
fi

run_one() {
	local number=${1%%:*} script=${1#*:}
	local name begin status=0 seconds log
	name=$(basename "$script" .sh)
	log=$LOGS/$name
	begin=${EPOCHREALTIME/[.,]/}
	timeout -k 10 "$TEST_TIMEOUT" "$script" </dev/null >"$log" 2>&1 || status=$?
	seconds=$(((${EPOCHREALTIME/[.,]/} - begin) / 100000))
	seconds=$((seconds / 10)).$((seconds % 10))
	case $status in
	0) echo "ok $number - $name ($seconds s)" ;;
	77) echo "ok $number - $name # SKIP $(grep '^SKIP: ' "$log" | tail -n 1 | cut -c 7-)"; touch "$log.skipped" ;;
	*)
		touch "$log.failed"
		[ "$status" != 124 ] || echo "stopped after $TEST_TIMEOUT s" >>"$log"
		# One write, so that the lines of two failing tests do not mix.
		printf '%s\n' "not ok $number - $name ($seconds s, exit $status)
$(tail -n 60 "$log" | sed 's/^/# /')"
		;;
	esac
}
export -f run_one

echo "1..${#tests[@]}"
for i in "${!tests[@]}"; do
	printf '%s\0' "$((i + 1)):${tests[i]}"
done | xargs -0 -r -n 1 -P "${JOBS:-2}" bash -c 'run_one "$1"' run_one

count() {
	find "$LOGS" -name "*.$1" | wc -l
}
failed=$(count failed) skipped=$(count skipped)
echo "# ${#tests[@]} tests, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
