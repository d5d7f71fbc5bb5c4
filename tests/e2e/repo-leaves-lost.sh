#!/bin/bash
# The leaf caches become shorter, or vanish, while a capture looks things up in them: it stores more, and what it stores is right.
. "$(dirname "$0")/functions.sh"
requires python3
cd "$T"

openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 150M >v1.img || true
cp v1.img v2.img
# Some leaves of each chunk change: all of it is composed of what the caches know.
python3 - v2.img <<'PYTHON'
import random, sys
rnd = random.Random(1)
with open(sys.argv[1], "r+b") as f:
    for chunk in range((150 << 20) // (256 << 10)):
        for leaf in rnd.sample(range(64), 3):
            f.seek(chunk * (256 << 10) + leaf * 4096)
            f.write(rnd.randbytes(4096))
PYTHON
run_calco repo init store
run_calco capture v1.img store::lab --raw all
cp -a store whole

"$CALCO" capture v2.img store::lab --raw all --threads 1 >out 2>err &
writer=$!
# The first record is written: the caches were asked, and most of the disk is still to come.
until [ -n "$(find store/new -name '*.pack')" ] || [ ! -d /proc/$writer ]; do :; done
find store/new -name '*.pack' | grep -q . || fail "it was too fast"
for file in store/leaves/*; do truncate -s 100000 "$file"; done
wait $writer || fail "exit code $?: $(cat err)"
run_calco verify store::lab@2 --against v2.img
run_calco verify store::lab@1 --against v1.img
run_calco repo prune store --max-unused 0
run_calco repo check store --read-data
run_calco repo check store --rebuild-index
run_calco capture v1.img store::again --raw all
run_calco verify store::again --against v1.img

# With them it costs little, as it did when they were mapped.
run_calco capture v2.img whole::lab --raw all --json
json_true out 'd["result"]["image_bytes"] < 12000000'
