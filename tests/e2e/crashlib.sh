# shellcheck shell=bash
# For the crash tests, after functions.sh: small disks with different layouts, logged restores, and what a rerun must reach.
# All disks are 80 MiB, so that each can be restored over each.

DISK_SIZE=80M
requires sgdisk sfdisk partx mkfs.fat mmd mcopy mke2fs mkswap openssl python3
for tool in writelog replay crashcheck; do
	[ -x "$TOOLS/$tool" ] || skip "$tool is not built"
done

# put_at FILE DISK OFFSET
put_at() {
	dd if="$1" of="$2" bs=1M conv=notrunc,sparse oflag=seek_bytes seek="$3" status=none
}

# text_tree DIRECTORY WORD: files that tell versions apart
text_tree() {
	rm -rf "$1"
	mkdir -p "$1/boot"
	echo "marker-$2" >"$1/boot/marker"
	openssl enc -aes-128-ctr -K "$(printf %s "$2" | md5sum | cut -c 1-32)" -iv 00 -in /dev/zero 2>/dev/null | head -c 5000000 >"$1/data" || true
}

# put_ext4 DISK OFFSET SIZE WORD [MKE2FS-OPTION...]
put_ext4() {
	local disk=$1 offset=$2 size=$3 word=$4
	shift 4
	text_tree "$T/words" "$word"
	rm -f "$T/part"
	truncate -s "$size" "$T/part"
	mke2fs -q -F -t ext4 -L "$word" -d "$T/words" "$@" "$T/part"
	put_at "$T/part" "$disk" "$offset"
	rm -r "$T/part" "$T/words"
}

# put_fat DISK OFFSET SIZE WORD [MKFS-OPTION...]
put_fat() {
	local disk=$1 offset=$2 size=$3 word=$4
	shift 4
	text_tree "$T/words" "$word"
	rm -f "$T/part"
	truncate -s "$size" "$T/part"
	mkfs.fat -s 1 "$@" "$T/part" >/dev/null
	mmd -i "$T/part" ::/EFI ::/EFI/BOOT
	mcopy -i "$T/part" "$T/words/boot/marker" ::/EFI/BOOT/BOOTX64.EFI
	mcopy -i "$T/part" "$T/words/data" ::/DATA
	put_at "$T/part" "$disk" "$offset"
	rm -r "$T/part" "$T/words"
}

put_swap() {
	rm -f "$T/part"
	make_swap "$T/part" "$3"
	put_at "$T/part" "$1" "$2"
	rm "$T/part"
}

MIB=1048576

# Boot code where BIOS looks for it, and what it loads behind it.
put_boot_code() {
	head -c 440 /dev/zero | tr '\0' B | dd of="$1" conv=notrunc status=none
	head -c 30000 /dev/zero | tr '\0' C >"$T/core"
	put_at "$T/core" "$1" "$2"
}

# MBR: active ext4, then in an extended partition FAT16, swap, and ext4 with blocks of 1 KiB
make_mbr() {
	truncate -s "$DISK_SIZE" "$1"
	sfdisk -q "$1" <<-'TABLE'
		label: dos
		label-id: 0x11223344
		start=2048, size=40960, type=83, bootable
		start=43008, type=5
		start=45056, size=32768, type=6
		start=79872, size=8192, type=82
		start=90112, size=57344, type=83
	TABLE
	put_boot_code "$1" 512
	put_ext4 "$1" $((2048 * 512)) 20M "$2"
	put_fat "$1" $((45056 * 512)) 16M "$2" -F 16
	put_swap "$1" $((79872 * 512)) 4M
	put_ext4 "$1" $((90112 * 512)) 28M "$2x" -b 1024
}

# GPT: BIOS boot partition, ESP, ext4, a FAT data partition, swap; FILE WORD [SIZE]
make_gpt() {
	truncate -s "${3:-$DISK_SIZE}" "$1"
	sgdisk --disk-guid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE -n 1:2048:+1M -t 1:EF02 -n 2:4096:+34M -t 2:EF00 -n 3:73728:+24M -t 3:8300 \
		-n 4:122880:+12M -t 4:0700 -n 5:147456:+4M -t 5:8200 "$1" >/dev/null
	put_boot_code "$1" $MIB
	put_fat "$1" $((4096 * 512)) 34M "$2" -F 32
	put_ext4 "$1" $((73728 * 512)) 24M "$2"
	put_fat "$1" $((122880 * 512)) 12M "$2" -F 12 -s 8
	put_swap "$1" $((147456 * 512)) 4M
}

# FAT32 on the whole disk, no table
make_fatdisk() {
	truncate -s "$DISK_SIZE" "$1"
	put_fat "$1" 0 "$DISK_SIZE" "$2" -F 32
}

# ext4 on the whole disk, with boot code in its first sector
make_extdisk() {
	truncate -s "$DISK_SIZE" "$1"
	put_ext4 "$1" 0 "$DISK_SIZE" "$2"
	head -c 440 /dev/zero | tr '\0' E | dd of="$1" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$1" conv=notrunc oflag=seek_bytes seek=510 status=none
}

