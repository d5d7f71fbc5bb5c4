#!/bin/bash
# Some hundreds of states that a power cut may leave of a repository; a hundred thousand are in tests/long/repo-replay.sh. And the test can see:
# were the flushes of the versions not there, something would be lost.
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 1000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/functions.sh"
requires python3
for tool in repocrash oplog.so; do
	[ -e "$TOOLS/$tool" ] || skip "$tool is not built"
done
export REPLAY_EACH=${REPLAY_EACH:-5} REPLAY_SAMPLE=${REPLAY_SAMPLE:-200} REPLAY_STEP=${REPLAY_STEP:-9}
mkdir "$T/real" "$T/deaf"
python3 "$ROOT/tests/repo_replay.py" "$CALCO" "$TOOLS" "$T/real" "${STATES:-500}" "${SEED:-1}"
expect_exit 1 env CALCO_OPLOG_DEAF=images python3 "$ROOT/tests/repo_replay.py" "$CALCO" "$TOOLS" "$T/deaf" 2000 1
expect_text "$T/err" 'is lost|is missing|is damaged'
