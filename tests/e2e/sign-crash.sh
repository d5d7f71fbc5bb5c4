#!/bin/bash
# Signing in place: whatever fails or is cut short, the image is as it was, or the same command finishes it, to the byte.
. "$(dirname "$0")/functions.sh"
requires python3 mke2fs
faults=${TOOLS:-$ROOT/build/tests/tools}/faults.so
[ -f "$faults" ] || skip "faults.so is not built"
cd "$T"

truncate -s 3M disk.img
mke2fs -q -F -t ext4 disk.img
for k in a b c; do run_calco key new $k; done
run_calco capture disk.img new.calco
run_calco capture disk.img full.calco --sign a
run_calco sign full.calco b
cat >crash.py <<'PYTHON'
import os, random, shutil, subprocess, sys
calco, faults, name, key = sys.argv[1:]
r = random.Random(name)
read = lambda p: open(p, "rb").read()
def put(data, journal=None):
    open("x.calco", "wb").write(data)
    if os.path.exists("x.calco.sign"):
        os.unlink("x.calco.sign")
    if journal is not None:
        open("x.calco.sign", "wb").write(journal)
def run(*args, fault=None):
    env = dict(os.environ, **(dict(LD_PRELOAD=faults, CALCO_FAULT=fault, CALCO_FAULT_COUNT="count") if fault else {}))
    return subprocess.run([calco, *args], capture_output=True, env=env, timeout=60)
def sign(fault=None):
    return run("sign", "x.calco", key, fault=fault)
def finished(what):
    got = sign()
    assert got.returncode == 0, (what, got.stderr)
    assert read("x.calco") == new, f"{what}: not what an undisturbed signing makes"
    assert not os.path.exists("x.calco.sign"), what
old = read(name)
put(old)
assert sign().returncode == 0
new = read("x.calco")
assert new != old and not os.path.exists("x.calco.sign")
assert run("verify", "x.calco", "--require-signer", key + ".pub").returncode == 0

# Each call fails once.
journal, hits = None, 0
for kind in ("write", "fsync", "full", "open", "read", "malloc", "short-write", "intr"):
    put(old)
    assert sign(f"{kind}:0").returncode == 0
    count = int(read("count"))
    for n in sorted({1 + i * count // 40 for i in range(40)} & set(range(1, count + 1))) if count > 40 else range(1, count + 1):
        put(old)
        got = sign(f"{kind}:{n}")
        assert got.returncode in (0, 1, 2, 3, 4, 6), (kind, n, got)
        now, left = read("x.calco"), os.path.exists("x.calco.sign")
        if got.returncode == 0:
            assert now == new and (not left or kind == "malloc"), (kind, n)
        else:
            hits += 1
            assert left or now in (old, new), (kind, n, "no journal, and another image")
        if left:
            journal = read("x.calco.sign") if kind == "write" else journal
        finished(f"after {kind}:{n}")
assert journal and hits > 10

# Power cut while the image was written: any of the changed 512 bytes is old or new, at any length.
for i in range(300):
    size = r.choice((len(old), len(new), r.randrange(len(old), len(new) + 1)))
    torn = bytearray((old + bytes(len(new)))[:size])
    for at in range(0, size, r.choice((1, 16, 512))):
        if r.random() < 0.5:
            torn[at:at + 512] = new[at:min(at + 512, size)]
    put(bytes(torn), journal)
    if torn not in (old, new):
        got = run("verify", "x.calco")
        assert got.returncode in (0, 3), got
        assert got.returncode == 0 or b"calco sign" in got.stderr or b"DAMAGED" in got.stdout, got
    finished(f"torn {i}")
# Power cut while the journal was written: it does not count.
for cut in {*range(0, 200, 7), *range(len(journal) - 40, len(journal)), *(r.randrange(len(journal)) for _ in range(20))}:
    put(old, journal[:cut])
    finished(f"journal cut at {cut}")
for i in range(60):
    bad = bytearray(journal)
    bad[r.randrange(len(bad))] ^= 1 << r.randrange(8)
    put(old, bytes(bad))
    finished("journal with a wrong bit")
# Of another image: refused, and nothing is touched.
other = bytearray(old)
other[40] ^= 1
import zlib
other[60:64] = zlib.crc32(bytes(other[:60])).to_bytes(4, "little")
put(bytes(other), journal)
assert sign().returncode == 4 and read("x.calco") == bytes(other) and read("x.calco.sign") == journal
put(old)
print(hits, "faults,", 300, "torn images")
PYTHON
python3 crash.py "$CALCO" "$faults" new.calco a || fail "signing with room reserved loses something"
python3 crash.py "$CALCO" "$faults" full.calco c || fail "signing that makes the tail longer loses something"

# While somebody else writes it, it is not signed.
cp new.calco x.calco
exec 9<x.calco
flock 9
expect_exit 4 "$CALCO" sign x.calco a
cmp x.calco new.calco
