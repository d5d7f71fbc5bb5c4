#!/bin/sh
# Five hundred rounds of damage to the metadata of NTFS: some minutes.
ROUNDS=500 SEED=8 exec "$(dirname "$0")/../e2e/damage-ntfs.sh"
