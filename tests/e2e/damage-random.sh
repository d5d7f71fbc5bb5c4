#!/bin/bash
# Bits of a larger image turned over at random: found, and located to the chunk. FLIPS=200; tests/long/ asks for more.
. "$(dirname "$0")/functions.sh"
requires openssl
flip=${TOOLS:-$ROOT/build/tests/tools}/flip
[ -x "$flip" ] || skip "tests/tools/flip is not built"

cd "$T"
make_gpt_disk disk.img
read -r -a place < <(partition_place disk.img 2)
# Some 32 MB that do not shrink, so that most of the file is payload.
rm -rf tree
sample_tree tree
openssl enc -aes-128-ctr -K 01 -iv 00 -in /dev/zero 2>/dev/null | head -c 32000000 >tree/noise || true
make_ext4 part "${place[1]}"
put_partition disk.img 2 part
run_calco capture disk.img lab.calco
"$flip" lab.calco random "${FLIPS:-200}" || fail "a bit goes unnoticed, or is not located"
"$flip" lab.calco cut 15 || fail "a cut goes unnoticed"
