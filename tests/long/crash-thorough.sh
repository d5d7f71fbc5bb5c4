#!/bin/bash
# The quick crash tests with more of everything: reordered writes, seeds, numbers of threads, ways to scrub, and places to rerun from.
cd "$(dirname "$0")/../e2e"
set -eu
CRASH_RERUNS=${CRASH_RERUNS:-12} ./crash-rerun.sh
for seed in 1 2 3; do
	export CRASHCHECK_SEED=$seed CRASHCHECK_SUBSETS=${CRASHCHECK_SUBSETS:-100} WRITELOG_THREADS=$((seed * seed)) WRITELOG_SCRUB
	case $seed in
	1) WRITELOG_SCRUB=discard ;;
	2) WRITELOG_SCRUB=zero ;;
	*) WRITELOG_SCRUB=none ;;
	esac
	./crash-prefixes.sh
done
