#!/bin/bash
# An encrypted repository: versions go in and come out with each kind of key, nothing without one, and nothing lies there in clear.
. "$(dirname "$0")/functions.sh"
requires mke2fs debugfs python3
cd "$T"

for k in "sym symmetric" "box recipient" "box2 recipient" "other symmetric" "signer sign"; do
	read -r name kind <<<"$k"
	run_calco key new "$name" --kind "$kind"
done
echo 'correct horse' >phrase
echo 'wrong horse' >wrong

mkdir tree
head -c 700000 /dev/zero | tr '\0' 'S' >tree/equal1
cp tree/equal1 tree/equal2
for i in $(seq 3000); do echo "SECRET-OF-THE-LAB-$i-THE-PASSWORD-IS-HUNTER2"; done >tree/HIDDENFILE
head -c 3000000 /dev/urandom >tree/noise
truncate -s 24M disk.img
mke2fs -q -F -t ext4 -L HIDDENLABEL -d tree disk.img
cp disk.img v1.img
head -c 30000 /dev/urandom >new
debugfs -w -R "write new new" disk.img >/dev/null 2>&1
debugfs -w -R "rm equal1" disk.img >/dev/null 2>&1
cp disk.img v2.img

# Only a key that can encrypt makes one.
expect_exit 2 "$CALCO" repo init none --key signer
expect_exit 2 "$CALCO" repo init none --key missing
expect_exit 2 "$CALCO" repo init none --key sym --passphrase-file missing
[ ! -e none ] || fail "a repository was made with a key that cannot encrypt"
run_calco repo init store --key sym --key box.pub --passphrase-file phrase --json
json_true out 'd["result"]["encrypted"]'
run_calco capture v1.img store::lab --key sym --note 'HIDDEN NOTE' --json
json_true out 'd["result"]["encrypted"] and d["result"]["key_slots"] == {"symmetric": 1, "passphrase": 1, "recipient": 1, "unknown": 0}'
before=$(du -s --block-size=1 store | cut -f 1)
run_calco capture v2.img store::lab --key box --sign signer --json
root=$(json_get out 'd["result"]["root"]')
[ $(($(du -s --block-size=1 store | cut -f 1) - before)) -lt 250000 ] || fail "30,000 new bytes cost $(($(du -s --block-size=1 store | cut -f 1) - before))"
run_calco capture v2.img store::lab --passphrase-file phrase
run_calco repo stats store --key sym --json
json_true out 'd["result"]["versions"] == 3 and d["result"]["composed_records"] > 0'

# The same in clear, and encrypted with another key: what is searched for can be found, and nothing is alike.
run_calco repo init clear
run_calco capture v1.img clear::lab --note 'HIDDEN NOTE'
run_calco capture v2.img clear::lab
run_calco repo init second --key sym
run_calco capture v1.img second::lab --key sym
python3 - <<'PYTHON' || fail "clear text in an encrypted repository, or equal ciphertext"
import os
def files(folder):
    return {os.path.join(f, n): open(os.path.join(f, n), "rb").read() for f, _, names in os.walk(folder) for n in names}
def records(folder):
    found = []
    for path, data in files(folder).items():
        at = 0
        while path.endswith(".pack") and (at := data.find(b"CHNK", at)) >= 0:
            length = int.from_bytes(data[at + 76:at + 80], "little")
            if data[at + 24:at + 40].hex() in path:    # else four bytes of ciphertext that look like it
                found.append((data[at + 40:at + 72], data[at + 96:at + 96 + length]))
            at += 4
    return found
words = [b"HUNTER2", b"SECRET-OF", b"HIDDENLABEL", b"HIDDENFILE", b"HIDDEN NOTE", b"v1.img", b"disk.img", b"lost+found", b"ext4"]
noise = open("tree/noise", "rb").read()
pieces = {noise[i:i + 16] for i in range(0, len(noise) - 16, 16)}
def seen(folder):
    data = b"".join(files(folder).values())
    return [w for w in words if w in data], sum(data[i:i + 16] in pieces for i in range(len(data) - 16))
found, hits = seen("clear")
assert b"HIDDENLABEL" in found and hits > 1000, (found, hits) # what is compressed may not show
for folder in "store", "second":
    assert seen(folder) == ([], 0), (folder, seen(folder))
