#!/bin/bash
# Signing keys, signatures at capture and later, and what --require-signer, --min-version and --require-lineage refuse: nothing of it
# reaches a target, from a file or through a pipe.
. "$(dirname "$0")/functions.sh"
requires python3 mke2fs
cd "$T"

truncate -s 3M disk.img
mke2fs -q -F -t ext4 -L golden disk.img
for k in owner other third; do
	run_calco key new $k --comment "of $k"
done
[ "$(stat -c %a owner)" = 600 ] || fail "others may read the secret key"
secret=$(cut -d ' ' -f 2 owner)
run_calco key show owner
expect_text out '^calco-public-ed25519 .* of owner$'
expect_no_text out "$secret"
run_calco key show owner.pub --json
json_true out 'd["result"]["kind"] == "calco-public-ed25519" and not d["result"]["secret"] and len(d["result"]["fingerprint"]) == 32'
expect_exit 4 "$CALCO" key new owner
touch half.pub
expect_exit 4 "$CALCO" key new half
[ ! -e half ] || fail "half a pair was made"
grep -q "$secret" owner || fail "the key was overwritten"
expect_exit 2 "$CALCO" key make x
expect_exit 2 "$CALCO" key show disk.img
expect_exit 2 "$CALCO" sign disk.img owner.pub

run_calco capture disk.img plain.calco --version 3
cp plain.calco signed.calco
run_calco sign signed.calco owner --json
json_true out 'd["result"]["core"] and not d["result"]["was_signed"] and d["result"]["image_version"] == 3'
[ "$(stat -c %s plain.calco)" = "$(stat -c %s signed.calco)" ] || fail "a signature with room reserved changed the length"
cp signed.calco once.calco
run_calco sign signed.calco owner --json
json_true out 'd["result"]["was_signed"]'
cmp once.calco signed.calco || fail "signing again changed something"
run_calco capture disk.img born.calco --version 3 --sign owner
expect_exit 2 "$CALCO" capture disk.img x.calco --sign owner.pub
expect_exit 2 "$CALCO" capture disk.img x.calco --sign missing
[ ! -e x.calco ] && [ ! -e x.calco.part ] || fail "an image was made without its key"
run_calco info signed.calco --json
lineage=$(json_get out 'd["result"]["lineage"]')
json_true out 'len(d["result"]["signers"]) == 1 and d["result"]["signers"][0]["trusted"] is False'
run_calco info signed.calco --require-signer owner.pub --json
json_true out 'd["result"]["signers"][0]["trusted"] and d["result"]["signers"][0]["core"] and d["result"]["signers"][0]["root"]'
run_calco info signed.calco
expect_text out 'signed by .* not trusted'
run_calco info plain.calco
expect_text out 'signed by +nobody'

# accepts IMAGE OPTION...; refuses CODE REASON IMAGE OPTION...: verify, info and restore, of a file and of a pipe
pattern() {
	head -c 3M /dev/zero | tr '\0' '\267' >target.img
}
accepts() {
	local image=$1 from
	shift
	for from in file pipe; do
		pattern
		if [ $from = file ]; then
			run_calco verify "$image" "$@"
			run_calco restore "$image" target.img --confirm target.img --state "$T/st" "$@"
		else
			expect_exit 0 sh -c 'image=$1; shift; exec "$@" <"$image"' sh "$image" "$CALCO" verify - "$@"
			expect_exit 0 sh -c 'image=$1; shift; cat "$image" | "$@"' sh "$image" "$CALCO" restore - target.img --confirm target.img --state "$T/st" "$@"
		fi
		rm -f st
		e2fsck -fn target.img >/dev/null 2>&1 || fail "what was restored from $image ($from) is no file system"
	done
}
refuses() {
	local code=$1 reason=$2 image=$3
	shift 3
	pattern
	cp target.img was.img
	expect_exit "$code" "$CALCO" verify "$image" "$@" --json
	[ -z "$reason" ] || json_true out "d['error']['reason'] == '$reason'"
	expect_exit "$code" "$CALCO" info "$image" "$@"
	expect_exit "$code" "$CALCO" restore "$image" target.img --confirm target.img --state "$T/st" "$@"
	cmp target.img was.img || fail "something of $image reached the target, although it was refused ($*)"
	expect_exit "$code" sh -c 'image=$1; shift; cat "$image" | "$@"' sh "$image" "$CALCO" restore - target.img --confirm target.img --state "$T/st" "$@"
	cmp target.img was.img || fail "something of $image reached the target through a pipe, although it was refused ($*)"
	rm -f st
}

