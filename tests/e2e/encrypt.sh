#!/bin/bash
# Encrypted images: made, read, listed, restored with each kind of key, as a file and through a pipe; nothing without one, nothing in clear.
. "$(dirname "$0")/functions.sh"
requires python3 mke2fs debugfs
cd "$T"

# A disk with a secret in a file, in a label and, as an equal content, in several places.
mkdir tree
head -c 700000 /dev/zero | tr '\0' 'S' >tree/equal1
cp tree/equal1 tree/equal2
for i in $(seq 3000); do echo "SECRET-OF-THE-LAB-$i-THE-PASSWORD-IS-HUNTER2"; done >tree/secret
head -c 1000000 /dev/urandom >tree/noise
truncate -s 8M disk.img
mke2fs -q -F -t ext4 -L HIDDENLABEL -d tree disk.img
for k in "box recipient" "box2 recipient" "sym symmetric" "other symmetric" "stranger recipient" "signer sign"; do
	read -r name kind <<<"$k"
	run_calco key new "$name" --kind "$kind"
done
[ -f sym ] && [ ! -e sym.pub ] || fail "a symmetric key has a public half"
printf 'correct horse battery\n' >phrase
printf 'correct horse battery' >phrase2
printf 'correct horse\n' >wrong

run_calco capture disk.img lab.calco --key box.pub --key box2 --key sym --passphrase-file phrase --sign signer --name HIDDENNAME --note 'HIDDEN NOTE' --json
json_true out 'd["result"]["encrypted"] and d["result"]["key_slots"] == {"symmetric": 1, "passphrase": 1, "recipient": 2, "unknown": 0}'
json_true out 'len(d["result"]["signers"]) == 1'
root=$(json_get out 'd["result"]["root"]')
run_calco capture disk.img again.calco --key sym
run_calco capture disk.img clear.calco --name HIDDENNAME --note 'HIDDEN NOTE'

# Nothing of it can be read without a key; in the clear image it is, so the search itself works.
python3 - <<'PYTHON' || fail "clear text in an encrypted image"
import re, sys
sys.path.insert(0, sys.argv[0])
lab, again, clear, disk = (open(n, "rb").read() for n in ("lab.calco", "again.calco", "clear.calco", "disk.img"))
words = [b"HUNTER2", b"SECRET-OF", b"HIDDENLABEL", b"HIDDENNAME", b"HIDDEN NOTE", b"disk.img", b"ext4"]
seen = [w for w in words if w in clear]
assert len(seen) >= 4, seen
for image in lab, again:
    assert not [w for w in words if w in image]
# No 16 bytes of the noise, which no compressor changes.
noise = open("tree/noise", "rb").read()
pieces = {noise[i:i + 16] for i in range(0, len(noise) - 16, 16)}
def hits(data):
    return sum(data[i:i + 16] in pieces for i in range(0, len(data) - 16))
assert hits(clear) > 1000
assert hits(lab) == 0 and hits(again) == 0
# Equal chunks: equal ids in one image, other ids in another one with its own id key, and no two ciphertexts alike.
def records(data):
    at, found = 0, []
    while (at := data.find(b"CHNK\x01", at)) >= 0:
        length = int.from_bytes(data[at + 76:at + 80], "little")
        found.append((data[at + 40:at + 72], data[at + 96:at + 96 + length]))
        at += 96
    return found
for image in lab, again, clear:
    ids = [i for i, _ in records(image)]
    assert len(ids) > len(set(ids)), "no equal chunks, so this proves nothing"
assert not {i for i, _ in records(lab)} & {i for i, _ in records(again)} | {i for i, _ in records(lab)} & {i for i, _ in records(clear)}
every = [p for image in (lab, again) for _, p in records(image)]
assert len(every) == len(set(every)), "equal chunks have equal ciphertext"
blocks = [p[k:k + 16] for p in every for k in range(0, len(p) - 15, 16)]
assert len(blocks) == len(set(blocks)), "16 bytes of ciphertext occur twice"
PYTHON

# Each key opens it, everywhere.
for key in "--key box" "--key box2" "--key sym" "--key other --key sym" "--passphrase-file phrase" "--passphrase-file phrase2 --key stranger"; do
	read -r -a list <<<"$key"
	run_calco verify lab.calco "${list[@]}"
	run_calco info lab.calco "${list[@]}" --require-signer signer.pub --json
	json_true out "d['result']['root'] == '$root' and d['result']['name'] == 'HIDDENNAME' and d['result']['encrypted'] and not d['result']['locked']"
	rm -f new.img
	run_calco restore lab.calco new.img "${list[@]}" --require-signer signer.pub
	e2fsck -fn new.img >/dev/null 2>&1 || fail "what was restored is no file system"
	debugfs -R 'cat secret' new.img 2>/dev/null | cmp - tree/secret || fail "the secret did not come back"
	run_calco verify lab.calco --against disk.img "${list[@]}"
