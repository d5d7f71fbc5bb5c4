#!/bin/bash
# Debian's kernel and LVM's own tools make LVM in LUKS on a partition, and a striped volume over two more disks, and fill them. After capture and restore
# the same kernel opens the copies with the same key, and finds the same files. In QEMU, because few build machines have device-mapper.
# KERNEL_PACKAGES: folder for the packages of kernel and busybox
. "$(dirname "$0")/../e2e/functions.sh"
requires qemu-system-x86_64 lvm cryptsetup mke2fs sgdisk partx apt-get dpkg-deb depmod modprobe ldd

# guest_program PROGRAM...: with its libraries into the guest, as /real-PROGRAM (the shell of busybox prefers its own)
guest_program() {
	local program file
	for program in "$@"; do
		program=$(command -v "$program")
		for file in "$program" $(ldd "$program" | awk '/=> \// { print $3 } /^\t\/lib/ { print $1 }'); do
			mkdir -p "$T/initrd.d/$(dirname "$file")"
			cp -Ln "$file" "$T/initrd.d/$file" 2>/dev/null || true
		done
		ln -s "$program" "$T/initrd.d/real-$(basename "$program")"
	done
}

# guest_system: $T/vmlinuz and $T/initrd, which does what "do=" on the kernel's command line says
guest_system() {
	local packages=${KERNEL_PACKAGES:-$T/packages} kernel module
	mkdir -p "$packages" "$T/root" "$T/initrd.d"/{bin,dev,etc,mnt,modules,proc,run,sys,tmp}
	if [ -z "$(find "$packages" -name 'linux-image-*.deb')" ]; then
		kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
		[ -n "$kernel" ] || skip "apt knows no linux-image-amd64"
		(cd "$packages" && apt-get download "$kernel" busybox-static) >"$T/out" 2>&1 || skip "no packages: $(tail -n 1 "$T/out")"
	fi
	for package in "$packages"/linux-image-*.deb "$packages"/busybox-static_*.deb; do
		dpkg-deb -x "$package" "$T/root"
	done
	mv "$T"/root/boot/vmlinuz-* "$T/vmlinuz"
	kernel=$(basename "$T"/root/lib/modules/*)
	depmod -b "$T/root" "$kernel"
	for module in virtio_pci virtio_blk dm_mod dm_crypt xts ext4 crc32c_generic; do
		modprobe -d "$T/root" -S "$kernel" --show-depends "$module" | awk '/^insmod/ { print $2 }'
	done | awk '!seen[$0]++' >"$T/modules"
	while read -r module; do
		cp "$module" "$T/initrd.d/modules"
		basename "$module" >>"$T/initrd.d/modules/list"
	done <"$T/modules"
	guest_program lvm cryptsetup mke2fs
	cp "$T/root/bin/busybox" "$T/initrd.d/bin"
	printf 'correct horse' >"$T/initrd.d/key"
	guest_init >"$T/initrd.d/init"
	chmod 755 "$T/initrd.d/init"
	(cd "$T/initrd.d" && find . | bin/busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$T/initrd"
}

guest_init() {
	cat <<-'INIT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		export PATH=/sbin:/usr/sbin:/bin:/usr/bin DM_DISABLE_UDEV=1 LVM_SUPPRESS_FD_WARNINGS=1
		mount -t devtmpfs none /dev
		mount -t proc none /proc
		mount -t sysfs none /sys
		mount -t tmpfs none /run
		for module in $(cat /modules/list); do insmod /modules/$module; done
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
				/real-mke2fs -q -t ext4 /dev/mapper/$volume && mount -t ext4 /dev/mapper/$volume /mnt || return
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
	INIT
}

# guest WHAT DISK DISK DISK: do it, what it said is in $T/said
guest() {
	local drives=() disk
	truncate -s 0 "$T/said.disk"
	truncate -s 4M "$T/said.disk"
	for disk in "${@:2}" "$T/said.disk"; do
		drives+=(-drive "if=virtio,format=raw,file=$disk")
	done
	timeout 600 qemu-system-x86_64 -accel tcg -m 768 -display none -vga none -net none -no-reboot -serial "file:$T/console" \
		-kernel "$T/vmlinuz" -initrd "$T/initrd" -append "console=ttyS0 quiet panic=-1 do=$1 marker=$MARKER" "${drives[@]}" >"$T/qemu" 2>&1 || {
		cat "$T/qemu" "$T/console" >&2
		fail "the machine did not halt by itself"
	}
	tr -d '\000' <"$T/said.disk" >"$T/said"
}

# list DISK DISK DISK: the files of all volumes, into $T/said
list() {
	guest list "$@"
	grep -qx listed "$T/said" || { cat "$T/said" "$T/console" >&2; fail "the volumes of $1 cannot be opened"; }
	[ "$(grep -c ' ./folder' "$T/said")" -gt 300 ] || { cat "$T/said" >&2; fail "there are too few files"; }
}

MARKER='Calco-test:-deleted-''before-the-capture'
guest_system
cd "$T"
for disk in one two three; do
	truncate -s 100M $disk
done
sgdisk -n 1:2048:+80M -t 1:8309 one >/dev/null
guest fill one two three
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
