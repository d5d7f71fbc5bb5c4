#!/bin/bash
# A source that changes while it is read is never captured as if it had not: a plain file that is written to is noticed, a device
# cannot be mounted meanwhile.
. "$(dirname "$0")/functions.sh"
requires mke2fs

cd "$T"
truncate -s 200M disk.img
mke2fs -q -F -t ext4 disk.img
head -c 120M /dev/urandom >noise
debugfs -w -R "write noise noise" disk.img 2>/dev/null >/dev/null

# A reader that stops half-way gives us the time: the pipe is full long before the capture ends.
mkfifo pipe
"$CALCO" capture disk.img - >pipe 2>err &
capture=$!
exec 3<pipe
head -c 65536 <&3 >/dev/null
printf x | dd of=disk.img bs=1 seek=$((150 << 20)) conv=notrunc status=none
cat <&3 >/dev/null
exec 3<&-
rc=0
wait $capture || rc=$?
[ "$rc" = 1 ] || fail "exit code $rc"
expect_text err "was written to while it was read"

[ "$(id -u)" = 0 ] || skip "the rest needs loop devices"
requires_loop
loop=$(losetup -f --show disk.img)
cleanup_fn losetup -d "$loop"
"$CALCO" capture "$loop" - >pipe 2>err &
capture=$!
exec 3<pipe
head -c 65536 <&3 >/dev/null
mkdir mnt
if unshare -m mount "$loop" mnt 2>/dev/null; then fail "mounted while it was captured"; fi
cat <&3 >/dev/null
exec 3<&-
wait $capture
