#!/bin/bash
# Metadata of btrfs changed at random: every capture ends, and what it does not refuse is a whole copy. ROUNDS=40; tests/long/ asks for more.
. "$(dirname "$0")/functions.sh"
requires mkfs.btrfs btrfs python3 openssl

cd "$T"
export CALCO PYTHONDONTWRITEBYTECODE=1
mkdir -p tree/deep/er
seq 1 80000 >tree/numbers
for i in $(seq 60); do echo "inline $i" >"tree/deep/small file $i"; done
for i in $(seq 20); do head -c $((i * 5000)) tree/numbers >"tree/deep/er/part-$i"; done
openssl enc -aes-128-ctr -K 02 -iv 00 -in /dev/zero 2>/dev/null | head -c 900000 >tree/random || true

# volume FILE SIZE OPTION...
volume() {
	truncate -s "$2" "$1"
	mkfs.btrfs -q --rootdir tree -L mutant "${@:3}" "$1" >/dev/null 2>&1 || fail "mkfs.btrfs ${*:3}"
}

volume base-1.img 40M -M -n 4096
volume base-2.img 110M -n 4096
volume base-3.img 110M
volume base-4.img 110M -n 4096 -O ^no-holes,^skinny-metadata -R ^free-space-tree
cp --sparse=always base-2.img base-5.img
python3 "$ROOT/tests/tools/btrfs_image.py" groups base-5.img
python3 "$ROOT/tests/tools/btrfs_mutate.py" "${SEED:-7}" "${ROUNDS:-40}" >log || { tail -n 3 log >&2; fail "see above"; }
tail -n 1 log
