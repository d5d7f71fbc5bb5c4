#!/bin/sh
# Five hundred rounds of damage to the metadata of F2FS: some minutes.
MUTATIONS=500 FIRST=1000 exec "$(dirname "$0")/../e2e/damage-f2fs.sh"