ids = {name: [i for i, _ in records(name)] for name in ("clear", "store", "second")}
assert all(len(i) > 10 and len(i) == len(set(i)) for i in ids.values()), "deduplication"
assert not set(ids["store"]) & set(ids["second"]) and not set(ids["store"]) & set(ids["clear"])
every = [p for name in ("store", "second") for _, p in records(name)]
blocks = [p[k:k + 16] for p in every for k in range(0, len(p) - 15, 16)]
assert len(blocks) == len(set(blocks)), "16 bytes of ciphertext occur twice"
# Leaf lists: none of the clear ones' hashes, and no 16 bytes twice.
lists = b"".join(d for p, d in files("clear").items() if "/leaves/" in p)
hashes = {lists[i:i + 16] for i in range(0, len(lists), 32)}
for folder in "store", "second":
    for path, data in files(folder).items():
        if "/leaves/" in path:
            got = [data[i:i + 16] for i in range(0, len(data) - 15, 16)]
            assert len(got) == len(set(got)) and not set(got) & hashes, path
PYTHON

# Every version is what it was, with each key, wherever an image is read.
for key in "--key sym" "--key box" "--key other --key sym" "--passphrase-file phrase"; do
	read -r -a list <<<"$key"
	run_calco verify store::lab@2 "${list[@]}" --require-signer signer.pub --json
	json_true out "d['result']['root'] == '$root'"
	run_calco verify store::lab@1 --against v1.img "${list[@]}"
	run_calco info store::lab@2 "${list[@]}"
	expect_text out 'HIDDENLABEL'
	run_calco repo show store lab@2 "${list[@]}"
	run_calco repo list store "${list[@]}" --json
	json_true out 'all(v["complete"] and v["state"] == "complete" for v in d["result"]["versions"])'
done
for n in 1 2 3; do
	rm -f out.img
	run_calco restore "store::lab@$n" out.img --key box
	whole=v2.img
	[ "$n" != 1 ] || whole=v1.img
	e2fsck -fn out.img >/dev/null 2>&1 || fail "version $n is not clean"
	run_calco verify "store::lab@$n" --against out.img --key box
	run_calco verify "store::lab@$n" --against $whole --key box
	debugfs -R 'cat HIDDENFILE' out.img 2>/dev/null | cmp - tree/HIDDENFILE || fail "the secret did not come back"
done
expect_exit 3 "$CALCO" verify store::lab@1 --against v2.img --key sym
run_calco repo check store --key sym
run_calco repo check store --read-data --key box

# No key, another key, half a pair: refused, told, nothing written.
state() {
	find "$1" -type f ! -path '*/leases/*' -print0 | sort -z | xargs -0 sha256sum
}
state store >was
head -c 24M /dev/zero | tr '\0' '\267' >target.img
cp target.img target.was
refuses() {
	local code=$1 reason=$2 folder=$3
	shift 3
	local one
	for one in "capture v1.img $folder::lab" "capture v1.img $folder::more --dry-run" "verify $folder::lab" "verify $folder::lab --against v2.img" \
		"repo show $folder lab" "repo stats $folder" "repo prune $folder" "repo prune $folder --dry-run" "repo check $folder" "repo check $folder --rebuild-index" "repo check $folder --heal" \
		"restore $folder::lab target.img --confirm target.img --state st"; do
		read -r -a list <<<"$one"
		expect_exit "$code" "$CALCO" "${list[@]}" "$@" --json
		[ -z "$reason" ] || json_true out "d['error']['reason'] == '$reason' and 'result' not in d"
	done
	cmp target.img target.was || fail "something reached the target ($*)"
}
refuses 4 locked store
refuses 4 wrong-key store --key other
refuses 4 wrong-key store --key box2
refuses 4 wrong-key store --passphrase-file wrong
refuses 2 "" store --key box.pub
refuses 2 "" store --key signer
refuses 2 "" store --key missing
state store | cmp - was || fail "a refusal changed the repository"
state clear >was
refuses 4 not-encrypted clear --key sym
state clear | cmp - was || fail "a refusal changed the repository in clear"
run_calco info store::lab --json
json_true out 'd["result"]["locked"] and d["result"]["key_slots"]["recipient"] == 1 and "name" not in d["result"] and "disks" not in d["result"]'
expect_exit 4 "$CALCO" info store::lab --key other
expect_exit 4 "$CALCO" info store::lab --require-signer signer.pub
expect_exit 4 "$CALCO" repo list store --key other
expect_exit 4 "$CALCO" repo tag store lab x --key other
expect_exit 4 "$CALCO" repo rm store lab@1 --key other
run_calco repo list store --json
json_true out 'd["result"]["encrypted"] and [(v["version"], v["state"]) for v in d["result"]["versions"]] == [(1, "locked"), (2, "locked"), (3, "locked")]'