for image in signed born; do
	accepts $image.calco --require-signer owner.pub
	accepts $image.calco --require-signer other.pub --require-signer "$(cut -d ' ' -f 2 owner.pub)" --min-version 3
	refuses 4 other-signer $image.calco --require-signer other.pub
	refuses 4 old-version $image.calco --require-signer owner.pub --min-version 4
	refuses 4 other-lineage $image.calco --require-signer owner.pub --require-lineage 00000000-0000-4000-8000-000000000000
done
accepts signed.calco --require-signer owner.pub --require-lineage "$lineage"
refuses 4 not-signed plain.calco --require-signer owner.pub
refuses 4 old-version plain.calco --min-version 4
refuses 2 "" signed.calco --require-signer disk.img
refuses 2 "" signed.calco --require-lineage hello
# A single byte of a key that was mistyped names nobody.
refuses 2 "" signed.calco --require-signer "$(cut -d ' ' -f 2 owner.pub | rev)"

# Two more signers: the third finds no room in the head, and the tail grows.
cp signed.calco many.calco
run_calco sign many.calco other
run_calco sign many.calco third
expect_text out 'no room'
[ "$(stat -c %s many.calco)" -gt "$(stat -c %s signed.calco)" ] || fail "the third signature took no room"
for k in owner other; do
	accepts many.calco --require-signer $k.pub
done
run_calco verify many.calco --require-signer third.pub
expect_exit 4 sh -c 'cat many.calco | "$1" verify - --require-signer third.pub' sh "$CALCO"
python3 "$ROOT/tests/reader/calco_reader.py" check many.calco || fail "the second reader finds damage in an image signed three times"

# Forgeries, each sealed with checksums that fit, made by another program from the format's document.
python3 - "$ROOT/tests/reader" <<'PYTHON'
import hashlib, struct, sys, zlib
sys.path.insert(0, sys.argv[1])
import test_reader as tr
signed, plain, born = (bytearray(open(f"{n}.calco", "rb").read()) for n in ("signed", "plain", "born"))

def parts(data):
    return {kind: (begin, payload, end) for kind, begin, payload, end in tr.pieces(data) if kind != b"CHNK"}

def save(name, data):
    open(f"forged-{name}.calco", "wb").write(data)

def change(data, kind, edit, name):
    data = bytearray(data)
    begin, payload, end = parts(data)[kind]
    new = edit(bytes(data[payload:end]))
    assert len(new) == end - payload
    data[payload:end] = new
    tr.seal(data, begin)
    save(name, data)
    return data

def replace(kind, source, data, name):
    begin, payload, end = parts(source)[kind]
    return change(data, kind, lambda _: bytes(source[payload:end]), name)

replace(b"SIGS", born, signed, "sigs-of-another")       # 3: does not match
replace(b"CSIG", born, signed, "csig-of-another")       # 3
change(signed, b"SIGS", lambda p: bytes(len(p)), "sigs-empty")
change(signed, b"SIGS", lambda p: b"\7" + p[1:], "sigs-unknown-algorithm")
change(signed, b"CSIG", lambda p: b"\7" + p[1:], "csig-unknown-algorithm")
change(signed, b"CSIG", lambda p: bytes(len(p)), "csig-empty")
change(signed, b"SIGS", lambda p: p[:1] + b"\1" + p[2:], "sigs-reserved")

# The version rolled forward in the core, with the root made right: then the signatures are wrong, or taken out.
import calco_reader, core, image, wire
def core_of(data):
    begin, payload, end = parts(data)[b"CORE"]
    flags, _, raw, _ = struct.unpack_from("<HHQQ", data, begin + 4)
    stored = bytes(data[payload:end])
    return wire.unzstd(stored, raw, "CORE") if flags & 2 else stored
