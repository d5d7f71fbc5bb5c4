#!/bin/bash
# What is being read is never written: the image, what it lies on, the disk that a pipe captures.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((40 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+60001 $disk >/dev/null
FILES=odd GONE=1 part 1 ext4
run_calco capture $disk golden.calco

# The image itself, by any name.
was=$(hash_of golden.calco)
ln golden.calco hard-link
ln -s golden.calco soft-link
for name in golden.calco ./golden.calco hard-link soft-link; do
	expect_exit 4 "$CALCO" restore golden.calco $name --confirm "$(basename $name)" --yes
done
[ "$(hash_of golden.calco)" = "$was" ] || fail "the image was written"

# A loop device over the image.
attach golden.calco
expect_exit 4 "$CALCO" restore golden.calco "$dev" --confirm "$(stat -c %s golden.calco)"
detach "$dev"

# The disk on which the image lies.
truncate -s 100M store.img
mke2fs -q -F store.img
attach store.img
mount "$dev" mnt
cp golden.calco mnt
expect_exit 4 "$CALCO" restore mnt/golden.calco "$dev" --confirm "$((100 << 20))"
expect_exit 4 "$CALCO" restore mnt/golden.calco store.img --confirm store.img
cmp mnt/golden.calco golden.calco
umount mnt
detach "$dev"

# A capture never writes over its disk.
was=$(hash_of $disk)
expect_exit 4 "$CALCO" capture $disk $disk
ln -s $disk alias.calco
expect_exit 4 "$CALCO" capture $disk alias.calco
[ "$(hash_of $disk)" = "$was" ] || fail "the disk was written"
