#!/bin/bash
# Who can write to an encrypted repository, but has no key, changes nothing that goes unnoticed: bits, with the checksums made right too, and
# records, packs, tables, versions and heads that stand in for others. Key slots come and go. An independent reader agrees with all of it.
. "$(dirname "$0")/functions.sh"
requires mke2fs debugfs python3
cd "$T"
reader() {
	python3 "$ROOT/tests/reader/repo.py" "$@"
}

for k in "sym symmetric" "box recipient" "new symmetric"; do
	read -r name kind <<<"$k"
	run_calco key new "$name" --kind "$kind"
done
echo 'correct horse' >phrase
mkdir tree
head -c 1500000 /dev/urandom >tree/noise
for i in $(seq 2000); do echo "line $i"; done >tree/text
truncate -s 6M disk.img
mke2fs -q -F -t ext4 -L root -d tree disk.img
cp disk.img v1.img
head -c 30000 /dev/urandom >more.bin
debugfs -w -R "write more.bin more" disk.img >/dev/null 2>&1
cp disk.img v2.img
for folder in store second; do
	run_calco repo init $folder --key sym --key box.pub --passphrase-file phrase
	run_calco capture v1.img $folder::lab --key sym
	run_calco capture v2.img $folder::lab --key sym
done
run_calco repo init clear
run_calco capture v1.img clear::lab
run_calco capture v2.img clear::lab
cp -a store whole

# The other reader, from the documents alone.
for key in "--key sym" "--key box" "--passphrase-file phrase"; do
	read -r -a list <<<"$key"
	expect_exit 0 reader compare store lab 1 v1.img "${list[@]}"
	expect_exit 0 reader compare store lab 2 v2.img "${list[@]}"
done
expect_exit 3 reader compare store lab 1 v2.img --key sym
expect_exit 0 reader check store --key sym
expect_exit 0 reader check clear
expect_exit 4 reader check store
expect_exit 4 reader check store --key new

cat >tamper.py <<'PYTHON'
import os, random, shutil, struct, subprocess, sys, zlib
calco = os.environ["CALCO"]
def read(path):
    return bytearray(open(path, "rb").read())
def write(path, data):
    open(path, "wb").write(data)
def check(*options):
    shutil.rmtree("store/damaged", True)    # what the check before found would be told again
    return subprocess.run([calco, "repo", "check", "store", "--key", "sym", *options], capture_output=True).returncode
def restore():
    shutil.rmtree("store")
    shutil.copytree("whole", "store", symlinks=True)
def pieces(data):
    """(type, header, payload, end) of parts and records."""
    at = 64
    while at < len(data):
        size, length = (96, struct.unpack_from("<I", data, at + 76)[0]) if data[at:at + 4] == b"CHNK" else (32, struct.unpack_from("<Q", data, at + 16)[0])
        yield bytes(data[at:at + 4]), at, at + size, at + size + length
        at += size + length
def put_crc(data, at, begin, end):
    struct.pack_into("<I", data, at, zlib.crc32(bytes(data[begin:end])))
def mend(data, kind, header, payload, end):
    """Makes the checksums right."""
    if header == 0:
        put_crc(data, 60, 0, 60)
        return
    size = payload - header
    put_crc(data, payload - 8, payload, end)
    put_crc(data, payload - 4, header, header + size - 4)
def files(folder="store"):
    return sorted(os.path.join(f, n) for f, _, names in os.walk(folder) for n in names if not f.endswith(("leaves", "leases")) and n != "lock")
PYTHON

PYTHONPATH=$T python3 - <<'PYTHON' || fail "a changed bit goes unnoticed"
from tamper import *
r, missed, tried = random.Random(7), [], 0
for path in files():
    whole = read(path)
    places = {*range(0, 64, 9), *range(max(len(whole) - 130, 0), len(whole), 17), *(r.randrange(len(whole)) for _ in range(25))}
    for at in sorted(places):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        write(path, changed)
        code, tried = check(), tried + 1
        if code not in (3, 4, 6):
            missed.append((path, at, code))
    # The same with right checksums: what is found is found by authentication.
    for kind, header, payload, end in [(b"", 0, 0, 64), *pieces(whole)]:
        for at in {header + 8, header + 20, *(r.randrange(header, end) for _ in range(3))}:
            changed = bytearray(whole)
            changed[at] ^= 1 << r.randrange(8)
            mend(changed, kind, header, payload, end)
            if changed == whole:
                continue
            write(path, changed)
            code, tried = check(), tried + 1
            # An entry for signatures that is free may become one of an unknown algorithm; an optional feature, a minor version are ignored;
            # a slot may become one for somebody else: it opens nothing.
            allowed = kind in (b"CSIG", b"SIGS", b"KEYS") or (header == 0 and at in (10, 11, *range(24, 32)))
            if code not in (3, 4, 6) and not (allowed and code == 0):
                missed.append((path, kind, at - header, code))
    write(path, whole)