def with_core(data, new_core, name, csig, sigs):
    p = parts(data)
    old_begin, _, old_end = p[b"CORE"]
    head = struct.pack("<4sHHQQI", b"CORE", 1, 0, len(new_core), len(new_core), zlib.crc32(new_core))
    part = head + struct.pack("<I", zlib.crc32(head)) + new_core
    shift = len(part) - (old_end - old_begin)
    out = bytearray(data[:old_begin] + part + data[old_end:])
    p = parts(out)
    begin, payload, end = p[b"INDX"]
    flags, _, raw, _ = struct.unpack_from("<HHQQ", out, begin + 4)
    index = wire.unzstd(bytes(out[payload:end]), raw, "INDX") if flags & 2 else bytes(out[payload:end])
    index = b"".join(struct.pack("<Q", v + shift if v else 0) for (v,) in struct.iter_unpack("<Q", index))
    head = struct.pack("<4sHHQQI", b"INDX", 1, 0, len(index), len(index), zlib.crc32(index))
    trailer = bytearray(out[-96:])
    cids = bytes(out[p[b"CIDS"][1]:p[b"CIDS"][2]])
    bad = bytes(out[p[b"BADR"][1]:p[b"BADR"][2]])
    root = hashlib.sha256(b"calco root v1\0\0\0" + b"".join(hashlib.sha256(x).digest() for x in (new_core, cids, bad))).digest()
    out[p[b"ROOT"][1]:p[b"ROOT"][2]] = root
    tr.seal(out, p[b"ROOT"][0])
    for kind, keep in (b"CSIG", csig), (b"SIGS", sigs):
        if not keep:
            out[p[kind][1]:p[kind][2]] = bytes(p[kind][2] - p[kind][1])
            tr.seal(out, p[kind][0])
    out = out[:begin] + head + struct.pack("<I", zlib.crc32(head)) + index
    size = len(out) + 128
    struct.pack_into("<QQQ", trailer, 0, size, p[b"CIDS"][0], begin)
    trailer[56:88] = root
    head = struct.pack("<4sHHQQI", b"TRLR", 1, 0, 96, 96, zlib.crc32(bytes(trailer)))
    save(name, out + head + struct.pack("<I", zlib.crc32(head)) + trailer)
old = core_of(signed)
new = bytearray(old)
assert struct.unpack_from("<Q", new, 32)[0] == 3
struct.pack_into("<Q", new, 32, 9)
with_core(signed, old, "control", True, True)              # proves that the repacking itself is right
with_core(signed, bytes(new), "version-signed", True, True)   # 3: signatures of another core
with_core(signed, bytes(new), "version-half", False, True)    # 3
with_core(signed, bytes(new), "version-bare", False, False)   # 4: whole, but nobody signed it
PYTHON
accepts forged-control.calco --require-signer owner.pub
run_calco verify forged-version-bare.calco
for name in sigs-of-another csig-of-another sigs-reserved version-signed version-half; do
	expect_exit 3 "$CALCO" verify forged-$name.calco
done
accepted=0
for image in forged-*.calco; do
	[ "$image" != forged-control.calco ] || continue
	pattern
	cp target.img was.img
	for from in file pipe; do
		got=0
		if [ $from = file ]; then
			"$CALCO" restore "$image" target.img --confirm target.img --state st --require-signer owner.pub >out 2>err || got=$?
			# What is signed where a file is judged is good, even with a head that says nothing.
			case $image in
			*csig-empty* | *csig-unknown*)
				[ $got = 0 ] || fail "$image: $(cat err)"
				pattern
				rm -f st
				continue
				;;
			esac
		else
			cat "$image" | "$CALCO" restore - target.img --confirm target.img --state st --require-signer owner.pub >out 2>err || got=$?
		fi
		[ $got = 3 ] || [ $got = 4 ] || { accepted=$((accepted + 1)); echo "$image ($from): exit code $got" >&2; }
		# Through a pipe with a head that is signed, data comes before the last signature; but nothing that makes the target alive.
		if cmp -s target.img was.img; then
			:
		elif [ $from = pipe ] && [[ $image == *sigs-* ]]; then
			blkid -p target.img >/dev/null 2>&1 && fail "$image made the target alive"
		else
			fail "$image: something reached the target"
		fi
		pattern
		rm -f st
	done
done
[ $accepted = 0 ] || fail "$accepted forgeries were accepted"
# The second reader agrees about what is damage.
for image in forged-*.calco; do
	mine=0 theirs=0
	"$CALCO" verify "$image" >out 2>err || mine=$?
	python3 "$ROOT/tests/reader/calco_reader.py" check "$image" >out 2>&1 || theirs=$?
	[ $mine = $theirs ] || fail "$image: exit code $mine, of the second reader $theirs: $(cat out err)"
done
