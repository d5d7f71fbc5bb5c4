#!/bin/bash
# Volumes of several disks can be named, and what is wrong is told by volume and place.
. "$(dirname "$0")/functions.sh"
cd "$T"

make_gpt_disk a.img
cp --sparse=always a.img b.img
run_calco capture a.img b.img both.calco
expect_exit 2 "$CALCO" restore both.calco one.img --only root
expect_text err 'names 2 volumes' 'DISK:PARTITION'
expect_exit 2 "$CALCO" restore both.calco one.img --only 3:2
run_calco restore both.calco one.img --only 2:2
get_partition b.img 2 want
cmp -n "$(stat -c %s want)" one.img want
run_calco verify both.calco --against one.img --only 2:2

# A damaged chunk, as a restore meets it
run_calco capture a.img a.calco
cp a.calco bad.calco
printf '\xff\xff' | dd of=bad.calco bs=1 seek=$(($(stat -c %s bad.calco) / 2)) conv=notrunc status=none
expect_exit 3 "$CALCO" restore bad.calco new.img
expect_text err "partition 2 \(ext4 'root'\), 256 KiB at [0-9]+ of the disk: .*chunk" "calco verify"

# Old bytes where the file system holds nothing yet: the golden disk differs from its image, no file does.
openssl enc -aes-128-ctr -K 77 -iv 00 -in /dev/zero 2>/dev/null | head -c 64M >golden.img || true
[ -d tree ] || sample_tree tree
mke2fs -q -F -t ext4 -E lazy_itable_init=1,nodiscard -d tree golden.img
run_calco capture golden.img golden.calco
expect_exit 3 "$CALCO" verify golden.calco --against golden.img
expect_text out 'but every file is equal' 'does not use yet'
run_calco restore golden.calco copy.img
run_calco verify golden.calco --against copy.img
expect_no_text out 'every file'
printf 'x' | dd of=copy.img bs=1 seek=1100 conv=notrunc status=none
expect_exit 3 "$CALCO" verify golden.calco --against copy.img
expect_no_text out 'every file'


# Not all of the differences: the table is wrong, too.
truncate -s 100M disk.img
sgdisk -n 1:0:+64M disk.img >/dev/null
put_partition disk.img 1 golden.img
run_calco capture disk.img disk.calco
truncate -s 120M larger.img
run_calco restore disk.calco larger.img --yes
run_calco verify disk.calco --against larger.img
put_partition larger.img 1 golden.img
expect_exit 3 "$CALCO" verify disk.calco --against larger.img
expect_text out 'but every file is equal'
printf 'x' | dd of=larger.img bs=1 seek=$((120 * 1024 * 1024 - 500)) conv=notrunc status=none
expect_exit 3 "$CALCO" verify disk.calco --against larger.img
expect_text out 'partition table'
expect_no_text out 'every file'

expect_exit 3 "$CALCO" restore golden.img golden.calco --yes
expect_text err 'not a calco image' 'where disks are named too, it comes first'
