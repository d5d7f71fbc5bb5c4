#!/bin/bash
# Crude damage to the metadata of exFAT volumes: refused, taken raw, or captured so that an independent reader finds the same files in
# the restored copy. MUTATIONS: how many (60)
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/damagelib.sh"
requires python3

EXFAT=$ROOT/tests/tools/exfat.py
python3 "$EXFAT" make "$T/whole0" 3000320 cluster=512 files=60 deleted=5 dirs=9 max=4000
python3 "$EXFAT" make "$T/whole1" 3000320 cluster=1024 files=60 deleted=5 max=4000 seed=2 bad=3
python3 "$EXFAT" make "$T/whole2" 3000320 cluster=1024 fats=2 active=1 second=5 files=60 max=4000 seed=3

damage() { python3 "$EXFAT" mutate "$T/now" "$2"; }
same() { same_list "$1" "$EXFAT"; }

REASONS="dirty errors"
damage_rounds 60 refused raw readable
