#!/bin/bash
# LUKS2 and LUKS1 with file systems inside, and LVM in LUKS. Locked: all of it. Unlocked: the ciphertext of what is used, exactly; the copy opens with the
# same keys. What is inside was encrypted by luks_payload.py, not by calco.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires cryptsetup sgdisk partx openssl

payload() {
	python3 "$ROOT/tests/tools/luks_payload.py" "$@"
}

# place_of DISK NUMBER: as luks_payload.py wants it
place_of() {
	local at
	read -r -a at < <(partition_place "$1" "$2")
	echo "$1@${at[0]}+${at[1]}"
}

# put_container NUMBER PLAIN OPTION...: format it, fill it
put_container() {
	local number=$1 plain=$2 at
	shift 2
	read -r -a at < <(partition_place disk "$number")
	rm -f part
	truncate -s "${at[1]}" part
	cryptsetup luksFormat -q --iter-time 50 --key-file key "$@" part
	dd if=part of=disk bs=1M conv=notrunc oflag=seek_bytes seek="${at[0]}" status=none
	payload put "disk@${at[0]}+${at[1]}" key "$plain"
}

cd "$T"
printf 'correct horse' >key
truncate -s 180M disk
sgdisk -n 1:2048:+40M -c 1:first -n 2:0:+24M -n 3:0:+60M disk >/dev/null
make_ext4 two 24M -b 4096 -U random
put_container 1 two --type luks2 --pbkdf pbkdf2 --sector-size 4096
truncate -s 22M one
mke2fs -q -F -t ext4 -b 4096 -d "$T/tree" one
put_container 2 one --type luks1
truncate -s 44M pv
attach pv
lvm_run pvcreate "$loop"
lvm_run vgcreate vg "$loop"
lvm_create root 24M vg
places=("$(pv_uuid "$loop")=pv@0")
lvm_run vgcfgbackup -f "$T/text" vg
detach_all
make_ext4 root 24M -b 4096 -U random
lv_tool put text root root "${places[@]}"
put_container 3 pv --type luks2 --pbkdf argon2id --pbkdf-memory 65536
uuid3=$(cryptsetup luksUUID part)

# ---- locked
run_calco capture disk locked.calco
expect_text err 'partition 1 \(crypto_LUKS\): LUKS is locked: .*--unlock'
run_calco info locked.calco --json
json_true out '[v["raw"] for v in d["result"]["volumes"]] == ["fallback"] * 3'

# ---- unlocked, by number, and by UUID; a newline at the end of a passphrase does no harm
printf 'correct horse\n' >line
run_calco capture disk some.calco --unlock 1=line --unlock 2=key --unlock "$uuid3=key"
expect_no_text err 'horse'
run_calco info some.calco --json
json_true out '[(v["kind"], v["type"]) for v in d["result"]["volumes"]] == [("partition", "crypto_LUKS")] * 3 + [("crypt", "ext4"), ("crypt", "ext4"), ("crypt", "LVM2_member"), ("set", "LVM2"), ("lv", "ext4")]'
json_true out '[v["parent"] for v in d["result"]["volumes"][3:]] == [0, 1, 2, 5, 6]'
json_true out 'd["result"]["volumes"][7]["name"] == "vg/root"'
header=$((16 << 20))
for number in 1 2; do
	stored=$(json_get out "d['result']['regions'][d['result']['volumes'][$number - 1]['region']]['stored_bytes']")
	[ $number = 1 ] && plain=two || { plain=one header=$((2 << 20)); }
	# The body of a journal is zero, its ciphertext is not: it is stored.
	want=$((header + $("$TOOLS/usedbytes" --zero "$plain" | wc -c)))
	[ "$stored" -eq "$want" ] || fail "partition $number: $stored bytes are stored, $want are header or in use"
done
stored=$(json_get out "d['result']['regions'][d['result']['volumes'][2]['region']]['stored_bytes']")
want=$(((16 << 20) + (1 << 20) + $("$TOOLS/usedbytes" --zero root | wc -c)))
[ "$stored" -eq "$want" ] || fail "partition 3: $stored bytes are stored, $want are header, metadata or in use"
run_calco verify some.calco --against disk

head -c 180M /dev/urandom >new
run_calco restore some.calco new --confirm new --scrub none
run_calco verify some.calco --against new
payload get "$(place_of new 1)" key got
same_volume two got
payload get "$(place_of new 2)" key got
truncate -s 22M got
same_volume one got
payload get "$(place_of new 3)" key got-pv
lv_tool get text root got "${places[@]/=pv/=got-pv}"
same_volume root got

# ---- what is refused
printf 'wrong' >wrong
expect_exit 4 "$CALCO" capture disk no.calco --unlock 1=wrong --json
json_true out 'd["error"]["reason"] == "wrong-key"'
expect_exit 4 "$CALCO" capture disk no.calco --unlock 1=wrong
expect_text err "the key or passphrase in 'wrong' does not open"
expect_exit 2 "$CALCO" capture disk no.calco --unlock 7=key
expect_text err "no LUKS container '7'"
# To be opened and taken raw at once: one of the two.
expect_exit 2 "$CALCO" capture disk --dry-run --unlock 2=key --raw 2
expect_text err "^calco: --unlock: '2' is taken raw, as --raw asks for" '^hint: leave out one of them'
expect_exit 2 "$CALCO" capture disk no.calco --unlock 1
expect_exit 2 "$CALCO" capture disk no.calco --unlock 1=nowhere
[ ! -e no.calco ] || fail "there is an image"

# ---- a container in which the file system is not clean is refused, too; ciphers that are not known are taken whole
debugfs -w -R "ssv state 0" two >/dev/null 2>&1
payload put "$(place_of disk 1)" key two
expect_exit 4 "$CALCO" capture disk no.calco --unlock 1=key
expect_text err "'luks-[0-9a-f-]*' \(ext4\) is not safe to copy"
put_container 1 two --type luks1 --cipher aes-cbc-essiv:sha256 2>/dev/null || true
run_calco capture disk cbc.calco --unlock 1=key --dry-run
expect_text err 'partition 1 \(crypto_LUKS\): LUKS taken raw: it is encrypted with aes-cbc-essiv:sha256'
