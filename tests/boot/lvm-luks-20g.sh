#!/bin/bash
# An installation as the installers of distributions make it: a disk of 20 GB, LVM on LUKS on a partition, root with ext4 as mke2fs makes it, swap. 1 GB
# of files is on it, and what was deleted lies in between. The image is at most 1.2 GB, and Debian's kernel opens the copy with the same key.
# What ext4 writes as zeros is ciphertext, too, and comes along: the journal, 128 MiB here. (The inode tables would be another 300 MB, once the kernel
# has found the time to clear them, which this guest does not give it.)
# CRYPT_FILES: how many files of 10 MB (100); KERNEL_PACKAGES: see guestlib.sh. Needs 3 GB for temporary files.
. "$(dirname "$0")/../e2e/functions.sh"
. "$(dirname "$0")/guestlib.sh"
requires lvm cryptsetup mke2fs sgdisk ldd

FILES=${CRYPT_FILES:-100}

guest_script() {
	cat <<-'SCRIPT'
		export PATH=/sbin:/usr/sbin:/bin:/usr/bin DM_DISABLE_UDEV=1 LVM_SUPPRESS_FD_WARNINGS=1
		mkdir -p /run /etc
		mount -t tmpfs none /run
		run() { /bin/lvm "$@" --config 'devices{use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"} activation{udev_sync=0 udev_rules=0 verify_udev_operations=1 monitoring=0} backup{backup=0 archive=0}'; }
		fill() {
			/bin/cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /key /dev/vda2 || return
			/bin/cryptsetup open --key-file /key /dev/vda2 opened || return
			run pvcreate /dev/mapper/opened && run vgcreate debian /dev/mapper/opened || return
			run lvcreate -y -L 1G -n swap debian && run lvcreate -y -l 100%FREE -n root debian || return
			mkswap /dev/mapper/debian-swap && /bin/mke2fs -q -t ext4 /dev/mapper/debian-root && mount -t ext4 /dev/mapper/debian-root /mnt || return
			i=0
			while [ $i -lt $files ]; do
				mkdir -p /mnt/folder$((i % 7))
				dd if=/dev/zero of=/mnt/gone bs=100000 count=7 2>/dev/null
				{ echo "number $i"; dd if=/dev/zero bs=100000 count=100 2>/dev/null; } >/mnt/folder$((i % 7))/$i
				rm /mnt/gone
				i=$((i + 1))
			done
			sync
			echo "df: $(df -k /mnt | tail -n 1)"
			umount /mnt && run vgchange -an && /bin/cryptsetup close opened && echo filled
		}
		list() {
			/bin/cryptsetup open --key-file /key /dev/vda2 opened && run vgchange -ay || return
			mount -t ext4 -o ro /dev/mapper/debian-root /mnt || return
			cd /mnt
			find . -type f -print0 | xargs -0 sha256sum
			cd /
			umount /mnt && swapon /dev/mapper/debian-swap && swapoff /dev/mapper/debian-swap && echo listed
		}
		$do >/dev/vdb 2>&1
		sync
		poweroff -f
	SCRIPT
}

# crypt_guest WHAT DISK WORD: its last line is the word, what it said is in $T/said
crypt_guest() {
	GUEST_SECONDS=3600 GUEST_MEMORY=768 guest "do=$1 files=$FILES" -drive "if=virtio,format=raw,file=$2,cache=unsafe"
	grep -qx "$3" "$T/said" || { cat "$T/said" "$T/console" >&2; fail "$1 failed"; }
}

[ "$(df --output=avail -m "$T" | tail -n 1)" -gt 5000 ] || skip "there is too little room for temporary files"
guest_script >"$T/script"
guest_system "$T/script" dm_mod dm_crypt xts aes_generic ext4 crc32c_generic
guest_add "$(command -v lvm)" "$(command -v cryptsetup)" "$(command -v mke2fs)"
printf 'correct horse' >"$T/initrd.d/key"
cp "$T/initrd.d/key" "$T/key"
guest_pack

cd "$T"
truncate -s 20G disk
sgdisk -n 1:2048:+500M -t 1:8300 -n 2:0:0 -t 2:8309 disk >/dev/null
make_ext4 boot 500M
put_partition disk 1 boot
rm boot
crypt_guest fill disk filled
grep "^df: " said
crypt_guest list disk listed
grep ' ./folder' said | sort >source.list
[ "$(wc -l <source.list)" -eq "$FILES" ] || fail "there are other files than were made"

run_calco capture disk image.calco --unlock 2=key
expect_no_text err 'raw'
run_calco info image.calco --json
bytes=$(stat -c %s image.calco)
echo "image: $bytes bytes for $((FILES * 10)) MB of files; in use: $(json_get out '", ".join("%s %d" % (v["name"], v["used_bytes"]) for v in d["result"]["volumes"] if v["kind"] == "lv")')"
[ "$bytes" -le $((FILES * 12000000)) ] || fail "the image has $bytes bytes"
rm disk
run_calco restore image.calco copy
run_calco verify image.calco --against copy
rm image.calco
crypt_guest list copy listed
grep ' ./folder' said | sort | cmp - source.list || fail "the copy has other files"
