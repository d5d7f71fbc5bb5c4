#!/bin/bash
# A disk with sectors of 512 bytes onto one of 4096, and the copy back: file systems work, the FAT volumes hold the same files, verify agrees.
. "$(dirname "$0")/rounds.sh"
. "$HERE/sectorlib.sh"

# there_and_back SECTOR OTHER TARGET-SIZE
there_and_back() {
	local from=$1 to=$2 whole
	rm -f ./*.img ./*.calco ./*.parts
	sector_disk disk.img "$from"
	run_calco capture disk.img disk.calco --sector-size "$from"
	file_systems_work disk.img "$from"
	partitions disk.img "$from" >disk.parts

	truncate -s "$3" target.img
	attach target.img --sector-size "$to"
	whole=$dev
	run_calco restore disk.calco "$whole" --dry-run --json
	json_true out 'd["result"]["targets"][0]["disk_bytes"] == 1400 << 20'
	json_true out '[(c["what"], c.get("partition")) for c in d["result"]["changes"]] == [("gpt", None), ("boot-code", None), ("fat", 1), ("fat", 7)]'
	run_calco restore disk.calco "$whole" --dry-run
	expect_text out "GPT is rewritten for sectors of $to bytes" "partition 1 .*'EFI'.* is made anew for sectors of $to bytes"
	run_calco restore disk.calco "$whole" --yes --json
	json_true out 'd["result"]["read_back"] and len(d["result"]["changes"]) == 4'
	json_true out "d[\"result\"][\"resized_table\"] == (\"$3\" != \"1400M\")"
	run_calco verify disk.calco --against "$whole"
	detach "$whole"
	# As a file: the GPT tells its sectors.
	run_calco verify disk.calco --against target.img
	cp --sparse=always target.img bad.img
	file_systems_work target.img "$to"
	partitions target.img "$to" >target.parts
	diff disk.parts target.parts || fail "the partitions are others"
	cmp disk.img.esp target.img.esp || fail "the ESP holds other files"
	cmp disk.img.old target.img.old || fail "the FAT16 holds other files"
	# One changed byte in a folder of the ESP is found.
	python3 - bad.img <<-'PYTHON'
		import mmap, sys
		with open(sys.argv[1], "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
		    at = m.find(b"NUMBERS    ", 1 << 20, 300 << 20)
		    assert at > 0
		    m[at + 12] ^= 1
	PYTHON
	expect_exit 3 "$CALCO" verify disk.calco --against bad.img --json
	json_true out 'd["result"]["damages"][0]["volume"].startswith("partition 1 ") and d["result"]["damages_found"] == 1'

	# The copy is a disk like any other: captured, and written back to the first kind.
	run_calco capture target.img back.calco
	truncate -s "$3" back.img
	run_calco restore back.calco back.img --sector-size "$from" --confirm back.img
	run_calco verify back.calco --against back.img
	file_systems_work back.img "$from"
	partitions back.img "$from" >back.parts
	diff disk.parts back.parts || fail "the partitions are others after the way back"
	cmp disk.img.esp back.img.esp || fail "the ESP holds other files after the way back"
	cmp disk.img.old back.img.old || fail "the FAT16 holds other files after the way back"
}

there_and_back 512 4096 1400M
there_and_back 4096 512 1450M

# A new file with other sectors; the same bytes as on the device.
run_calco restore disk.calco new.img --sector-size 512
run_calco verify disk.calco --against new.img
# One volume alone: the ESP to a partition's place, and to a file of its own.
run_calco restore disk.calco new.img --sector-size 512 --only 1 --confirm new.img
run_calco verify disk.calco --against new.img
run_calco restore disk.calco esp.img --sector-size 512 --only EFI
fsck.fat -n esp.img >/dev/null || fail "fsck.fat of the ESP alone"
fat_files esp.img >esp.files
cmp disk.img.esp esp.files || fail "the ESP alone holds other files"
run_calco verify disk.calco --against esp.img --only EFI --sector-size 512
expect_exit 3 "$CALCO" verify disk.calco --against esp.img --only EFI

# From a repository it is the same, byte for byte. The disk was mounted since, so it is captured anew.
rm -f esp.img back.img new.img disk.calco
run_calco capture disk.img disk.calco --sector-size 4096
run_calco restore disk.calco new.img --sector-size 512
run_calco repo init store
run_calco capture disk.img store::disk --sector-size 4096
run_calco restore store::disk again.img --sector-size 512
cmp new.img again.img || fail "the image and the repository give different disks"
run_calco verify store::disk --against again.img
# And from an encrypted image.
rm again.img
run_calco key new sym --kind symmetric
run_calco capture disk.img sealed.calco --sector-size 4096 --key sym
run_calco restore sealed.calco again.img --sector-size 512 --key sym
cmp new.img again.img || fail "the encrypted image gives another disk"
run_calco verify sealed.calco --against again.img --key sym

# Two disks named in the wrong order are told apart by their GPT, which kept its name.
rm -rf disk.* new.img again.img target.img sealed.calco store
for n in 1 2; do
	truncate -s 12M disk$n.img
	sgdisk -n 1:2048:+8M disk$n.img >/dev/null
	make_ext4 part 8M -b 4096
	put_partition disk$n.img 1 part
	rm part
done
run_calco capture disk1.img disk2.img both.calco
run_calco restore both.calco new1.img new2.img --sector-size 4096
run_calco verify both.calco --against new1.img --against new2.img
expect_exit 3 "$CALCO" verify both.calco --against new2.img --against new1.img --json
json_true out 'd["error"]["reason"] == "order"'