# Names need no key: tags and removal. Prune needs it, and moves what is encrypted as it is.
run_calco repo tag store lab@2 stable
run_calco verify store::lab@stable --key sym
run_calco repo rm store lab@1 lab@3
rm -rf pruned && cp -a store pruned
run_calco repo prune pruned --max-unused 0 --key box --json
json_true out 'd["result"]["freed_bytes"] > 0 and d["result"]["written_packs"] == 1 and d["result"]["rewritten_versions"] == 1'
run_calco verify pruned::lab@2 --key sym --require-signer signer.pub --json
json_true out "d['result']['root'] == '$root'"
run_calco verify pruned::lab@2 --against v2.img --key sym
run_calco repo check pruned --read-data --key sym
# What moved lends its leaves still.
before=$(du -s --block-size=1 pruned/packs | cut -f 1)
cp v2.img disk.img
head -c 5000 /dev/urandom >new2
debugfs -w -R "write new2 new2" disk.img >/dev/null 2>&1
run_calco capture disk.img pruned::lab --key sym
[ $(($(du -s --block-size=1 pruned/packs | cut -f 1) - before)) -lt 200000 ] || fail "5,000 new bytes cost $(($(du -s --block-size=1 pruned/packs | cut -f 1) - before))"
run_calco verify pruned::lab --against disk.img --key sym
# And what follows from the records is made anew: tables of contents, and caches, which then lend again.
rm pruned/leaves/*
for pack in pruned/packs/*; do
	printf '\377\376\375' | dd of="$pack" bs=1 seek=$(($(stat -c %s "$pack") - 200)) conv=notrunc status=none
done
expect_exit 3 "$CALCO" repo check pruned --key sym
run_calco repo check pruned --rebuild-index --key sym
run_calco repo check pruned --read-data --key sym
before=$(du -s --block-size=1 pruned/packs | cut -f 1)
head -c 5000 /dev/urandom >new3
debugfs -w -R "write new3 new3" disk.img >/dev/null 2>&1
run_calco capture disk.img pruned::lab --key sym
[ $(($(du -s --block-size=1 pruned/packs | cut -f 1) - before)) -lt 200000 ] || fail "5,000 new bytes cost $(($(du -s --block-size=1 pruned/packs | cut -f 1) - before))"
run_calco verify pruned::lab --against disk.img --key sym
[ -z "$(find store/leases store/new pruned/leases pruned/new -type f)" ] || fail "something stayed behind"

# An interrupted capture leaves nothing in clear, and the next one uses what it had stored.
truncate -s 200M big.img
mke2fs -q -F -t ext4 big.img
head -c 100000000 /dev/urandom >big
debugfs -w -R "write big big" big.img >/dev/null 2>&1
"$CALCO" capture big.img store::big --threads 1 --key sym >/dev/null 2>&1 &
writer=$!
for _ in $(seq 1000); do
	[ "$(cat store/new/*.pack 2>/dev/null | wc -c)" -lt 10000000 ] || break
	sleep 0.01
done
kill -9 $writer
wait $writer && fail "it was too fast to be killed"
expect_exit 2 "$CALCO" info store::big --key sym
python3 -c '
import glob
noise = open("big", "rb").read()
pieces = {noise[i:i + 16] for i in range(0, 20000000, 4096)}
data = b"".join(open(p, "rb").read() for p in glob.glob("store/new/*"))
assert len(data) > 9000000 and not any(data[i:i + 16] in pieces for i in range(len(data) - 16))' || fail "an interrupted capture left clear text"
expect_exit 4 "$CALCO" capture big.img store::big
run_calco capture big.img store::big --key box --json
json_true out 'd["result"]["image_bytes"] < 95000000'
expect_text err 'interrupted capture had stored'
run_calco verify store::big --against big.img --key sym
run_calco repo check store --read-data --key sym
