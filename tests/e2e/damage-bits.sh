#!/bin/bash
# Every single bit of a small image turned over, and every cut: found each time, and located. What is damaged is not restored.
. "$(dirname "$0")/functions.sh"
requires sgdisk mkfs.fat mcopy mke2fs openssl
flip=${TOOLS:-$ROOT/build/tests/tools}/flip
[ -x "$flip" ] || skip "tests/tools/flip is not built"

# A disk of 4 MiB with a GPT, FAT and ext2: an image of some 15 KiB with every kind of part.
cd "$T"
truncate -s 4M disk.img
sgdisk -a 8 -n 1:40:1063 -t 1:EF00 -n 2:1064:3111 disk.img >/dev/null
truncate -s 512K fat
mkfs.fat -n EFI -i C0FFEE01 fat >/dev/null
printf 'hello\n' >hello
mcopy -i fat hello ::/
put_partition disk.img 1 fat
mkdir tree
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 8000 >tree/noise || true
seq 1 2000 >tree/numbers
truncate -s 1M ext
mke2fs -q -F -t ext2 -I 256 -b 1024 -L root -U 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 -d tree ext
put_partition disk.img 2 ext
run_calco capture disk.img lab.calco
[ "$(stat -c %s lab.calco)" -lt 20000 ] || fail "the image is larger than this test was made for"

"$flip" lab.calco verify 1 || fail "a bit goes unnoticed, or is not located"
"$flip" lab.calco pipe 11 || fail "a bit in a pipe goes unnoticed, or is not located"
"$flip" lab.calco cut 1 || fail "a cut goes unnoticed"
"$flip" lab.calco restore 97 || fail "something damaged reaches a target"

# The program itself says the same: exit code 3, and where; as a file and through a pipe.
python3 - <<'PYTHON'
data = bytearray(open("lab.calco", "rb").read())
at = data.rindex(b"CHNK") + 96 + 50   # the last record's payload: the backup GPT
data[at] ^= 0x20
open("payload.calco", "wb").write(data)
data = bytearray(open("lab.calco", "rb").read())
at = data.index(b"BADR")
data[at + 24] ^= 0x20
open("part.calco", "wb").write(data)
PYTHON
for image in payload part; do
	expect_exit 3 "$CALCO" verify "$image.calco" --json
	cp out file.json
	expect_exit 3 sh -c 'cat "$2" | "$1" verify - --json' sh "$CALCO" "$image.calco"
	for said in file.json out; do
		if [ "$image" = payload ]; then
			json_true $said 'd["result"]["damages"] == [{"disk": 0, "start": 3952640, "length": 241664, "volume": "gap", "what": "its content is damaged"}]'
		else
			json_true $said 'len(d["result"]["damages"]) == 1 and d["result"]["damages"][0]["disk"] is None'
			json_true $said '"BADR" in d["result"]["damages"][0]["what"]'
		fi
	done
done
expect_exit 3 sh -c 'head -c 9000 "$2" | "$1" verify -' sh "$CALCO" lab.calco
head -c 9000 lab.calco >cut.calco
expect_exit 3 "$CALCO" verify cut.calco
