#!/bin/bash
# Every call of every kind fails once; see tests/faults.py.
set -eu
cd "$(dirname "$0")/../e2e"
FAULTS=${FAULTS:-0} exec ./faults.sh
