#!/bin/bash
# Every single bit of a small image that is encrypted and signed turned over, and every cut: found each time, and located. Then the same with the
# checksums made right: what is found then is found by authentication.
. "$(dirname "$0")/functions.sh"
requires mke2fs openssl python3
flip=${TOOLS:-$ROOT/build/tests/tools}/flip
[ -x "$flip" ] || skip "tests/tools/flip is not built"
cd "$T"
mkdir tree
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 2000 >tree/noise || true
truncate -s 1M disk.img
mke2fs -q -F -t ext2 -I 256 -b 1024 -L root -U 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 -d tree disk.img
run_calco key new sym --kind symmetric
run_calco key new signer
run_calco capture disk.img lab.calco --key sym --sign signer
[ "$(stat -c %s lab.calco)" -lt 8000 ] || fail "the image is larger than this test was made for"

"$flip" lab.calco verify 1 sym || fail "a bit goes unnoticed, or is not located"
"$flip" lab.calco pipe 11 sym || fail "a bit in a pipe goes unnoticed, or is not located"
"$flip" lab.calco cut 1 sym || fail "a cut goes unnoticed"
"$flip" lab.calco restore 97 sym || fail "something damaged reaches a target"

# Without the key the program does not go further than the slots, whatever is changed behind them: never 0, and nothing written.
python3 - "$ROOT/tests/reader" "$CALCO" <<'PYTHON' || fail "a change with right checksums goes unnoticed"
import random, subprocess, sys
sys.path.insert(0, sys.argv[1])
import test_reader
r, bad, image = random.Random(5), 0, open("lab.calco", "rb").read()
pieces = list(test_reader.pieces(image))
for i in range(250):
    changed = bytearray(image)
    kind, header, payload, end = r.choice(pieces)
    at = r.randrange(header, end)
    changed[at] ^= 1 << r.randrange(8)
    test_reader.seal(changed, header)
    if changed == image:    # it was the checksum itself
        continue
    open("changed.calco", "wb").write(changed)
    got = subprocess.run([sys.argv[2], "verify", "changed.calco", "--key", "sym", "--require-signer", "signer.pub"], capture_output=True)
    # An entry of CSIG that a file does not need may become one of an unknown algorithm.
    allowed = {3, 4, 6} | ({0} if kind == b"CSIG" or (kind == b"SIGS" and at >= payload + 104) else set())
    if got.returncode not in allowed:
        print(f"{kind} byte {at - header}: exit code {got.returncode}: {got.stderr.decode()}", file=sys.stderr)
        bad += 1
sys.exit(bad > 0)
PYTHON
