#!/bin/sh
# Run one unit test and print what it says in one piece, so that several can run side by side.
set -u
start=$(date +%s)
out=$("$1" 2>&1)
rc=$?
printf '  UNIT %s (%d s)\n%s\n' "$1" $(($(date +%s) - start)) "$out"
exit $rc
