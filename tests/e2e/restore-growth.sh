#!/bin/bash
# After a restore to a larger disk it is told how the rest can be used; and that works.
. "$(dirname "$0")/functions.sh"
requires sgdisk sfdisk partx mke2fs e2fsck resize2fs openssl
cd "$T"

truncate -s 100M disk.img
sgdisk -n 1:0:+8M -n 2:0:0 disk.img >/dev/null
make_ext4 part 60M
put_partition disk.img 2 part
run_calco capture disk.img disk.calco
run_calco restore disk.calco same.img
expect_no_text out 'unused'
truncate -s 164M larger.img
run_calco restore disk.calco larger.img --yes
expect_text out '^  unused +64.0 MiB behind partition 2 of larger.img \(ext4\); to use it: growpart larger.img 2 \(or parted, resizepart\), then resize2fs$'
# growpart does it by sfdisk
echo ', +' | sfdisk -q --no-reread -N 2 larger.img >grown 2>&1 || fail "$(cat grown)"
get_partition larger.img 2 part
[ "$(stat -c %s part)" -gt $((150 << 20)) ] || fail "the partition did not grow"
e2fsck -fp part >fsck 2>&1 || fail "$(cat fsck)"
resize2fs part >resize 2>&1 || fail "$(cat resize)"
e2fsck -fn part >fsck 2>&1 || fail "$(cat fsck)"

# Without a table, and behind a partition that nobody grows.
make_ext4 fs.img 32M
run_calco capture fs.img fs.calco
truncate -s 48M fs2.img
run_calco restore fs.calco fs2.img --yes
expect_text out '^  unused +16.0 MiB at the end of fs2.img; to use it: resize2fs$'
resize2fs fs2.img >resize 2>&1 || fail "$(cat resize)"
e2fsck -fn fs2.img >fsck 2>&1 || fail "$(cat fsck)"
make_gpt_disk gpt.img
run_calco capture gpt.img gpt.calco
truncate -s 200M gpt2.img
run_calco restore gpt.calco gpt2.img --yes
expect_text out '^  unused +40.0 MiB at the end of gpt2.img: room for another partition \(fdisk\), or, with partition 3 \(Linux swap\) moved to the end \(gparted\), for partition 2 \(ext4\): growpart gpt2.img 2, then resize2fs$'
run_calco restore gpt.calco gpt2.img --only root --confirm gpt2.img
expect_no_text out 'unused'

# Windows puts its recovery partition last, which is an NTFS like the other: nobody wants that one to be larger.
requires mkfs.ntfs
truncate -s 200M win.img
sgdisk -n 1:0:+40M -t 1:EF00 -n 2:0:+16M -t 2:0C01 -n 3:0:+64M -t 3:0700 -n 4:0:+32M -t 4:2700 win.img >/dev/null
make_fat part 40M
put_partition win.img 1 part
for n in 3:64M:Windows 4:32M:Recovery; do
	rm -f part
	truncate -s "$(echo "$n" | cut -d: -f2)" part
	mkfs.ntfs -q -F -Q -L "${n##*:}" part >/dev/null 2>&1
	put_partition win.img "${n%%:*}" part
done
run_calco capture win.img win.calco
cp --sparse=always win.img win2.img
truncate -s 264M win2.img
run_calco restore win.calco win2.img --confirm win2.img
expect_text out '^  unused +64.0 MiB at the end of win2.img: .*with partition 4 \(Windows recovery environment\) moved to the end \(gparted\), for partition 3 \(ntfs\): growpart win2.img 3, then ntfsresize'
expect_no_text out 'growpart win2.img 4'
# One that no type tells, but the bit that says that the platform needs it; and two of them.
sgdisk -t 4:0700 -A 4:set:0 -n 5:0:0 -t 5:2700 win.img >/dev/null
run_calco capture win.img win5.calco
run_calco restore win5.calco win2.img --confirm win2.img
expect_text out 'with partitions 4 and 5 moved to the end \(gparted\), for partition 3 \(ntfs\)'
# Where the one that grows is the last, nothing is in the way.
sgdisk -d 4 -d 5 win.img >/dev/null
run_calco capture win.img win3.calco
run_calco restore win3.calco win2.img --confirm win2.img
expect_text out 'behind partition 3 of win2.img \(ntfs\); to use it: growpart win2.img 3 '
