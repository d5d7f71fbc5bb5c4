# shellcheck shell=bash
# For tests that need Debian's kernel, after functions.sh: a small system in QEMU, made of that kernel, busybox and what the test adds.
# KERNEL_PACKAGES: folder for the packages of kernel and busybox, so that they are fetched once.

requires qemu-system-x86_64 apt-get dpkg-deb depmod modprobe

# guest_system SCRIPT MODULE...: $T/vmlinuz and $T/initrd: a busybox that loads the modules and runs SCRIPT, which ends with "poweroff -f"
guest_system() {
	local packages=${KERNEL_PACKAGES:-$T/packages} kernel module script=$1
	shift
	mkdir -p "$packages" "$T/root" "$T/initrd.d"/{bin,dev,mnt,modules,proc,sys,tmp}
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
	for module in virtio_pci virtio_blk "$@"; do
		modprobe -d "$T/root" -S "$kernel" --show-depends "$module" | awk '/^insmod/ { print $2 }'
	done | awk '!seen[$0]++' >"$T/modules"
	while read -r module; do
		cp "$module" "$T/initrd.d/modules"
		basename "$module" >>"$T/initrd.d/modules/list"
	done <"$T/modules"
	cp "$T/root/bin/busybox" "$T/initrd.d/bin"
	cp "$script" "$T/initrd.d/script"
	cat >"$T/initrd.d/init" <<-'INIT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t devtmpfs none /dev
		mount -t proc none /proc
		mount -t sysfs none /sys
		for module in $(cat /modules/list); do insmod /modules/$module; done
		. /script
	INIT
	chmod 755 "$T/initrd.d/init"
	guest_pack
}

# guest_add PROGRAM...: into the system's /bin, with the libraries they need; then guest_pack
guest_add() {
	local program lib
	for program in "$@"; do
		cp -L "$program" "$T/initrd.d/bin/"
		ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r lib; do
			mkdir -p "$T/initrd.d$(dirname "$lib")"
			cp -nL "$lib" "$T/initrd.d$lib"
		done
	done
}

# guest_pack: make $T/initrd of what lies in $T/initrd.d
guest_pack() {
	(cd "$T/initrd.d" && find . | bin/busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$T/initrd"
}

# guest WORDS QEMU-ARGUMENT...: start it with WORDS on the kernel's command line (a=b is a variable of the script); it must halt by itself.
# Its console is in $T/console; what the script wrote to the last disk given as $T/said.disk is in $T/said.
guest() {
	local words=$1
	shift
	truncate -s 0 "$T/said.disk"
	truncate -s 4M "$T/said.disk"
	timeout "${GUEST_SECONDS:-600}" qemu-system-x86_64 -accel tcg -m "${GUEST_MEMORY:-512}" -display none -vga none -net none -no-reboot \
		-serial "file:$T/console" -kernel "$T/vmlinuz" -initrd "$T/initrd" -append "console=ttyS0 quiet panic=-1 $words" "$@" \
		-drive "if=virtio,format=raw,file=$T/said.disk" >"$T/qemu" 2>&1 || {
		cat "$T/qemu" "$T/console" >&2
		fail "the machine did not halt by itself"
	}
	tr -d '\000' <"$T/said.disk" >"$T/said"
}
