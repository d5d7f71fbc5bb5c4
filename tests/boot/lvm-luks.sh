#!/bin/bash
# Debian's kernel and LVM's own tools make LVM in LUKS on a partition, and a striped volume over two more disks, and fill them. After capture and restore
# the same kernel opens the copies with the same key, and finds the same files. In QEMU, because few build machines have device-mapper.
. "$(dirname "$0")/../e2e/functions.sh"
. "$(dirname "$0")/guestlib.sh"
requires lvm cryptsetup mke2fs sgdisk partx ldd

guest_script() {
	cat <<-'SCRIPT'
		export DM_DISABLE_UDEV=1 LVM_SUPPRESS_FD_WARNINGS=1
		mount -t tmpfs none /run
		run() { lvm "$@" --config 'devices{use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"} activation{udev_sync=0 udev_rules=0 verify_udev_operations=1 monitoring=0} backup{backup=0 archive=0}'; }
		files() {
			i=0
			while [ $i -lt 200 ]; do
				mkdir -p "/mnt/folder $((i % 13))"
				seq $i $((i * 9)) >"/mnt/folder $((i % 13))/number $i"
				i=$((i + 1))
			done
			rm /mnt/folder*/number*5
			yes "$marker" | head -c 3000000 >/mnt/gone
			sync
			rm /mnt/gone
		}
		fill() {
			cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /key /dev/vda1 || return
			cryptsetup open --key-file /key /dev/vda1 opened || return
			run pvcreate /dev/mapper/opened && run vgcreate inner /dev/mapper/opened && run lvcreate -y -L 40M -n root inner || return
			run pvcreate /dev/vdb /dev/vdc && run vgcreate outer /dev/vdb /dev/vdc && run lvcreate -y -i 2 -I 64k -L 64M -n fast outer || return
			run lvcreate -y -L 12M -n gone outer && run lvremove -y outer/gone && run lvextend -i 1 -L +8M outer/fast || return
			for volume in inner-root outer-fast; do
				/bin/mke2fs.real -q -t ext4 /dev/mapper/$volume && mount -t ext4 /dev/mapper/$volume /mnt || return
				files
				umount /mnt || return
			done
			run vgchange -an && cryptsetup close opened && echo filled
		}
		list() {
			cryptsetup open --readonly --key-file /key /dev/vda1 opened || return
			run vgchange -ay || return
			run lvs --noheadings -o lv_full_name,lv_size,segtype,stripes
			for volume in inner-root outer-fast; do
				mount -t ext4 -o ro,noload /dev/mapper/$volume /mnt || return
				cd /mnt
				find . -type f -print0 | xargs -0 sha256sum | sed "s/^/$volume /"
				cd /
				umount /mnt
			done
			echo listed
		}
		case $do in
		fill) fill >/dev/vdd 2>&1 ;;
		list) list >/dev/vdd 2>&1 ;;
		esac
		sync
		poweroff -f
	SCRIPT
}

# lvm_guest WHAT DISK DISK DISK: do it, what it said is in $T/said
lvm_guest() {
	local drives=() disk
	for disk in "${@:2}"; do
		drives+=(-drive "if=virtio,format=raw,file=$disk")
	done
	GUEST_MEMORY=768 guest "do=$1 marker=$MARKER" "${drives[@]}"
}

# list DISK DISK DISK: the files of all volumes, into $T/said
list() {
	lvm_guest list "$@"
	grep -qx listed "$T/said" || { cat "$T/said" "$T/console" >&2; fail "the volumes of $1 cannot be opened"; }
	[ "$(grep -c ' ./folder' "$T/said")" -gt 300 ] || { cat "$T/said" >&2; fail "there are too few files"; }
}

MARKER='Calco-test:-deleted-''before-the-capture'
guest_script >"$T/script"
guest_system "$T/script" dm_mod dm_crypt xts ext4 crc32c_generic
# mke2fs by another name: busybox has one that makes no ext4.
cp -L "$(command -v mke2fs)" "$T/mke2fs.real"
guest_add "$(command -v lvm)" "$(command -v cryptsetup)" "$T/mke2fs.real"
mkdir "$T/initrd.d/etc" "$T/initrd.d/run"
printf 'correct horse' >"$T/initrd.d/key"
guest_pack
cd "$T"
for disk in one two three; do
	truncate -s 100M $disk
done
sgdisk -n 1:2048:+80M -t 1:8309 one >/dev/null
lvm_guest fill one two three
grep -qx filled said || { cat said console >&2; fail "the kernel could not make the volumes"; }
grep -q -a -F "$MARKER" two three || fail "the deleted data is not on the source"
list one two three
grep -v 'logical volume' said >source.list

cp "$T/initrd.d/key" key
run_calco capture one two three all.calco --unlock 1:1=key
expect_no_text err 'raw'
run_calco info all.calco --json
json_true out '[v["name"] for v in d["result"]["volumes"] if v["kind"] == "lv"] == ["outer/fast", "inner/root"] or [v["name"] for v in d["result"]["volumes"] if v["kind"] == "lv"] == ["inner/root", "outer/fast"]'
json_true out 'd["result"]["stored_bytes"] < 60 << 20'
for disk in one two three; do
	yes garbage | head -c 100M >"new-$disk" || true
done
run_calco restore all.calco new-one new-two new-three --confirm new-one --confirm new-two --confirm new-three --scrub none
run_calco verify all.calco --against new-one --against new-two --against new-three
! grep -a -F -m 1 "$MARKER" new-two new-three >/dev/null || fail "deleted data came along"
list new-one new-two new-three
grep -v 'logical volume' said >copy.list
cmp source.list copy.list || { diff source.list copy.list | head >&2; fail "other files than on the source"; }
echo "$(wc -l <copy.list) lines, the same from both"