done
head -c 8M /dev/zero >piped.img
expect_exit 0 sh -c 'cat lab.calco | "$1" restore - piped.img --confirm piped.img --yes --key box --require-signer signer.pub --state st' sh "$CALCO"
cmp new.img piped.img || fail "a file and a pipe are restored differently"
expect_exit 0 sh -c '"$1" capture disk.img - --passphrase-file phrase | "$1" verify - --passphrase-file phrase' sh "$CALCO"
run_calco sign again.calco signer --key sym
run_calco verify again.calco --key sym --require-signer signer.pub

# No key, another key, the wrong passphrase, half a pair: refused before anything is written, and told.
pattern() {
	head -c 8M /dev/zero | tr '\0' '\267' >target.img
}
pattern
cp target.img was.img
refuses() {
	local code=$1 reason=$2 image=$3
	shift 3
	expect_exit "$code" "$CALCO" verify "$image" "$@" --json
	[ -z "$reason" ] || json_true out "d['error']['reason'] == '$reason' and 'result' not in d"
	expect_exit "$code" "$CALCO" sign "$image" signer "$@"
	expect_exit "$code" "$CALCO" restore "$image" target.img --confirm target.img --state st "$@"
	expect_exit "$code" sh -c 'image=$1; shift; cat "$image" | "$@"' sh "$image" "$CALCO" restore - target.img --confirm target.img --state st "$@"
	cmp target.img was.img || fail "something reached the target ($*)"
}
refuses 4 locked lab.calco
refuses 4 wrong-key lab.calco --key other
refuses 4 wrong-key lab.calco --key stranger --key other
refuses 4 wrong-key lab.calco --passphrase-file wrong
refuses 4 not-encrypted clear.calco --key sym
refuses 2 "" lab.calco --key box.pub
refuses 2 "" lab.calco --key signer
refuses 2 "" lab.calco --key disk.img
refuses 2 "" lab.calco --key missing
refuses 2 "" lab.calco --passphrase-file missing
expect_exit 4 "$CALCO" info lab.calco --key other
expect_exit 4 "$CALCO" info lab.calco --require-signer signer.pub
run_calco info lab.calco
expect_text out 'LOCKED' 'key slots +1 for symmetric keys, 1 for passphrases, 2 for recipients'
expect_no_text out 'HIDDEN|disk 1|ext4'
run_calco info lab.calco --json
json_true out 'd["result"]["locked"] and "name" not in d["result"] and "disks" not in d["result"] and d["result"]["image_bytes"] > 0'
expect_exit 0 sh -c '"$1" info - --json <lab.calco' sh "$CALCO"
expect_exit 0 sh -c 'cat lab.calco | "$1" info - --json' sh "$CALCO"
json_true out 'd["result"]["locked"]'
run_calco ls --json
json_true out '{i["file"]: i["state"] for i in d["result"]["images"]} == {"again.calco": "locked", "clear.calco": "complete", "lab.calco": "locked"}'
run_calco ls --key sym --json
json_true out 'all(i["state"] == "complete" for i in d["result"]["images"])'
mkdir cut
head -c 500000 lab.calco >cut/lab.calco
run_calco ls cut --json
json_true out 'd["result"]["images"][0]["state"] == "damaged"'

# A key that cannot be read, or cannot encrypt, makes no image; also beside one that can.
for key in "--key missing" "--key sym --key missing" "--key disk.img" "--key signer.pub" "--passphrase-file missing" "--key sym --passphrase-file /dev/null" \
	"--sign missing --key sym" "--sign sym --key sym"; do
	read -r -a list <<<"$key"
	expect_exit 2 "$CALCO" capture disk.img none.calco "${list[@]}"
	[ ! -e none.calco ] && [ ! -e none.calco.part ] || fail "an image was made with $key"
done
# Nothing that was said or left behind names a secret.
for k in box sym signer; do
	secret=$(cut -d ' ' -f 2 $k)
	! grep -rqF -- "$secret" out err lab.calco || fail "the secret of $k was told"
done
