#!/bin/sh
# Ten thousand bits of a larger image: about ten minutes on two cores.
FLIPS=10000 TEST_TIMEOUT=7200 exec "$(dirname "$0")/../e2e/damage-random.sh"