print(f"{tried} changes")
sys.exit(f"not found: {missed[:10]}" if missed or tried < 300 else 0)
PYTHON
rm -rf store/damaged
diff -r store whole || fail "checking changed something"

PYTHONPATH=$T python3 - <<'PYTHON' || fail "what was exchanged goes unnoticed"
from tamper import *
def expect(what, codes=(3,), *options):
    got = check(*options)
    restore()
    if got not in codes:
        sys.exit(f"{what}: exit code {got}")
def swap(a, b):
    one, other = read(a), read(b)
    write(a, other)
    write(b, one)
versions = ["store/images/lab/1.version", "store/images/lab/2.version"]
packs = sorted((f for f in files() if "/packs/" in f), key=os.path.getsize)
assert len(packs) == 2 and check() == 0
swap(*versions)
expect("two versions")
swap(*packs)
expect("two packs")
data, other = read(packs[0]), read(packs[1])
data[32:48], other[32:48] = other[32:48], data[32:48]
put_crc(data, 60, 0, 60)
put_crc(other, 60, 0, 60)
write(packs[0], other)
write(packs[1], data)
expect("two packs with the ids of each other")
# Records of one length: as a whole, and only their payloads.
big = read(packs[1])
same = [p for p in pieces(big) if p[0] == b"CHNK" and p[3] - p[2] == 262144 + 16][:2]
assert len(same) == 2
(_, h1, p1, e1), (_, h2, p2, e2) = same
changed = bytearray(big)
changed[h1:e1], changed[h2:e2] = big[h2:e2], big[h1:e1]
write(packs[1], changed)
expect("two records")
changed = bytearray(big)
changed[p1:e1], changed[p2:e2] = big[p2:e2], big[p1:e1]
for p in same:
    mend(changed, *p)
write(packs[1], changed)
expect("the payloads of two records")
changed = bytearray(big)
changed[h1:e1] = big[h2:e2]
write(packs[1], changed)
expect("a record twice")
# A record that names the other's id.
changed = bytearray(big)
changed[h1 + 40:h1 + 72] = big[h2 + 40:h2 + 72]
mend(changed, *same[0])
write(packs[1], changed)
expect("another id")
# Of another repository of the same people, whose slots the same key opens.
shutil.copy("second/images/lab/1.version", versions[0])
expect("a version of another repository")
theirs = max((f for f in files("second") if "/packs/" in f), key=os.path.getsize)
data = read(theirs)
pack = bytes.fromhex(os.path.basename(packs[1])[:32])
data[32:48] = pack
put_crc(data, 60, 0, 60)
last = list(pieces(data))[-1]
data[last[2] + 40:last[2] + 56] = pack
mend(data, *last)
write(packs[1], data)
expect("a pack of another repository")
shutil.copy("second/calco-repo", "store/calco-repo")
expect("the head of another repository", (3,))
head = read("second/calco-repo")
head[32:48] = read("store/calco-repo")[32:48]
put_crc(head, 60, 0, 60)
write("store/calco-repo", head)
expect("the slots of another repository")
# In clear what must be encrypted.
shutil.copy("clear/images/lab/1.version", versions[0])
expect("a version in clear")
shutil.copy(max((f for f in files("clear") if "/packs/" in f), key=os.path.getsize), "store/packs/" + "0" * 32 + ".pack")
expect("a pack in clear")
data = read(versions[0])
data[16] &= ~1
put_crc(data, 60, 0, 60)
write(versions[0], data)
expect("a version that says it is in clear")
PYTHON
rm -rf store && cp -a whole store
# A list reads no summary that anybody could have written.
cp clear/images/lab/1.version store/images/lab/1.version
run_calco repo list store --key sym --json
json_true out '[v["state"] for v in d["result"]["versions"]] == ["damaged", "complete"]'
rm -rf store && cp -a whole store

