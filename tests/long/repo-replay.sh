#!/bin/bash
# The power goes while a repository is worked on: what may be left of it is made and judged; see tests/repo_replay.py.
# STATES: how many different ones (100000); SEED
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 1000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/../e2e/functions.sh"
requires python3
for tool in repocrash oplog.so; do
	[ -e "$TOOLS/$tool" ] || skip "$tool is not built"
done
python3 "$ROOT/tests/repo_replay.py" "$CALCO" "$TOOLS" "$T" "${STATES:-100000}" "${SEED:-1}"
