#!/bin/sh
# Five hundred rounds of damage to the metadata of btrfs: some minutes.
ROUNDS=500 SEED=8 exec "$(dirname "$0")/../e2e/damage-btrfs.sh"
