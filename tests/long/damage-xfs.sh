#!/bin/sh
# Five hundred rounds of damage to the metadata of XFS: some minutes.
ROUNDS=500 SEED=10 exec "$(dirname "$0")/../e2e/damage-xfs.sh"
