#!/bin/bash
# What does not work on sectors of another size is refused by name, with exit code 4, and nothing is written; --as-is has one volume written all the same.
. "$(dirname "$0")/rounds.sh"
requires mkfs.xfs mkfs.btrfs mkfs.f2fs mkntfs mkfs.exfat cryptsetup mdadm mtools partx

# one_volume COMMAND...: a disk with one partition of 330 MiB in disk.img, made by the command, which gets the partition's file; captured
one_volume() {
	rm -f disk.img part disk.calco
	truncate -s 340M disk.img
	sgdisk -n 1:2048:+330M -c 1:vol "${gpt_options[@]}" disk.img >/dev/null
	truncate -s 330M part
	"$@" part >log 2>&1 || { cat log >&2; fail "$*"; }
	put_partition disk.img 1 part
	run_calco capture disk.img disk.calco "${capture_options[@]}"
}
gpt_options=()
capture_options=()

# to_4096: restore it to a device with such sectors, in $dev; exit code in $status, what was said in answer and said
to_4096() {
	rm -f target.img
	truncate -s 340M target.img
	attach target.img --sector-size 4096
	status=0
	"$CALCO" restore disk.calco "$dev" --yes --json "$@" >answer 2>said || status=$?
	detach "$dev"
}

# refused TEXT: by name and with that in the sentence; the target is untouched, for the plan as well
refused() {
	to_4096 --dry-run
	[ $status -eq 4 ] || { cat answer said >&2; fail "$1: exit code $status of the plan"; }
	to_4096
	[ $status -eq 4 ] || { cat answer said >&2; fail "$1: exit code $status"; }
	json_true answer 'd["error"]["reason"] == "sector-size" and d["error"]["hint"]'
	expect_text answer "$1"
	[ "$(stat -c %b target.img)" -eq 0 ] || fail "$1: something was written"
	[ -z "$(find "$XDG_STATE_HOME" -name '*.state' 2>/dev/null)" ] || fail "$1: a state record was made"
}

# taken: it works, and verify agrees
taken() {
	to_4096 "$@"
	[ $status -eq 0 ] || { cat answer said >&2; fail "exit code $status"; }
	run_calco verify disk.calco --against target.img "$@"
	rm -rf "$XDG_STATE_HOME"
}

# ---- file systems
one_volume mke2fs -q -F -t ext4 -b 1024 -L small
refused "partition 1 \(ext4 'small'\) does not work with sectors of 4096 bytes: its blocks of 1024 bytes are smaller"
taken --as-is small
json_true answer '[c["what"] for c in d["result"]["changes"]] == ["gpt", "as-is"]'
expect_exit 2 "$CALCO" restore disk.calco new.img --sector-size 4096 --as-is nobody
expect_text err "no volume 'nobody'"
one_volume mke2fs -q -F -t ext2 -b 4096
taken
one_volume mkfs.xfs -q -f -s size=512
refused 'partition 1 \(xfs\) .*: its sectors of 512 bytes are smaller'
one_volume mkfs.xfs -q -f -s size=4096
taken
one_volume mkfs.btrfs -q -f
taken
one_volume mkfs.f2fs -q -f
taken
one_volume mkntfs -q -F -f -p 2048 -H 16 -S 63
refused 'partition 1 \(ntfs\) .*: NTFS counts in sectors of the disk it was made on \(512 bytes\)'
one_volume mkfs.exfat
refused 'partition 1 \(exfat\) .*: exFAT counts in sectors'
one_volume mkswap
taken

# ---- raw, and what nobody can look into
nothing_known() { openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 100000 | dd of="$1" conv=notrunc; }
one_volume nothing_known
refused 'partition 1 \(raw\) .*: it was taken raw'
taken --as-is 1
one_volume true
taken
# What is empty is seen in an encrypted image, too.
run_calco key new sym --kind symmetric
run_calco capture disk.img sealed.calco --key sym
run_calco restore sealed.calco blank.img --sector-size 4096 --key sym
rm sealed.calco blank.img
gpt_options=(-t 1:EF02)
one_volume nothing_known
taken
json_true answer '[c["what"] for c in d["result"]["changes"]] == ["gpt", "boot-code"]'
gpt_options=()
printf 'correct horse' >key
locked() { cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --iter-time 50 --key-file key "$1"; }
one_volume locked
refused 'partition 1 \(crypto_LUKS\) .*: it is a locked container'
taken --as-is vol
# Unlocked, what is inside decides.
filled() {
	locked "$1"
	truncate -s 300M plain
	mke2fs -q -F -t ext4 -b "$block" plain
	python3 "$ROOT/tests/tools/luks_payload.py" put "$1@0+$(stat -c %s "$1")" key plain
}
capture_options=(--unlock "1=key")
block=4096
one_volume filled
taken
block=1024
one_volume filled
refused "does not work with sectors of 4096 bytes: its blocks of 1024 bytes"
capture_options=()

