#!/bin/bash
# A device without a serial number that holds data is confirmed by its exact size, and by nothing else.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((40 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+60001 $disk >/dev/null
FILES=odd GONE=1 part 1 ext4
source=$disk
run_calco capture $disk golden.calco

size=$(stat -c %s $disk)
cp --sparse=always $disk target.img
attach target.img
target=$dev
was=$(hash_of "$target")
expect_exit 4 "$CALCO" restore golden.calco "$target"
expect_text err "$size"
for wrong in --yes "--confirm=$((size - 1))" --confirm=target.img "--confirm=$target" --confirm= "--confirm=$size "; do
	expect_exit 4 "$CALCO" restore golden.calco "$target" "$wrong"
done
expect_exit 4 "$CALCO" restore golden.calco "$target" --json
json_true out 'd["error"]["reason"] == "not-confirmed"'
[ "$(hash_of "$target")" = "$was" ] || fail "an unconfirmed target was written"
run_calco restore golden.calco "$target" --confirm "$size"
check_target "$target" golden.calco
detach "$target"

# An empty one needs --yes only.
truncate -s "$size" empty.img
attach empty.img
target=$dev
run_calco restore golden.calco "$target" --yes
check_target "$target" golden.calco
detach "$target"
