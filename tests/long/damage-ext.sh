#!/bin/sh
# Five hundred damaged ext volumes: some minutes.
MUTATIONS=500 exec "$(dirname "$0")/../e2e/damage-ext.sh"
