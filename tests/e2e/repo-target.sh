#!/bin/bash
# Nothing of a repository is ever the target of what is read from it, by whatever name; and what a capture writes is never its source.
. "$(dirname "$0")/functions.sh"
requires mke2fs
cd "$T"

truncate -s 1M disk.img
mke2fs -q -F -t ext2 -E lazy_itable_init=0 disk.img
head -c 600000 /dev/urandom | dd of=disk.img bs=1k seek=300 conv=notrunc status=none
run_calco repo init store
run_calco capture disk.img store::lab --raw all
run_calco repo tag store lab stable
mkdir elsewhere
sums() { find store -type f -print0 | sort -z | xargs -0 sha256sum; }
sums >was

# refused TARGET: for all that is confirmed
refused() {
	expect_exit 4 "$CALCO" restore store::lab "$1" --yes --confirm "$(basename "$1")" --json
	json_true out 'd["error"]["reason"] == "is-source"'
	sums | cmp - was
}
mapfile -t files < <(find store -type f)
for file in "${files[@]}"; do
	refused "$file"
	ln "$file" hard
	refused hard
	ln -s "$file" soft
	refused soft
	rm hard soft
done
# Large enough by itself, so that nothing else speaks against it; and what is there only in passing.
pack=$(find store/packs -type f)
cp "$pack" kept
truncate -s 4M "$pack"
sums >was
refused "$pack"
ln -s store other-name
expect_exit 4 "$CALCO" restore other-name::lab "$pack" --yes --confirm "$(basename "$pack")"
sums | cmp - was
cat kept >"$pack"
sums >was
# A new file in one of its folders.
for file in store/new.img store/images/lab/2.version other-name/packs/x elsewhere/../store/leaves/x; do
	refused "$file"
	[ ! -e "$file" ] || fail "$file was made"
done
# Through a loop device.
cleanup_fn sh -c "losetup -nO NAME,BACK-FILE | awk -v t='$T/' 'index(\$2, t) == 1 { print \$1 }' | xargs -r losetup -d"
truncate -s 4M "$pack"
if [ "$(id -u)" -eq 0 ] && dev=$(losetup --find --show "$pack" 2>/dev/null); then
	sums >was
	expect_exit 4 "$CALCO" restore store::lab "$dev" --yes --confirm "$(blockdev --getsize64 "$dev")" --json
	json_true out 'd["error"]["reason"] == "is-source"'
	sums | cmp - was
	losetup -d "$dev"
fi
cat kept >"$pack"
run_calco repo check store --read-data

# Anywhere else is fine, another repository's neighbour too.
run_calco restore store::lab elsewhere/new.img
cmp disk.img elsewhere/new.img
run_calco restore store::lab@stable storex.img
run_calco restore store::lab elsewhere/new.img --confirm new.img

# The disk on which the repository lies, where the repository is all there is in it.
if [ "$(id -u)" -eq 0 ] && truncate -s 30M room && mke2fs -q -F room && dev=$(losetup --find --show room 2>/dev/null); then
	mkdir mnt
	if mount "$dev" mnt; then
		cleanup_fn umount "$T/mnt"
		rmdir mnt/lost+found
		run_calco repo init mnt
		run_calco capture disk.img mnt::lab --raw all
		expect_exit 4 "$CALCO" restore mnt::lab "$dev" --yes --confirm $((30 << 20)) --json
		json_true out 'd["error"]["reason"] == "holds-store"'
	fi
fi

# What a capture writes before it has its name is never the source, nor anything else that is no left-over of a capture.
cp disk.img x.calco.part
expect_exit 4 "$CALCO" capture x.calco.part x.calco --raw all
cmp disk.img x.calco.part
rm x.calco.part
ln disk.img x.calco.part
cp disk.img copy.img
expect_exit 4 "$CALCO" capture disk.img x.calco --raw all
cmp disk.img copy.img
run_calco capture disk.img y.calco --raw all
ln -f y.calco x.calco.part
expect_exit 4 "$CALCO" capture disk.img x.calco --raw all
run_calco verify y.calco --against copy.img
rm x.calco.part
mkfifo x.calco.part
expect_exit 4 timeout 20 "$CALCO" capture disk.img x.calco --raw all
[ -p x.calco.part ] || fail "the pipe is gone"
rm x.calco.part
# A left-over is written anew.
head -c 5000 y.calco >x.calco.part
run_calco capture disk.img x.calco --raw all
run_calco verify x.calco --against copy.img
