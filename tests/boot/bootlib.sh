# shellcheck shell=bash
# For the boot tests, after functions.sh and crashlib.sh: small disks that print a word from a file of their own on the serial
# console, under SeaBIOS and OVMF, and the machine to start them in. GRUB is put in place by hand, without mounts and grub-install.

requires qemu-system-x86_64 grub-mkimage
OVMF=/usr/share/OVMF/OVMF_CODE.fd
BIOS_IMAGES=/usr/lib/grub/i386-pc EFI_IMAGES=/usr/lib/grub/x86_64-efi
for file in "$OVMF" "$BIOS_IMAGES/boot.img" "$EFI_IMAGES/kernel.img"; do
	[ -e "$file" ] || skip "$file is not installed"
done

# loaders WORD: $T/core.img and $T/loader.efi, which look for the ext4 file system labelled WORD and show its marker
loaders() {
	local modules="part_gpt part_msdos ext2 search search_label cat echo halt serial terminal"
	cat >"$T/early.cfg" <<-CONFIG
		serial --unit=0 --speed=115200
		terminal_output serial
		search --no-floppy --label --set=root $1
		echo
		cat (\$root)/boot/marker
		echo
		halt
	CONFIG
	# shellcheck disable=SC2086 # a list
	grub-mkimage -O i386-pc -p /boot/grub -c "$T/early.cfg" -o "$T/core.img" biosdisk $modules
	# shellcheck disable=SC2086 # a list
	grub-mkimage -O x86_64-efi -p /boot/grub -c "$T/early.cfg" -o "$T/loader.efi" fat $modules
}

# put_le64 FILE OFFSET NUMBER
put_le64() {
	python3 -c 'import struct, sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); f.write(struct.pack("<Q", int(sys.argv[3])))' "$@"
}

# put_bios_loader DISK LBA: boot.img in sector 0, which loads core.img from LBA on (GRUB's grub-core/boot/i386/pc/boot.S, diskboot.S)
put_bios_loader() {
	cp "$BIOS_IMAGES/boot.img" "$T/boot.img"
	put_le64 "$T/boot.img" 92 "$2"
	printf '\220\220' | dd of="$T/boot.img" conv=notrunc oflag=seek_bytes seek=102 status=none
	put_le64 "$T/core.img" 500 $(($2 + 1))
	dd if="$T/boot.img" of="$1" bs=440 count=1 conv=notrunc status=none
	put_at "$T/core.img" "$1" $(($2 * 512))
}

# put_esp DISK OFFSET SIZE [MKFS-OPTION...]
put_esp() {
	local disk=$1 offset=$2
	rm -f "$T/part"
	truncate -s "$3" "$T/part"
	shift 3
	mkfs.fat -s 1 "$@" "$T/part" >/dev/null
	mmd -i "$T/part" ::/EFI ::/EFI/BOOT
	mcopy -i "$T/part" "$T/loader.efi" ::/EFI/BOOT/BOOTX64.EFI
	put_at "$T/part" "$disk" "$offset"
	rm "$T/part"
}

# put_root DISK OFFSET SIZE WORD
put_root() {
	put_ext4 "$@" -b 4096
}

# make_boot_gpt FILE WORD: GPT with BIOS boot partition, ESP and ext4
make_boot_gpt() {
	truncate -s "$DISK_SIZE" "$1"
	sgdisk -n 1:2048:+1M -t 1:EF02 -n 2:4096:+34M -t 2:EF00 -n 3:73728:+24M -t 3:8300 "$1" >/dev/null
	loaders "$2"
	put_bios_loader "$1" 2048
	put_esp "$1" $((4096 * 512)) 34M -F 32
	put_root "$1" $((73728 * 512)) 24M "$2"
}

# make_boot_mbr FILE WORD: MBR with an active partition, an ESP, and ext4 with the marker in a logical partition; GRUB behind the MBR
make_boot_mbr() {
	truncate -s "$DISK_SIZE" "$1"
	sfdisk -q "$1" <<-'TABLE'
		label: dos
		start=2048, size=16384, type=83, bootable
		start=18432, size=32768, type=ef
		start=51200, type=5
		start=53248, size=16384, type=82
		start=71680, size=65536, type=83
	TABLE
	loaders "$2"
	put_bios_loader "$1" 1
	put_ext4 "$1" $((2048 * 512)) 8M "$2-other" -N 64
	put_esp "$1" $((18432 * 512)) 16M -F 16
	put_swap "$1" $((53248 * 512)) 8M
	put_root "$1" $((71680 * 512)) 32M "$2"
}

# make_fallbacks: what firmware goes on to, a floppy disk for BIOS (it takes all hard disks for one boot device), a second disk for UEFI
make_fallbacks() {
	make_boot_gpt "$T/fallback" fallback
	python3 - "$T/floppy" <<-'PYTHON'
		import sys
		# Print the text behind the code with INT 10h, wait two seconds for the serial port, then write SLP_TYP 0 | SLP_EN to the ACPI control port of the i440FX: power off.
		code = bytes.fromhex("31c08ed8be267cfcac84c07409b40ebb0700cd10ebf2fbb92400f4e2fdba0406b80020effaf4") + b"\r\nmarker-fallback\r\n\0"
		with open(sys.argv[1], "wb") as f:
		    f.write(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1474560 - 512))
	PYTHON
}

# boot bios|uefi DISK: run it until it halts; what the serial console showed is in $T/console.txt
boot() {
	local firmware=$1 disk=$2 options
	if [ "$firmware" = bios ]; then
		# graphics=off makes SeaBIOS show on the serial port what it and boot code print
		options=(-machine "pc,graphics=off" -drive "if=floppy,format=raw,readonly=on,file=$T/floppy" -global isa-fdc.bootindexA=1)
	else
		options=(-machine q35 -drive "if=pflash,format=raw,readonly=on,file=$OVMF"
			-drive "if=none,id=b,format=raw,snapshot=on,file=$T/fallback" -device "virtio-blk-pci,drive=b,bootindex=1")
	fi
	timeout 120 qemu-system-x86_64 "${options[@]}" -accel tcg -m 256 -display none -vga none -net none -no-reboot \
		-serial "file:$T/console" -drive "if=none,id=a,format=raw,snapshot=on,file=$disk" -device virtio-blk-pci,drive=a,bootindex=0 \
		>"$T/qemu" 2>&1 || {
		cat "$T/qemu" "$T/console" >&2
		fail "$firmware: the machine did not halt by itself"
	}
	tr -d '\000' <"$T/console" | sed 's/\x1b\[[0-9;=?]*[A-Za-z]//g' | tr '\r' '\n' >"$T/console.txt"
	boots=$((${boots:-0} + 1))
}

# boots_to bios|uefi DISK WORD: it starts, with this marker
boots_to() {
	boot "$1" "$2"
	grep -qx "marker-$3" "$T/console.txt" || { cat "$T/console.txt" >&2; fail "$1: '$3' did not start"; }
	expect_no_text "$T/console.txt" 'marker-fallback'
}

# boots_not bios|uefi DISK: firmware goes on to what comes next; BIOS by way of the stub
boots_not() {
	boot "$1" "$2"
	grep -qx 'marker-fallback' "$T/console.txt" || { cat "$T/console.txt" >&2; fail "$1 does not go on to what comes next"; }
	[ "$(grep -c '^marker-' "$T/console.txt")" -eq 1 ] || { cat "$T/console.txt" >&2; fail "$1: something else started as well"; }
	[ "$1" = uefi ] || expect_text "$T/console.txt" 'calco: this disk is not complete'
}
