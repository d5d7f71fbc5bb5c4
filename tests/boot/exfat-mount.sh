#!/bin/bash
# Debian's kernel fills an exFAT partition, and later reads it and its restored copy: the same files, and the same as an independent
# reader finds. In QEMU, because few build machines have an exfat module. KERNEL_PACKAGES: folder for the packages of kernel and busybox
. "$(dirname "$0")/../e2e/functions.sh"
requires qemu-system-x86_64 mkfs.exfat fsck.exfat sgdisk partx apt-get dpkg-deb depmod modprobe python3

EXFAT=$ROOT/tests/tools/exfat.py

# guest_system: $T/vmlinuz and $T/initrd, a busybox that does what "do=" on the kernel's command line says
guest_system() {
	local packages=${KERNEL_PACKAGES:-$T/packages} kernel module
	mkdir -p "$packages" "$T/root" "$T/initrd.d"/{bin,dev,mnt,modules,proc}
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
	for module in virtio_pci virtio_blk exfat nls_utf8; do
		modprobe -d "$T/root" -S "$kernel" --show-depends "$module" | awk '/^insmod/ { print $2 }'
	done | awk '!seen[$0]++' >"$T/modules"
	while read -r module; do
		cp "$module" "$T/initrd.d/modules"
		basename "$module" >>"$T/initrd.d/modules/list"
	done <"$T/modules"
	cp "$T/root/bin/busybox" "$T/initrd.d/bin"
	guest_init >"$T/initrd.d/init"
	chmod 755 "$T/initrd.d/init"
	(cd "$T/initrd.d" && find . | bin/busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$T/initrd"
}

guest_init() {
	cat <<-'INIT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t devtmpfs none /dev
		mount -t proc none /proc
		for module in $(cat /modules/list); do insmod /modules/$module; done
		fill() {
			mount -t exfat /dev/vda1 /mnt || return
			i=0
			while [ $i -lt 900 ]; do
				folder="/mnt/Ordner $((i % 23))/inner $((i % 7))"
				mkdir -p "$folder"
				seq $i $((i * 7)) >"$folder/a file, number $i"
				i=$((i + 1))
			done
			rm -r /mnt/*/inner\ 3
			rm /mnt/*/*/*number\ *5
			for i in 1 2 3 4; do seq $i 400000 >"/mnt/in pieces $i" & done
			wait
			mkdir -p /mnt/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16
			echo bottom >/mnt/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/bottom
			yes "$marker" | head -c 3000000 >/mnt/gone
			sync
			rm /mnt/gone
			umount /mnt && echo filled
		}
		list() {
			mount -t exfat -o ro $1 /mnt || return
			cd /mnt
			find . -type f -print0 | xargs -0 sha256sum
			find . -type d
			cd /
			umount /mnt && echo listed
		}
		case $do in
		fill) fill >/dev/vdb 2>&1 ;;
		list) { list /dev/vda1; list /dev/vda2; } >/dev/vdb 2>&1 ;;
		esac
		dmesg | grep -i exfat
		sync
		poweroff -f
	INIT
}

# guest WHAT DISK: do it, what it said is in $T/said
guest() {
	truncate -s 0 "$T/said.disk"
	truncate -s 4M "$T/said.disk"
	timeout 600 qemu-system-x86_64 -accel tcg -m 512 -display none -vga none -net none -no-reboot -serial "file:$T/console" \
		-kernel "$T/vmlinuz" -initrd "$T/initrd" -append "console=ttyS0 quiet panic=-1 do=$1 marker=$MARKER" \
		-drive "if=virtio,format=raw,file=$2" -drive "if=virtio,format=raw,file=$T/said.disk" >"$T/qemu" 2>&1 || {
		cat "$T/qemu" "$T/console" >&2
		fail "the machine did not halt by itself"
	}
	tr -d '\000' <"$T/said.disk" >"$T/said"
	expect_no_text "$T/console" 'exFAT-fs.*(error|corrupt|not properly|invalid)'
}

# reader_list DISK PARTITION: like the guest's list
reader_list() {
	local at
	read -r -a at < <(partition_place "$1" "$2")
	python3 - "$EXFAT" "$1" "${at[0]}" <<-'PYTHON'
		import ast, subprocess, sys
		tool, disk, offset = sys.argv[1:]
		print(".")
		for line in subprocess.run(["python3", tool, "list", disk, offset], check=True, capture_output=True, text=True).stdout.splitlines():
		    kind, rest = line.split(" ", 1)
		    name, _, digest = rest.rsplit(" ", 2)
		    path = "." + ast.literal_eval(name)
		    print(path if kind == "d" else f"{digest}  {path}")
	PYTHON
}

# same_files DISK: kernel and reader agree about both partitions
same_files() {
	guest list "$1"
	[ "$(grep -cx listed "$T/said")" -eq 2 ] || { cat "$T/said" "$T/console" >&2; fail "$1 cannot be mounted"; }
	grep -vx listed "$T/said" | sort >"$T/kernel.list"
	{ reader_list "$1" 1; reader_list "$1" 2; } | sort >"$T/reader.list"
	[ "$(wc -l <"$T/reader.list")" -gt 1000 ] || fail "there are too few files"
	cmp "$T/kernel.list" "$T/reader.list" || { diff "$T/kernel.list" "$T/reader.list" | head >&2; fail "$1: kernel and reader see different files"; }
}

MARKER='Calco-test:-deleted-''before-the-capture'
guest_system
truncate -s 100M "$T/disk"
sgdisk -n 1:2048:+60M -t 1:0700 -n 2:0:+30M -t 2:0700 "$T/disk" >/dev/null
read -r -a at < <(partition_place "$T/disk" 1)
truncate -s "${at[1]}" "$T/part"
mkfs.exfat -L first "$T/part" >/dev/null
put_partition "$T/disk" 1 "$T/part"
python3 "$EXFAT" make "$T/part" $((30 << 20)) files=700 dirs=60 deleted=40 bad=5
put_partition "$T/disk" 2 "$T/part"
guest fill "$T/disk"
grep -qx filled "$T/said" || { cat "$T/said" "$T/console" >&2; fail "the kernel could not fill it"; }
grep -q -a -F "$MARKER" "$T/disk" || fail "the deleted data is not on the source"
same_files "$T/disk"
mv "$T/kernel.list" "$T/source.list"
for number in 1 2; do
	get_partition "$T/disk" $number "$T/part"
	fsck.exfat -n "$T/part" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "fsck.exfat finds errors in partition $number"; }
done

run_calco capture "$T/disk" "$T/disk.calco"
expect_text "$T/err" '5 clusters marked bad were left out'
expect_no_text "$T/err" 'raw'
truncate -s 100M "$T/blank"
run_calco restore "$T/disk.calco" "$T/blank" --confirm blank
! grep -a -F -m 1 "$MARKER" "$T/blank" >/dev/null || fail "deleted data came along"
yes garbage | head -c 100M >"$T/full" || true
run_calco restore "$T/disk.calco" "$T/full" --confirm full
for copy in blank full; do
	same_files "$T/$copy"
	cmp "$T/kernel.list" "$T/source.list" || fail "$copy: other files than on the source"
done
echo "$(wc -l <"$T/source.list") files and folders, three times the same"
