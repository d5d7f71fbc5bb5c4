#!/bin/bash
# A disk that differs from its image only where the file systems hold nothing, as the captured one may, is told from one whose content differs.
. "$(dirname "$0")/functions.sh"
requires mke2fs debugfs openssl

cd "$T"
make_ext4 golden.img 64M -b 4096 -J size=4
run_calco capture golden.img golden.calco
journal=$(debugfs -R 'blocks <8>' golden.img 2>/dev/null | awk '{ print $10 }')
[ -n "$journal" ] || fail "the journal was not found"

# As after the use of the disk before the capture: old bytes in the journal's body.
printf 'OLD TRANSACTION' | dd of=golden.img bs=1 seek=$((journal * 4096)) conv=notrunc status=none
expect_exit 3 "$CALCO" verify golden.calco --against golden.img
expect_text out '^DIFFERENT: golden.img is not what golden.calco says, but every file is equal$' 'body of a clean journal' '^  was captured its own old bytes'
expect_text err 'golden.img: 1 place differs from the image only where its file systems hold nothing' '^hint: old bytes there are harmless on the disk that was captured'
expect_exit 3 "$CALCO" verify golden.calco --against golden.img --json
json_true out "d['error']['reason'] == 'spare' and d['result']['verdict'] == 'different' and d['result']['only_spare'] and d['result']['damages_found'] == 1"

# One byte of a file beside it is another matter.
numbers=$(debugfs -R 'blocks /data/numbers' golden.img 2>/dev/null | awk '{ print $1 }')
printf 'X' | dd of=golden.img bs=1 seek=$((numbers * 4096)) conv=notrunc status=none
expect_exit 3 "$CALCO" verify golden.calco --against golden.img
expect_text out '^DIFFERENT: golden.img is not what golden.calco says$'
expect_no_text out 'body of a clean journal'
expect_exit 3 "$CALCO" verify golden.calco --against golden.img --json
json_true out "d['error']['reason'] == 'different' and not d['error']['hint'] and not d['result']['only_spare']"
run_calco restore golden.calco golden.img --confirm golden.img
run_calco verify golden.calco --against golden.img --json
json_true out "d['result']['verdict'] == 'equal' and not d['result']['only_spare']"
