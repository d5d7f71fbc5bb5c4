#!/bin/bash
# Thousands of captures into a repository, prunes, tags, removals and checks are killed at random moments; see tests/repo_kills.py.
# KILLS: how many (10000)
export TMPDIR=${TMPDIR:-/dev/shm}
. "$(dirname "$0")/../e2e/functions.sh"
requires python3
cd "$T"
run_calco key new key --kind symmetric
for key in "" "$T/key"; do # in clear, and encrypted
	mkdir "$T/work"
	python3 "$ROOT/tests/repo_kills.py" "$CALCO" "$T/work" "$((${KILLS:-10000} / 2))" "${SEED:-1}" ${key:+"$key"}
	rm -rf "$T/work"
done
