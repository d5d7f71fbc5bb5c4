#!/bin/sh
# Five hundred damaged exFAT volumes: some minutes.
MUTATIONS=500 exec "$(dirname "$0")/../e2e/damage-exfat.sh"
