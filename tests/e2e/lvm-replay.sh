#!/bin/bash
# --replay and --skip-volatile of what lies in logical volumes and in an unlocked LUKS container: the journal of an ext4 in an LV in pieces is replayed as
# e2fsck would, a swap file in it and a swap LV lose their content and nothing else; in a container a replay is refused.
if [ -z "${OWN_NAMESPACE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	OWN_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires sgdisk partx cryptsetup openssl mkswap blkid xfs_io dumpe2fs

cd "$T"
mkdir mnt
cleanup_fn umount -q "$T/mnt"

# noise BYTES
noise() {
	openssl enc -aes-128-ctr -K 0a -iv 0b -in /dev/zero 2>/dev/null | head -c "$1" || true
}

# dirty FILE: an ext4 with files and a swap file, cut off while it works
dirty() {
	local i
	make_ext4 "$1" 40M -b 4096 -U random -J size=4
	mount -o loop,noatime,data=journal "$1" mnt
	noise 6291456 >mnt/swapfile
	chmod 600 mnt/swapfile
	mkswap -q -L inside mnt/swapfile
	sync -f mnt
	mkdir mnt/kept
	for i in $(seq 60); do
		noise $((i * 300)) >"mnt/kept/$i"
		if ((i % 3 == 0)); then rm "mnt/kept/$((i / 3))"; fi
	done
	sync -f mnt
	(cd mnt && find . -type f ! -name swapfile -print0 | sort -z | xargs -0 sha256sum) >sums
	head -c 4096 mnt/swapfile >swap.head
	xfs_io -x -c 'shutdown -f' mnt
	umount mnt
	dumpe2fs -h "$1" 2>/dev/null | grep -q needs_recovery || fail "nothing is to be replayed: this proves nothing"
}

# same_files FILE: what was synced before the cut
same_files() {
	! dumpe2fs -h "$1" 2>/dev/null | grep -q needs_recovery || fail "the journal of $1 is to be replayed"
	cp --sparse=always "$1" mounted
	mount -o loop mounted mnt
	(cd mnt && find . -type f ! -name swapfile -print0 | sort -z | xargs -0 sha256sum) >now
	head -c 4096 mnt/swapfile | cmp - swap.head || fail "the swap file has another head"
	umount mnt
	e2fsck -fn mounted >fsck 2>&1 || { cat fsck >&2; fail "e2fsck finds errors in $1"; }
	cmp sums now || fail "the files of $1 differ"
}

# ---- LVM on a partition and on a whole disk: root in two pieces, data striped, swap

dirty fs
make_ext4 clean 24M -b 4096 -U random
truncate -s 150M disk1
truncate -s 60M disk2
sgdisk -n 1:2048:+140M -t 1:8E00 disk1 >/dev/null
read -r -a at < <(partition_place disk1 1)
attach disk1 "${at[0]}" "${at[1]}"
pv1=$loop
attach disk2
pv2=$loop
lvm_run pvcreate "$pv1" "$pv2"
lvm_run vgcreate vg "$pv1" "$pv2"
lvm_create root 24M vg "$pv1"
lvm_create swap 16M vg "$pv1"
lvm_create data 24M -i 2 -I 4k vg
lvm_run lvextend -L +16M vg/root "$pv2"
lvm_run vgcfgbackup -f "$T/text" vg
places=("$(pv_uuid "$pv1")=disk1@${at[0]}" "$(pv_uuid "$pv2")=disk2@0")
detach_all
{ noise 16777216; } >swap
mkswap -q -L paging swap 2>/dev/null
lv_tool put text root fs "${places[@]}"
lv_tool put text data clean "${places[@]}"
lv_tool put text swap swap "${places[@]}"

was=$(cat disk1 disk2 | sha256sum)
expect_exit 4 "$CALCO" capture disk1 disk2 image.calco --json
json_true out "d['error']['reason'] == 'dirty-journal' and 'vg/root' in d['error']['message']"
run_calco capture disk1 disk2 whole.calco --replay
run_calco capture disk1 disk2 image.calco --replay --skip-volatile
expect_text err 'left out on request: /swapfile 6\.0 MiB'
[ "$(cat disk1 disk2 | sha256sum)" = "$was" ] || fail "a source was changed"
run_calco info whole.calco --json
cp out whole.json
run_calco info image.calco --json
json_true out '{v["name"]: (v["driver"], v["state"], v["replayed"]) for v in d["result"]["volumes"] if v["kind"] == "lv"} == {"vg/root": ("ext", "clean", True), "vg/data": ("ext", "clean", False), "vg/swap": ("swap", "clean", False)}'
# Of a swap space nothing but the head is ever stored.
python3 - out whole.json <<-'PYTHON' || fail "the content of the swap file is still stored"
	import json, sys
	skipped, whole = (json.load(open(name))["result"] for name in sys.argv[1:])
	left_out = sum(v["skipped_bytes"] for v in skipped["volumes"])
	assert left_out == 6291456 - 4096, left_out
	assert skipped["stored_bytes"] == whole["stored_bytes"] - left_out, skipped["stored_bytes"]
	assert whole["stored_bytes"] < 30 << 20, whole["stored_bytes"]
PYTHON
"$ROOT/tests/reader/calco_reader.py" check image.calco >/dev/null || fail "the independent reader"

for name in whole image; do
	noise 150M >new1
	noise 60M >new2
	run_calco restore $name.calco new1 new2 --confirm new1 --confirm new2 --scrub none
	run_calco verify $name.calco --against new1 --against new2
	copies=("${places[@]/=disk/=new}")
	lv_tool get text root got-root "${copies[@]}"
	same_files got-root
	lv_tool get text data got-data "${copies[@]}"
	same_volume clean got-data
	lv_tool get text swap got-swap "${copies[@]}"
	cmp -n 4096 swap got-swap || fail "the swap space has another head"
	[ "$(blkid -p -o value -s LABEL got-swap)" = paging ] || fail "there is no swap space"
done
# What is in the LV is what the same file system gives as a file.
run_calco capture fs fs.calco --replay
run_calco restore fs.calco fs-copy
"$TOOLS/usedbytes" --zero fs-copy >one
run_calco restore whole.calco new1 new2 --confirm new1 --confirm new2
lv_tool get text root got-root "${copies[@]}"
"$TOOLS/usedbytes" --zero got-root | cmp - one || fail "in an LV something else is made of it"

# ---- LUKS: the replay would have to write ciphertext

truncate -s 64M container
printf 'correct horse' >key
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --iter-time 50 --key-file key container
python3 "$ROOT/tests/tools/luks_payload.py" put "container@0+$((64 << 20))" key fs
was=$(sha256sum <container)
uuid=$(cryptsetup luksUUID container)
for words in "" --replay; do
	# shellcheck disable=SC2086 # one word or none
	expect_exit 4 "$CALCO" capture container luks.calco --unlock "$uuid=key" $words --json
	json_true out "d['error']['reason'] == 'dirty-journal'"
done
json_true out "'not possible below an encryption' in d['error']['message'] and '--raw' in d['error']['hint']"
[ ! -e luks.calco ] && [ ! -e luks.calco.part ] || fail "a refused capture left a file"
[ "$(sha256sum <container)" = "$was" ] || fail "the source was changed"
# What is not dirty there: its swap file is left out, too.
e2fsck -fy fs >/dev/null 2>&1 || [ $? -eq 1 ] || fail "e2fsck cannot repair it"
python3 "$ROOT/tests/tools/luks_payload.py" put "container@0+$((64 << 20))" key fs
run_calco capture container whole-luks.calco --unlock "$uuid=key"
run_calco info whole-luks.calco --json
cp out whole.json
run_calco capture container luks.calco --unlock "$uuid=key" --skip-volatile --replay
run_calco info luks.calco --json
python3 - out whole.json <<-'PYTHON' || fail "the content of the swap file is still stored"
	import json, sys
	skipped, whole = (json.load(open(name))["result"] for name in sys.argv[1:])
	left_out = sum(v["skipped_bytes"] for v in skipped["volumes"])
	assert left_out == 6291456 - 4096, left_out
	assert skipped["stored_bytes"] == whole["stored_bytes"] - left_out, skipped["stored_bytes"]
PYTHON
noise 64M >new
run_calco restore luks.calco new --confirm new --scrub none
run_calco verify luks.calco --against new
python3 "$ROOT/tests/tools/luks_payload.py" get "new@0+$((64 << 20))" key got
truncate -s 40M got
same_files got
