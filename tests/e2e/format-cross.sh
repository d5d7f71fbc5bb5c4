#!/bin/bash
# Two implementations of the format meet: this program reads what tests/reader/make_sample.py writes, and
# tests/reader/calco_reader.py, written from docs/format.md alone, reads what this program writes.
. "$(dirname "$0")/functions.sh"
requires python3

reader() {
	python3 "$ROOT/tests/reader/calco_reader.py" "$@"
}

# noise FILE SIZE: what a target holds before
noise() {
	head -c "$2" /dev/urandom >"$1"
}

# check_states NAME: the restored NAME.outN hold the sample's used bytes, and zeros where it says zero
check_states() {
	python3 - "$ROOT/tests/reader" "$1" <<-'PYTHON'
		import sys
		sys.path.insert(0, sys.argv[1])
		import make_sample as ms
		sample = getattr(ms, sys.argv[2])()
		for index, disk in enumerate(sample.disks):
		    want = open(f"{sample.name}.disk{index}", "rb").read()
		    got = open(f"{sample.name}.out{index}", "rb").read()
		    assert len(got) == len(want) == disk.size
		    for region in (r for r in sample.regions if r.disk == index):
		        for i, state in enumerate(region.states):
		            begin = region.start + i * region.granule
		            end = min(begin + region.granule, region.start + region.length)
		            wanted = {ms.USED: want[begin:end], ms.ZERO: bytes(end - begin)}.get(state, got[begin:end])
		            assert got[begin:end] == wanted, f"{sample.name}: disk {index} at {begin}"
	PYTHON
}

# key_of NAME: the options that open a sample
key_of() {
	key=()
	[[ $1 != sealed* ]] || key=(--key symmetric.key)
}

# restore_sample NAME INPUT: INPUT is the image's path, or - for standard input
restore_sample() {
	local disk outs=() confirm=() key
	key_of "$1"
	for disk in "$1".disk*; do
		noise "${disk/disk/out}" "$(stat -c %s "$disk")"
		outs+=("${disk/disk/out}")
		confirm+=(--confirm "${disk/disk/out}")
	done
	run_calco restore "$2" "${outs[@]}" "${confirm[@]}" --state "$T/state-$1" "${key[@]}"
	check_states "$1" || fail "$1 is not restored as the document says"
	reader compare "${key[@]}" "$1.calco" "${outs[@]}" || fail "the second reader finds a difference in what was restored from $1"
}

cd "$T"
python3 "$ROOT/tests/reader/make_sample.py" .
for image in *.calco; do
	name=${image%.calco}
	key_of "$name"
	run_calco verify "$image" "${key[@]}"
	expect_exit 0 sh -c 'image=$1; shift; cat "$image" | "$@"' sh "$image" "$CALCO" verify - "${key[@]}"
	run_calco info "$image" --json "${key[@]}"
	restore_sample "$name" "$image"
	# shellcheck disable=SC2094 # the state lies elsewhere
	restore_sample "$name" - <"$image"
	cat "$image" | restore_sample "$name" -
done

# Every kind of slot opens, here and there; without a key and with another neither reader says more than that it is locked.
run_calco key new other --kind symmetric
for key in "--key symmetric.key" "--key recipient.key" "--passphrase-file passphrase" "--key other --key recipient.key"; do
	read -r -a list <<<"$key"
	run_calco verify sealed.calco "${list[@]}"
	reader check sealed.calco "${list[@]}" || fail "the second reader does not open an image with $key"
done
for key in "" "--key other" "--passphrase-file other"; do
	read -r -a list <<<"$key"
	expect_exit 4 "$CALCO" verify sealed.calco "${list[@]}"
	expect_exit 4 python3 "$ROOT/tests/reader/calco_reader.py" compare sealed.calco "${list[@]}" sealed.disk0 sealed.disk1
done

