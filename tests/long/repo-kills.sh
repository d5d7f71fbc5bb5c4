#!/bin/bash
# Thousands of captures into a repository, prunes, tags, removals and checks are killed at random moments; see tests/repo_kills.py.
# KILLS: how many (10000)
export TMPDIR=${TMPDIR:-/dev/shm}
. "$(dirname "$0")/../e2e/functions.sh"
requires python3
cd "$T"
python3 "$ROOT/tests/repo_kills.py" "$CALCO" "$T" "${KILLS:-10000}" "${SEED:-1}"