# ---- FAT that cannot be made anew
small_fat() { mkfs.fat -F 32 -s 1 "$1" && truncate -s 200M "$1" && mkfs.fat -F 32 -s 1 "$1" && truncate -s 330M "$1"; }
one_volume small_fat
refused 'partition 1 \(vfat\) must be made anew for sectors of 4096 bytes: FAT32 needs at least 65525 clusters'
taken --as-is 1
lost() {
	mkfs.fat -F 32 -s 1 "$1"
	python3 - "$1" <<-'PYTHON'
		import struct, sys
		with open(sys.argv[1], "r+b") as f:
		    b = f.read(512)
		    reserved, = struct.unpack_from("<H", b, 14)
		    size, = struct.unpack_from("<I", b, 36)
		    for copy in range(2):
		        f.seek((reserved + copy * size) * 512 + 4000 * 4)
		        f.write(b"\xff\xff\xff\x0f")
	PYTHON
}
one_volume lost
to_4096
[ $status -eq 3 ] || fail "exit code $status for a damaged FAT"
expect_text answer '1 clusters are in use, but belong to no file' 'fsck.fat'
[ "$(stat -c %b target.img)" -eq 0 ] || fail "something was written"

# ---- from a pipe: refused where an image is needed that can be read twice, else done
one_volume mkfs.fat -F 32 -s 1
truncate -s 0 target.img && truncate -s 340M target.img
piped='cat disk.calco | "$0" restore - target.img --sector-size 4096 --confirm target.img --yes --json'
expect_exit 4 bash -o pipefail -c "$piped" "$CALCO"
expect_text out 'needs the image as a file, not from a pipe'
[ "$(stat -c %b target.img)" -eq 0 ] || fail "something was written"
one_volume mke2fs -q -F -t ext4 -b 4096
expect_exit 0 bash -o pipefail -c "$piped" "$CALCO"
json_true out '[c["what"] for c in d["result"]["changes"]] == ["gpt"]'
run_calco verify disk.calco --against target.img

# ---- tables
rm -f disk.img disk.calco
truncate -s 340M disk.img
sgdisk -a 1 -n 1:2049:+1M -c 1:odd disk.img >/dev/null
run_calco capture disk.img disk.calco
refused "partition 1 \('odd'\) begins at byte 1049088, which is no whole sector of 4096 bytes"
rm disk.calco
printf 'label: dos\nstart=2048, size=20480, type=83\n' | sfdisk -q disk.img
run_calco capture disk.img disk.calco
refused 'the MBR partition table counts in sectors of 512 bytes'
# Without a table the volume decides.
rm disk.img disk.calco
truncate -s 64M disk.img
mke2fs -q -F -t ext4 -b 4096 disk.img
run_calco capture disk.img disk.calco
taken
rm disk.img disk.calco
truncate -s 64M disk.img
mkfs.fat -F 16 -s 2 -n STICK disk.img >/dev/null
printf hello >hello
mcopy -i disk.img hello ::hello.txt
run_calco capture disk.img disk.calco
to_4096
[ $status -eq 0 ] || fail "exit code $status"
attach target.img --sector-size 4096
run_calco verify disk.calco --against "$dev"
detach "$dev"
head -c 64M target.img >stick
fsck.fat -n stick >/dev/null || fail "fsck.fat"
mcopy -i stick ::hello.txt back
cmp hello back

# ---- the option is for plain files
attach target.img --sector-size 4096
expect_exit 2 "$CALCO" restore disk.calco "$dev" --sector-size 512 --dry-run
expect_text err 'is a device with sectors of 4096 bytes'
detach "$dev"
expect_exit 2 "$CALCO" restore disk.calco new.img --sector-size 600
expect_exit 2 "$CALCO" restore disk.calco new.img --sector-size 8192
[ ! -e new.img ] || fail "a file was made"
