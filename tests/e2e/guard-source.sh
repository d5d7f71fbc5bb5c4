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

# Two sources, or two targets, that are the same or overlap.
ln $disk hard.img
truncate -s 8M other.img third.img
mkfs.ext4 -q other.img
mkfs.ext4 -q third.img
twice() {
	expect_exit 2 "$CALCO" capture "$1" third.img "$2" twice.calco
	expect_text err "'$1' and '$2' $3"
	expect_exit 2 "$CALCO" capture "$2" "$1" --dry-run twice.calco
	expect_text err "'$2' and '$1' $3"
	[ ! -e twice.calco ] || fail "an image was made"
}
expect_exit 2 "$CALCO" capture $disk $disk twice.calco
expect_text err "the source '$disk' is named twice"
twice $disk ./$disk "are the same"
twice $disk alias.calco "are the same"
twice $disk hard.img "are the same"
run_calco capture $disk other.img both.calco
attach $disk
twice "$dev" $disk overlap
if partx -a "$dev" 2>/dev/null && [ -b "${dev}p1" ]; then
	twice "$dev" "${dev}p1" overlap
	twice "${dev}p1" $disk overlap
	partx -d "$dev"
fi
other=$(losetup --find --show other.img)
cleanup_fn losetup -d "$other"
ln -s "$other" other-disk
twice "$other" other-disk "are the same"
run_calco capture "$other" "$dev" two-loops.calco
detach "$dev"

was=$(hash_of hard.img)
for pair in "$disk hard.img" "hard.img ./hard.img" "new.img ./new.img" "new.img mnt/../new.img"; do
	read -r -a names <<<"$pair"
	expect_exit 2 "$CALCO" restore both.calco "${names[@]}" --yes --confirm "${names[0]}" --confirm "$(basename "${names[1]}")"
	expect_text err "'${names[0]}' and '${names[1]}' are the same"
done
[ ! -e new.img ] || fail "a target was made"
[ "$(hash_of hard.img)" = "$was" ] || fail "a target was written"
