#!/bin/bash
# Some hundreds of mutants of a signed version and a signed file; ten thousand are in tests/long/manifest-mutants.sh.
MUTANTS=${MUTANTS:-700} exec "$(dirname "$0")/../long/manifest-mutants.sh"
