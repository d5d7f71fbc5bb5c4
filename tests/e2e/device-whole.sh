#!/bin/bash
# Block devices as source and as target: the same image as from the file below, and the same disk.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((90 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:+100001 -n 3:150001:0 -t 3:8200 $disk >/dev/null
part 1 fat16
part 2 ext4
part 3 swap
source=$disk
attach $disk --read-only
golden=$dev
run_calco capture "$golden" device.calco
detach "$golden"
run_calco capture $disk file.calco
# All that differs is when and by which name it was captured.
run_calco restore file.calco clone.img
run_calco verify device.calco --against clone.img
python3 "$READER" compare device.calco clone.img

attach $disk
golden=$dev
run_calco capture "$golden" writable.calco
detach "$golden"
run_calco verify writable.calco --against clone.img

garbage target.img "$(stat -c %s $disk)"
attach target.img
target=$dev
expect_exit 4 "$CALCO" restore device.calco "$target" --confirm target.img
run_calco restore device.calco "$target" --confirm "$(stat -c %s $disk)"
check_target "$target" device.calco
detach "$target"
check_target target.img file.calco

# From device to device through a pipe, onto a blank and larger one.
truncate -s 100M larger.img
attach larger.img
target=$dev
attach $disk --read-only
golden=$dev
"$CALCO" capture "$golden" - 2>said | "$CALCO" restore - "$target" --yes >out 2>err
run_calco verify device.calco --against "$target"
detach "$golden"
detach "$target"
sgdisk -v larger.img | grep -q 'No problems' || fail "sgdisk finds problems"
! LC_ALL=C grep -q -a -F "$MARKER" larger.img || fail "deleted data came along"
