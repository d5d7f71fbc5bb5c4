#!/bin/bash
# A disk goes from one end of a pipe to the other, without an image in between; and an image is verified as it passes by.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((80 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:0 $disk >/dev/null
part 1 fat16
part 2 ext4
source=$disk
run_calco capture $disk file.calco

garbage target.img "$(stat -c %s $disk)"
set -o pipefail
"$CALCO" capture $disk - 2>said | "$CALCO" restore - target.img --confirm target.img >out 2>err
check_target target.img file.calco
# As through a slow line, in small pieces.
garbage target.img "$(stat -c %s $disk)"
"$CALCO" capture $disk - 2>said | dd bs=777 status=none | "$CALCO" restore - target.img --confirm target.img >out 2>err
check_target target.img file.calco
# shellcheck disable=SC2002 # a pipe is what is tested
cat file.calco | "$CALCO" verify - >out
cat file.calco | python3 "$READER" check -
"$CALCO" capture $disk - 2>said | tee copy.calco | "$CALCO" verify - >out
run_calco verify copy.calco --against target.img

# A larger target through a pipe: the table is made for it.
garbage larger.img $((100 * 1024 * 1024))
cat file.calco | "$CALCO" restore - larger.img --confirm larger.img >out 2>err
sgdisk -v larger.img | grep -q 'No problems' || fail "sgdisk finds problems"
run_calco verify file.calco --against larger.img

# The pipe breaks off, and what came is damaged: exit code 3, and no mounter takes the target for a disk.
for cut in 100 30000 $(($(stat -c %s file.calco) / 2)) $(($(stat -c %s file.calco) - 1)); do
	garbage target.img "$(stat -c %s $disk)"
	status=0
	head -c "$cut" file.calco | "$CALCO" restore - target.img --confirm target.img >out 2>err || status=$?
	[ $status = 3 ] || fail "exit code $status for an image that ends after $cut bytes"
	! blkid -p target.img >/dev/null || fail "half a target is recognised"
done