# No file system anybody knows, but boot code
make_rawdisk() {
	truncate -s "$DISK_SIZE" "$1"
	openssl enc -aes-128-ctr -K 0123 -iv 00 -in /dev/zero 2>/dev/null | head -c 9000000 | dd of="$1" conv=notrunc status=none || true
	printf '\x55\xaa' | dd of="$1" conv=notrunc oflag=seek_bytes seek=510 status=none
	head -c 64 /dev/zero | dd of="$1" conv=notrunc oflag=seek_bytes seek=446 status=none
}

# GPT with both copies damaged: nobody can read the table, but the boot code still starts
make_brokengpt() {
	make_gpt "$1" "$2"
	printf X | dd of="$1" conv=notrunc oflag=seek_bytes seek=600 status=none
	printf X | dd of="$1" conv=notrunc oflag=seek_bytes seek=$(($(stat -c %s "$1") - 512 + 88)) status=none
}

# log_restore IMAGE OLD: restore over a copy of OLD as $T/target, log in $T/log, state record in $T/state.bin; $T/final is the result
log_restore() {
	rm -f "$T/state.bin" "$T/final"
	cp --sparse=always "$2" "$T/target"
	"$TOOLS/writelog" "$1" "$T/state.bin" "$T/log" "$T/target" || fail "the logged restore failed"
	cp --sparse=always "$T/target" "$T/final"
	# shellcheck disable=SC2034 # for the tests
	read -r DISARMED ARM BOOT END < <("$TOOLS/replay" points "$T/log")
}

# cut_target OLD STEP [CUT]: $T/target as a power cut before step STEP leaves it
cut_target() {
	cp --sparse=always "$1" "$T/target"
	"$TOOLS/replay" apply "$T/log" "$T/target" 0 "$2" ${3:+"$3"}
}

# check_state OLD: the record $T/state.bin is finished, and what it saved is what stood on the old disk
check_state() {
	# shellcheck disable=SC2153 # it is ROOT of functions.sh
	python3 "$ROOT/tests/e2e/state_record.py" "$T/state.bin" "$1" || fail "the state record"
}

# rerun IMAGE OLD: "calco restore" finishes $T/target
rerun() {
	run_calco restore "$1" "$T/target" --state "$T/state.bin" --confirm target
	cmp "$T/target" "$T/final" || fail "a rerun makes another disk"
	check_state "$2"
}

# rerun_from IMAGE OLD STEP synced|latest [CUT]: cut there, and rerun with the state record of that moment
rerun_from() {
	cut_target "$2" "$3" "${5:-}"
	"$TOOLS/replay" state "$T/log" "$3" "$4" "$T/state.bin"
	rerun "$1" "$2"
}

# sample N FROM TO: N numbers spread over FROM..TO, both ends among them
sample() {
	awk -v n="$1" -v a="$2" -v b="$3" 'BEGIN { for (i = 0; i < n; i++) printf "%.0f\n", a + (b - a) * i / (n > 1 ? n - 1 : 1) }' | uniq
}

# A hybrid ISO image, as on a boot stick: ISO 9660 on the whole disk, and partition tables around parts of it
make_iso() {
	text_tree "$T/words" "$2"
	mkdir "$T/words/EFI"
	truncate -s 4M "$T/efi.img"
	mkfs.fat "$T/efi.img" >/dev/null
	xorriso -as mkisofs -quiet -V "$2" -o "$1" -append_partition 2 0xef "$T/efi.img" -partition_offset 16 --mbr-force-bootable "$T/words" 2>/dev/null
	truncate -s "$DISK_SIZE" "$1"
	head -c 440 /dev/zero | tr '\0' I | dd of="$1" conv=notrunc status=none
	rm -r "$T/words" "$T/efi.img"
}

# An MBR disk that is as a whole a member of a RAID 1 with version 1.0 metadata (at its end), which goes over its partition table
make_raidmember() {
	make_mbr "$1" "$2"
	python3 - "$1" <<-'PYTHON'
		import struct, sys
		f = open(sys.argv[1], "r+b")
		size = f.seek(0, 2) // 512
		at = (size - 16) & ~7 # kernel drivers/md/md.c, super_1_load(): 8 KiB from the end, aligned to 4 KiB
		sb = bytearray(256 + 2 * 2)
		struct.pack_into("<IIII", sb, 0, 0xA92B4EFC, 1, 0, 0)
		sb[16:32] = bytes(range(16))
		struct.pack_into("<QIIQIIi", sb, 64, 0, 1, 0, size - 64, 0, 2, 0)
		struct.pack_into("<QQQ", sb, 128, 0, size - 64, at)
		struct.pack_into("<I", sb, 220, 2)
		total = sum(struct.unpack(f"<{len(sb) // 4}I", sb))
		struct.pack_into("<I", sb, 216, ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF)
		f.seek(at * 512)
		f.write(sb)
	PYTHON
}

# A GPT disk: btrfs with a second superblock in a partition, and one that was cut, so taken raw, where the other disks have ext4
make_btrfs() {
	truncate -s "${3:-200M}" "$1"
	sgdisk -n 1:2048:+150M -t 1:8300 -n 2:0:+20M -t 2:8300 "$1" >/dev/null
	truncate -s 150M "$T/part"
	mkfs.btrfs -q -f -L "$2" "$T/part" >/dev/null 2>&1
	put_at "$T/part" "$1" $MIB
	put_at "$T/part" "$1" $((151 * MIB))
	rm "$T/part"
}