# Changed bytes with checksums that fit: both readers find the same to be whole or damaged.
python3 - "$ROOT/tests/reader" "$CALCO" <<'PYTHON' || fail "the two readers disagree"
import random, struct, subprocess, sys
sys.path.insert(0, sys.argv[1])
import make_sample, test_reader
r, bad, images = random.Random(7), 0, [make_sample.small().build(), make_sample.corners().build()]
for i in range(400):
    image = images[i % 4 == 0]
    pieces = list(test_reader.pieces(image))
    changed = bytearray(image)
    kind, header, payload, end = r.choice(pieces)
    at = r.randrange(header, end)
    changed[at] ^= 1 << r.randrange(8)
    test_reader.seal(changed, header)
    theirs = test_reader.check(bytes(changed))
    with open("changed.calco", "wb") as f:
        f.write(changed)
    ours = subprocess.run([sys.argv[2], "verify", "changed.calco"], capture_output=True)
    # A changed type can look like a part of a later version, or like a part that contradicts itself.
    if ours.returncode != theirs[0] and {ours.returncode, theirs[0]} != {3, 6}:
        print(f"{kind} byte {at - header}: exit code {ours.returncode} here, {theirs} there: {ours.stderr.decode()}", file=sys.stderr)
        bad += 1
sys.exit(bad > 0)
PYTHON

# The same of an encrypted image: whatever is changed, both find it (a slot that is not ours may be changed unnoticed).
python3 - "$ROOT/tests/reader" "$CALCO" <<'PYTHON' || fail "the two readers disagree about an encrypted image"
import random, subprocess, sys
sys.path.insert(0, sys.argv[1])
import make_sample, test_reader
r, bad, image = random.Random(8), 0, make_sample.sealed().build()
pieces = list(test_reader.pieces(image))
for i in range(200):
    changed = bytearray(image)
    kind, header, payload, end = r.choice(pieces)
    at = r.randrange(header, end)
    changed[at] ^= 1 << r.randrange(8)
    test_reader.seal(changed, header)
    theirs = test_reader.check(bytes(changed), secrets=make_sample.SECRETS)
    with open("changed.calco", "wb") as f:
        f.write(changed)
    ours = subprocess.run([sys.argv[2], "verify", "changed.calco", "--key", "symmetric.key"], capture_output=True)
    known = kind not in (b"KEYS", b"CSIG", b"SIGS", b"QQAA", b"QQBB", b"zzzz")
    if (ours.returncode != theirs[0] and {ours.returncode, theirs[0]} - {3, 6, 4}) or (known and at >= payload and not ours.returncode):
        print(f"{kind} byte {at - header}: exit code {ours.returncode} here, {theirs} there: {ours.stderr.decode()}", file=sys.stderr)
        bad += 1
sys.exit(bad > 0)
PYTHON

# What this program writes.
make_gpt_disk golden.img
head -c 1234567 golden.img >odd.img
truncate -s 3M zeros.img
printf 'x' >one.img
for disks in golden.img "odd.img zeros.img" zeros.img one.img; do
	rm -f lab.calco
	read -r -a list <<<"$disks"
	run_calco capture "${list[@]}" lab.calco --note 'für später'
	reader check lab.calco || fail "the second reader finds damage in an image of $disks"
	reader check - <lab.calco || fail "the second reader finds damage in a pipe of $disks"
	reader info lab.calco >said
	expect_text said 'für später'
	reader compare lab.calco "${list[@]}" || fail "an image of $disks is not what was captured"
	reader restore - "${list[@]/#/back-}" <lab.calco || fail "the second reader cannot restore $disks"
	against=()
	for disk in "${list[@]}"; do
		against+=(--against "back-$disk")
	done
	run_calco verify lab.calco "${against[@]}"
done
# And encrypts, for several who can open it.
run_calco key new boss --kind recipient
rm -f lab.calco
run_calco capture odd.img zeros.img lab.calco --key boss.pub --key other --passphrase-file passphrase --sign "$(run_calco key new signer >&2 && echo signer)"
for key in "--key boss" "--key other" "--passphrase-file passphrase"; do
	read -r -a list <<<"$key"
	reader check lab.calco "${list[@]}" || fail "the second reader finds damage in an encrypted image ($key)"
	reader check - "${list[@]}" <lab.calco || fail "the second reader finds damage in an encrypted image from a pipe ($key)"
	reader compare lab.calco "${list[@]}" odd.img zeros.img || fail "an encrypted image is not what was captured"
done
mv back-golden.img clone.img
check_gpt_disk clone.img
