#!/bin/sh
# Five hundred damaged fat volumes: some minutes.
MUTATIONS=500 exec "$(dirname "$0")/../e2e/damage-fat.sh"
