#!/bin/bash
# capture --skip-volatile: the content of swap and page files is not in the image, their heads and all other files are; what only has such
# a name is kept.
if [ -z "${OWN_NAMESPACE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	OWN_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
. "$(dirname "$0")/functions.sh"

requires_loop
requires mke2fs e2fsck mkswap openssl python3 blkid

cd "$T"
mkdir mnt
cleanup_fn umount -q "$T/mnt"

# noise BYTES
noise() {
	openssl enc -aes-128-ctr -K 0a -iv 0b -in /dev/zero 2>/dev/null | head -c "$1" || true
}

# fill_target FILE SIZE: a target full of old bytes
fill_target() {
	rm -f "$1"
	truncate -s "$2" "$1"
	yes 'old bytes of the target' | head -c "$2" >"$1" || true
}

# sums DIRECTORY: names and sums of all files but the volatile ones, their sizes, and what is kept of them
sums() (
	cd "$1"
	find . -type f ! -path ./swapfile ! -path ./var/swap.img ! -path ./lost+found -print0 | sort -z | xargs -0 sha256sum
	for file in swapfile var/swap.img; do
		stat -c '%n %s %b' $file
		head -c 4096 $file | sha256sum
	done
)

# ext_round SIZE OPTION...
ext_round() {
	local size=$1
	shift
	rm -f fs.img
	truncate -s "$size" fs.img
	mke2fs -q -F "$@" fs.img
	mount -t ext4 -o loop fs.img mnt
	sample_tree mnt/tree
	mkdir mnt/var
	for i in $(seq 30); do noise 20000 >"mnt/var/f$i"; done
	rm -f mnt/var/f*[02468]
	# one as installers make it, never written but for its head where the file system can; one that is full, in the holes of others
	if ! fallocate -l 6M mnt/swapfile 2>/dev/null; then noise 6291456 >mnt/swapfile; fi
	noise 8388608 >mnt/var/swap.img
	chmod 600 mnt/swapfile mnt/var/swap.img
	mkswap -q -L one mnt/swapfile
	mkswap -q -L two mnt/var/swap.img
	noise 3000000 >mnt/swap # no mark
	noise 300000 >mnt/pagefile.sys
	sums mnt >was.sums
	umount mnt
	run_calco capture fs.img whole.calco
	run_calco capture fs.img image.calco --skip-volatile
	expect_text out 'content skipped'
	expect_text err 'left out on request: /swapfile 6\.0 MiB, /var/swap\.img 8\.0 MiB'
	run_calco info image.calco --json
	json_true out "14680064 - 64 * 4096 < d['result']['volumes'][0]['skipped_bytes'] <= 14680064 - 2 * 4096"
	cp out info.json
	run_calco info whole.calco --json
	python3 - info.json out <<-'PYTHON' || fail "the content is still stored"
		import json, sys
		skipped, whole = (json.load(open(name))["result"] for name in sys.argv[1:])
		assert whole["volumes"][0]["skipped_bytes"] == 0
		assert skipped["stored_bytes"] == whole["stored_bytes"] - skipped["volumes"][0]["skipped_bytes"], skipped["stored_bytes"]
	PYTHON
	"$ROOT/tests/reader/calco_reader.py" check image.calco >/dev/null || fail "the independent reader"
	fill_target clone.img "$size"
	run_calco restore image.calco clone.img --confirm clone.img --scrub none
	run_calco verify image.calco --against clone.img
	e2fsck -fn clone.img >out 2>&1 || fail "e2fsck: $(cat out)"
	mount -t ext4 -o loop clone.img mnt
	sums mnt >clone.sums
	[ "$(blkid -p -o value -s LABEL mnt/swapfile) $(blkid -p -o value -s LABEL mnt/var/swap.img)" = "one two" ] || fail "no swap files"
	umount mnt
	cmp was.sums clone.sums || fail "the files differ"
	grep -q 'old bytes of the target' clone.img || fail "nothing was left out"
	rm -f ./*.calco clone.img
}

ext_round 64M -t ext4 -b 4096
ext_round 48M -t ext4 -b 1024 -O ^metadata_csum
ext_round 48M -t ext3 -b 1024
ext_round 64M -t ext4 -b 4096 -O bigalloc -C 16384

# Beside another notice no word is cut.
debugfs -w -R 'feature needs_recovery' fs.img >/dev/null 2>&1
run_calco capture fs.img both.calco --replay --skip-volatile
expect_text err 'left out on request: /swapfile 6.0 MiB, /var/swap.img 8.0 MiB; its journal was replayed for this image: [0-9]+ transactions, [0-9]+ blocks$'
rm both.calco

# A system sleeps in it, or it is a link, or a folder: nothing is left out.
truncate -s 0 fs.img
truncate -s 32M fs.img
mke2fs -q -F -t ext4 fs.img
mount -t ext4 -o loop fs.img mnt
noise 2000000 >mnt/swapfile
mkswap -q mnt/swapfile 2>/dev/null
printf 'S1SUSPEND\0' | dd of=mnt/swapfile bs=1 seek=4086 conv=notrunc status=none
ln -s swapfile mnt/swap
mkdir mnt/swap.img
ln -s / mnt/var
umount mnt
run_calco capture fs.img image.calco --skip-volatile --json
json_true out "d['result']['volumes'][0]['skipped_bytes'] == 0 and d['result']['volumes'][0]['notice'] is None"
rm image.calco

# Another file claims a block of it: the volume contradicts itself, and every byte is taken.
truncate -s 0 fs.img
truncate -s 32M fs.img
mke2fs -q -F -t ext4 -b 4096 -O ^extents,^metadata_csum,^64bit fs.img
noise 2000000 >swap.content
mkswap -q swap.content 2>/dev/null
noise 5000 >other
debugfs -w -R 'write swap.content swapfile' fs.img >/dev/null 2>&1
debugfs -w -R 'write other other' fs.img >/dev/null 2>&1
run_calco capture fs.img image.calco --skip-volatile --json
json_true out "d['result']['volumes'][0]['skipped_bytes'] > 1900000"
rm image.calco
debugfs -w -R "set_inode_field other block[1] $(debugfs -R 'bmap swapfile 9' fs.img 2>/dev/null)" fs.img >/dev/null 2>&1
run_calco capture fs.img image.calco --skip-volatile --json
json_true out "d['result']['volumes'][0]['skipped_bytes'] == 0 and d['result']['volumes'][0]['driver'] == 'raw'"
json_true out "'swap file' in d['result']['volumes'][0]['notice']"
rm image.calco

# ---- NTFS

command -v mkntfs >/dev/null && command -v ntfscp >/dev/null && command -v ntfsfix >/dev/null && command -v ntfscat >/dev/null || exit 0
truncate -s 64M windows.img
mkntfs -q -F -s 512 -L Windows windows.img >/dev/null 2>&1
noise 9000000 >page
noise 1000000 >swapped
{ printf wake; noise 3000000; } >hiber
noise 700001 >file
for pair in page:pagefile.sys swapped:SwapFile.sys hiber:hiberfil.sys file:file; do
	ntfscp -q windows.img "${pair%%:*}" "/${pair##*:}" >/dev/null 2>&1
done
run_calco capture windows.img whole.calco
run_calco capture windows.img image.calco --skip-volatile
expect_text out 'content skipped'
expect_text err 'left out on request: pagefile\.sys 8\.6 MiB, swapfile\.sys .* KiB, hiberfil\.sys 2\.9 MiB'
run_calco info image.calco --json
json_true out "12900000 < d['result']['volumes'][0]['skipped_bytes'] < 13000000 + 3 * 4096"
fill_target clone.img 64M
run_calco restore image.calco clone.img --confirm clone.img --scrub none
run_calco verify image.calco --against clone.img
ntfsfix -n clone.img >out 2>&1 || fail "ntfsfix: $(cat out)"
ntfscat clone.img /file | cmp - file || fail "a file differs"
for pair in page:pagefile.sys swapped:SwapFile.sys hiber:hiberfil.sys; do
	ntfscat clone.img "/${pair##*:}" >got
	[ "$(stat -c %s got)" = "$(stat -c %s "${pair%%:*}")" ] || fail "${pair##*:} has another size"
	cmp -n 4096 got "${pair%%:*}" || fail "the head of ${pair##*:} is lost"
	! cmp -s got "${pair%%:*}" || fail "${pair##*:} was not left out"
done
# hibernated: refused, whatever is asked for
{ printf hibr; noise 3000000; } >hiber
ntfscp -q windows.img hiber /hiberfil.sys >/dev/null 2>&1
expect_exit 4 "$CALCO" capture windows.img hibernated.calco --skip-volatile --json
json_true out 'd["error"]["reason"] == "hibernated"'
