#!/bin/bash
# Damage that was there before does not get into a new version; what the new version stores again heals the old ones.
. "$(dirname "$0")/functions.sh"
requires mke2fs debugfs python3
cd "$T"

# damage PACK HOW N...: of the N-th record of a pack (negative: from the end) a byte of the payload is another; HOW "fits": its checksums fit that
damage() {
	python3 - "$@" <<'PYTHON'
import struct, sys, zlib
path, how, which = sys.argv[1], sys.argv[2], list(map(int, sys.argv[3:]))
data = bytearray(open(path, "rb").read())
begins, at = [], 64
while data[at:at + 4] == b"CHNK":
    begins.append(at)
    at += 96 + struct.unpack_from("<I", data, at + 76)[0]
for n in which:
    at = begins[n]
    size = struct.unpack_from("<I", data, at + 76)[0]
    data[at + 96 + size // 2] ^= 0x40
    if how == "fits":
        assert data[at + 5] == 0, "not a raw record"
        struct.pack_into("<I", data, at + 88, zlib.crc32(data[at + 96:at + 96 + size]))
        struct.pack_into("<I", data, at + 92, zlib.crc32(data[at:at + 92]))
open(path, "r+b").write(data)
PYTHON
}

truncate -s 60M disk.img
mke2fs -q -F -t ext4 -L root disk.img
# Nothing of it compresses: the middle of the pack is records as raw as the file.
head -c 20000000 /dev/urandom >file
debugfs -w -R "write file file" disk.img >/dev/null 2>&1
cp disk.img v1.img
run_calco repo init store
run_calco capture disk.img store::lab
pack=$(echo store/packs/*)
head -c 100000 /dev/urandom >new
debugfs -w -R "write new new" disk.img >/dev/null 2>&1
run_calco capture disk.img store::lab
run_calco repo check store
[ ! -e store/damaged ] || fail "something is noted in a sound repository"

# Found by a check, it is stored again by the next capture; then the older versions use that.
damage "$pack" plain 30 31 50
expect_exit 3 "$CALCO" repo check store
[ "$(wc -l <"store/damaged/$(basename "$pack" .pack)")" -eq 3 ] || fail "not three records are noted: $(cat store/damaged/*)"
expect_exit 3 "$CALCO" verify store::lab@2
expect_exit 3 "$CALCO" repo check store --heal --json
json_true out 'd["result"]["healed_chunks"] == 0'
before=$(cat store/packs/* | wc -c)
run_calco capture disk.img store::lab
[ $(($(cat store/packs/* | wc -c) - before)) -lt 900000 ] || fail "more than the three chunks was stored again"
run_calco verify store::lab@3 --against disk.img
expect_exit 3 "$CALCO" repo check store
expect_text out 'damaged +lab@1: 3 of' 'damaged +lab@2: 3 of' 'whole +lab@3'
expect_exit 2 "$CALCO" repo check store --heal --sample 50
expect_exit 3 "$CALCO" repo check store --heal
expect_text out 'whole +lab@1' 'whole +lab@2' 'whole +lab@3' '6 chunks .* healed'
run_calco verify store::lab@1 --against v1.img
run_calco verify store::lab@2 --against disk.img

# Then nobody needs what is bad, and it goes with its notes.
run_calco repo prune store --max-unused 0
run_calco repo check store --read-data
[ -z "$(find store/damaged -type f)" ] || fail "a note stayed: $(cat store/damaged/*)"
run_calco verify store::lab@1 --against v1.img

# Only --read-data sees it; whoever comes after knows it from the note, until it is right again.
pack=$(find store/packs -size +10M)
cp -a store whole
damage "$pack" fits 30
run_calco repo check store
expect_exit 3 "$CALCO" repo check store --read-data
expect_text out 'does not match its id'
expect_exit 3 "$CALCO" repo check store
expect_text out 'found damaged before'
run_calco capture disk.img store::lab
run_calco verify store::lab@4 --against disk.img
expect_exit 3 "$CALCO" verify store::lab@3
expect_exit 3 "$CALCO" repo check store --heal
run_calco verify store::lab@3 --against disk.img
cp "whole/packs/$(basename "$pack")" "$pack"
run_calco repo check store --read-data
[ -z "$(find store/damaged -type f)" ] || fail "a note stayed: $(cat store/damaged/*)"
run_calco repo check store

# The same in an encrypted repository, where a plain check sees what fits, too.
rm -rf store whole
run_calco key new sym --kind symmetric
run_calco repo init store --key sym
run_calco capture v1.img store::lab --key sym
pack=$(echo store/packs/*)
run_calco capture disk.img store::lab --key sym
run_calco repo stats store --key sym --json
json_true out 'd["result"]["composed_records"] > 0'
cp -a store whole
damage "$pack" plain 31 50
damage "$pack" fits 30
expect_exit 3 "$CALCO" repo check store --key sym
[ "$(wc -l <"store/damaged/$(basename "$pack" .pack)")" -eq 3 ] || fail "not three records are noted: $(cat store/damaged/*)"
before=$(cat store/packs/* | wc -c)
run_calco capture disk.img store::lab --key sym
[ $(($(cat store/packs/* | wc -c) - before)) -lt 900000 ] || fail "more than the three chunks was stored again"
run_calco verify store::lab@3 --against disk.img --key sym
expect_exit 3 "$CALCO" verify store::lab@2 --key sym
expect_exit 4 "$CALCO" repo check store --heal
expect_exit 3 "$CALCO" repo check store --heal --key sym
expect_text out 'whole +lab@1' 'whole +lab@2' 'whole +lab@3' '6 chunks .* healed'
run_calco verify store::lab@1 --against v1.img --key sym
run_calco verify store::lab@2 --against disk.img --key sym
run_calco repo prune store --max-unused 0 --key sym
run_calco repo check store --read-data --key sym
[ -z "$(find store/damaged -type f)" ] || fail "a note stayed: $(cat store/damaged/*)"
run_calco verify store::lab@1 --against v1.img --key sym
run_calco verify store::lab@2 --against disk.img --key sym
