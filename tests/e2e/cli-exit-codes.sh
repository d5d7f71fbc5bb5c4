#!/bin/bash
# Each kind of outcome has its exit code, whether it is told as text or as JSON.
. "$(dirname "$0")/functions.sh"

# both CODE WORD ARGUMENT...: the exit code as text and as JSON
both() {
	local code=$1 word=$2
	shift 2
	expect_exit "$code" "$CALCO" "$@"
	expect_text "$T/err" '^calco: '
	expect_exit "$code" "$CALCO" "$@" --json
	json_true "$T/out" "d['error']['exit'] == $code and d['error']['code'] == '$word' and d['error']['message']"
}

# set_bit FILE OFFSET: of a 64-byte preamble, and correct its CRC
set_bit() {
	python3 - "$1" "$2" <<-'PYTHON'
		import sys, zlib
		with open(sys.argv[1], "r+b") as f:
		    head = bytearray(f.read(64))
		    head[int(sys.argv[2])] |= 0x40
		    head[60:64] = zlib.crc32(bytes(head[:60])).to_bytes(4, "little")
		    f.seek(0)
		    f.write(head)
	PYTHON
}

# add_part IMAGE TYPE FLAGS BEFORE: a part of a later version before CIDS or INDX, with index and trailer as its writer would make them
add_part() {
	python3 - "$@" <<-'PYTHON'
		import struct, sys, zlib
		path, kind, flags, before = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), sys.argv[4]
		f = open(path, "rb").read()
		def part(kind, flags, payload):
		    head = struct.pack("<4sHHQQI", kind, flags, 0, len(payload), len(payload), zlib.crc32(payload))
		    return head + struct.pack("<I", zlib.crc32(head)) + payload
		trailer = bytearray(f[-96:])
		size, cids, indx = struct.unpack_from("<QQQ", trailer)
		new = part(kind, flags, b"of a later version")
		at = cids if before == "CIDS" else indx
		n = len(new)
		struct.pack_into("<QQQ", trailer, 0, size + n, cids + n if before == "CIDS" else cids, indx + n)
		open(path, "wb").write(f[:at] + new + f[at:-128] + part(b"TRLR", 1, bytes(trailer)))
	PYTHON
}

cd "$T"
make_gpt_disk golden.img
run_calco capture golden.img lab.calco
run_calco verify lab.calco

# 1: the report cannot be written, although the work could be done
expect_exit 1 sh -c '"$1" info lab.calco >/dev/full' sh "$CALCO"
expect_exit 1 sh -c '"$1" info lab.calco --json >/dev/full' sh "$CALCO"
# The work itself is done, and that is said too.
cp --sparse=always golden.img full.img
report_lost() {
	local done=$1
	shift
	expect_exit 1 sh -c '"$@" >/dev/full' sh "$CALCO" "$@"
	expect_text "$T/err" "^calco: $done, but its report could not be written: .*No space left"
}
report_lost 'the restore is complete' restore lab.calco full.img --confirm full.img
run_calco verify lab.calco --against full.img
report_lost 'the restore is complete' restore lab.calco full.img --confirm full.img --json
report_lost 'nothing wrong was found' verify lab.calco
report_lost 'the image is complete' capture golden.img full.calco
run_calco verify full.calco
report_lost 'the key is made' key new full.key
report_lost 'the repository is made' repo init full.repo
expect_exit 1 sh -c '"$1" restore lab.calco full.img --dry-run >/dev/full' sh "$CALCO"
expect_no_text "$T/err" 'complete'
# 1: the image's folder does not exist
both 2 usage capture golden.img no-such-folder/lab.calco

# 2 has cli-usage.sh of its own

# 3: damage in the middle, a cut tail, something behind the end
cp lab.calco damaged.calco
printf 'XYZ' | dd of=damaged.calco bs=1 seek=$(($(stat -c %s lab.calco) / 2)) conv=notrunc status=none
both 3 corrupt verify damaged.calco
json_true out 'd["result"]["verdict"] == "damaged" and len(d["result"]["damages"]) >= 1'
head -c -1 lab.calco >cut.calco
both 3 corrupt verify cut.calco
both 3 corrupt info cut.calco
(cat lab.calco; printf x) >longer.calco
both 3 corrupt verify longer.calco
# 3: no image at all, and a disk that differs
both 3 corrupt info golden.img
cp --sparse=always golden.img other.img
read -r -a place < <(partition_place other.img 2)
printf 'XYZ' | dd of=other.img bs=1 seek=$((place[0] + 1080)) conv=notrunc status=none
both 3 corrupt verify lab.calco --against other.img
json_true out 'd["result"]["verdict"] == "different" and "partition 2" in d["result"]["damages"][0]["volume"]'

# 4: the image exists, the target is too small, the target is not confirmed
both 4 refused capture golden.img lab.calco
truncate -s 159M small.img
both 4 refused restore lab.calco small.img --yes
json_true out 'd["error"]["reason"] == "too-small"'
both 4 refused restore lab.calco other.img --yes
json_true out 'd["error"]["reason"] == "not-confirmed" and "other.img" in d["error"]["hint"]'

# 6: a mandatory feature of the future; an unknown optional one is ignored
cp lab.calco future.calco
set_bit future.calco 16
both 6 unsupported info future.calco
both 6 unsupported verify future.calco
cp lab.calco optional.calco
set_bit optional.calco 24
run_calco info optional.calco

# 6: a mandatory part of the future, which every command names; an unknown optional one is skipped
for before in CIDS INDX; do
	mkdir future-$before
	cp lab.calco future-$before/optional.calco
	cp lab.calco future-$before/part.calco
	add_part future-$before/optional.calco Newp 0 $before
	add_part future-$before/part.calco MUST 1 $before
	for c in info verify; do
		run_calco $c future-$before/optional.calco
		both 6 unsupported $c future-$before/part.calco
		json_true out '"needs a newer calco" in d["error"]["message"] and "MUST" in d["error"]["message"]'
	done
	truncate -s 0 new.img
	both 6 unsupported restore future-$before/part.calco new.img --yes
	[ ! -s new.img ] || fail "restore wrote before it looked"
	run_calco ls future-$before
	expect_text out 'optional\.calco +complete' 'part\.calco +unsupported .*needs a newer calco.*MUST'
done