# The head of a clear repository in its place: with the key nothing works, and without it nothing is written in clear among what is encrypted.
cp clear/calco-repo store/calco-repo
for one in "capture v1.img store::lab" "repo check store" "repo list store" "verify store::lab" "repo prune store"; do
	read -r -a list <<<"$one"
	expect_exit 4 "$CALCO" "${list[@]}" --key sym --json
	json_true out 'd["error"]["reason"] == "not-encrypted"'
done
for one in "capture v1.img store::lab" "capture v1.img store::more" "repo check store" "verify store::lab" "repo prune store"; do
	read -r -a list <<<"$one"
	expect_exit 4 "$CALCO" "${list[@]}" --json
	json_true out 'd["error"]["reason"] == "mixed"'
done
cp whole/calco-repo store/calco-repo
diff -r store whole || fail "something was written"
# And an encrypted head over what is in clear.
cp -a clear mixed
cp whole/calco-repo mixed/calco-repo
expect_exit 3 "$CALCO" verify mixed::lab --key sym
expect_exit 3 "$CALCO" repo check mixed --key sym

# A leaf cache that is damaged or another one's costs room, nothing else.
cp -a whole lying
first=$(find lying/leaves -type f | sort | head -n 1)
last=$(find lying/leaves -type f | sort | tail -n 1)
mv "$first" x
mv "$last" "$first"
mv x "$last"
head -c 9000 /dev/urandom >again
debugfs -w -R "write again again" disk.img >/dev/null 2>&1
run_calco capture disk.img lying::lab --key sym
run_calco verify lying::lab --against disk.img --key sym
run_calco repo check lying --read-data --key sym
run_calco repo check lying --rebuild-index --key sym --json
json_true out 'd["result"]["rebuilt"] == 2'
expect_exit 0 reader check lying --key sym
expect_exit 0 reader compare lying lab 3 disk.img --key sym

# Slots.
run_calco repo keys store --json
json_true out 'd["result"]["encrypted"] and [(s["slot"], s["kind"]) for s in d["result"]["slots"]] == [(1, "symmetric"), (2, "recipient"), (3, "passphrase")]'
expect_exit 4 "$CALCO" repo keys store --add-key new
expect_exit 4 "$CALCO" repo keys store --add-key new --key new
expect_exit 4 "$CALCO" repo keys store --remove-slot 1
expect_exit 4 "$CALCO" repo keys clear --add-key new
expect_exit 2 "$CALCO" repo keys store --remove-slot 4 --key sym
expect_exit 2 "$CALCO" repo keys store --remove-slot 2 --remove-slot 2 --key sym
expect_exit 2 "$CALCO" repo keys store --remove-slot x --key sym
expect_exit 2 "$CALCO" repo keys store --add-key missing --remove-slot 2 --key sym
expect_exit 4 "$CALCO" repo keys store --remove-slot 1 --remove-slot 2 --remove-slot 3 --key sym --json
json_true out 'd["error"]["reason"] == "last-slot"'
diff -r store whole || fail "something was changed that was refused"
run_calco repo keys store --key sym --add-key new --remove-slot 3 --remove-slot 1 --json
json_true out '[s["kind"] for s in d["result"]["slots"]] == ["recipient", "symmetric"]'
expect_exit 4 "$CALCO" verify store::lab --key sym
expect_exit 4 "$CALCO" verify store::lab --passphrase-file phrase
run_calco verify store::lab@1 --against v1.img --key new
run_calco verify store::lab@2 --key box
run_calco capture v2.img store::lab --key new
run_calco repo keys store --key box --add-passphrase-file phrase --remove-slot 1 --remove-slot 2 --json
json_true out '[s["kind"] for s in d["result"]["slots"]] == ["passphrase"]'
run_calco repo check store --read-data --passphrase-file phrase
expect_exit 0 reader check store --passphrase-file phrase
[ -z "$(find store/new store/leases -type f)" ] || fail "something stayed behind"
