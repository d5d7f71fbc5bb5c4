#!/bin/bash
# Round trip of a disk with sectors of 4096 bytes, as a device and as a plain file that somebody copied from one.
. "$(dirname "$0")/rounds.sh"

SECTOR=4096
disk=4k.img
truncate -s $((130 * 1024 * 1024 + 3 * 4096)) $disk
attach $disk --sector-size 4096
whole=$dev
sgdisk -a 1 -n 1:9:+9001 -c 1:root -n 2:9013:+7001 -t 2:EF00 -n 3:16021:+1501 -t 3:8200 -n 4:18001:+7001 -c 4:data "$whole" >/dev/null
sync "$whole"
detach "$whole"
part 1 ext4
part 2 fat16 -S 4096 -s 1
part 3 swap
FILES=odd GONE=4 part 4 ext2
holds_deleted_data $disk
also_check() {
	local problems
	attach "$1" --sector-size 4096 --read-only
	problems=$(sgdisk -v "$dev")
	detach "$dev"
	[[ $problems == *"No problems found"* ]] || fail "sgdisk: $problems"
}

# As a file: the sector size follows from the place of the GPT.
round_trip $disk
run_calco capture $disk --dry-run
expect_text err 'GPT was made for sectors of 4096 bytes'
run_calco info $disk.calco --json
json_true out 'd["result"]["disks"][0]["sector_size"] == 4096 and d["result"]["disks"][0]["table"] == "gpt"'

# From device to device.
attach $disk --sector-size 4096 --read-only
whole=$dev
run_calco capture "$whole" device.calco
detach "$whole"
run_calco info device.calco --json
json_true out 'd["result"]["disks"][0]["sector_size"] == 4096'
truncate -s "$(stat -c %s $disk)" target.img
attach target.img --sector-size 4096
target=$dev
run_calco restore device.calco "$target" --yes
run_calco verify $disk.calco --against "$target"
detach "$target"
check_target target.img device.calco

# An MBR in a file tells no sector size: 512 is taken, and where the content says otherwise that is hinted at.
truncate -s 64M mbr.img
attach mbr.img --sector-size 4096
printf 'start=256, size=4096\nstart=8192, size=2048, type=82\n' | sfdisk -q --no-tell-kernel --no-reread "$dev"
sync "$dev"
detach "$dev"
truncate -s 16M part.img
mke2fs -q -t ext4 part.img
dd if=part.img of=mbr.img bs=4096 seek=256 conv=notrunc,sparse status=none
run_calco capture mbr.img --dry-run
expect_text err 'but 1 would with sectors of 4096: .*add --sector-size 4096'
run_calco capture mbr.img --dry-run --sector-size 4096 --json
expect_no_text err sector-size
json_true out '[(v["type"]) for v in d["result"]["volumes"]][:1] == ["ext4"]'
# A device with other sectors would not understand such a table: nothing is written.
run_calco capture mbr.img mbr.calco --sector-size 4096
truncate -s 64M small-sectors.img
attach small-sectors.img --sector-size 512
for option in --yes --dry-run; do
	expect_exit 4 "$CALCO" restore mbr.calco "$dev" $option --json
	json_true out 'd["error"]["reason"] == "sector-size" and "MBR" in d["error"]["message"]'
done
detach "$dev"
[ "$(hash_of small-sectors.img)" = "$(head -c 64M /dev/zero | hash_of -)" ] || fail "the refused target was written"

# No hint where 512 is right, or nothing tells.
truncate -s 64M mbr512.img
printf 'start=2048, size=32768\nstart=65536, size=2048, type=82\n' | sfdisk -q mbr512.img
run_calco capture mbr512.img --dry-run
expect_no_text err sector-size
dd if=part.img of=mbr512.img bs=512 seek=2048 conv=notrunc,sparse status=none
run_calco capture mbr512.img --dry-run
expect_no_text err sector-size
