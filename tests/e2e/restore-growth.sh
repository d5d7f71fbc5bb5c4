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
expect_text out '^  unused +40.0 MiB at the end of gpt2.img: room for another partition'
run_calco restore gpt.calco gpt2.img --only root --confirm gpt2.img
expect_no_text out 'unused'
