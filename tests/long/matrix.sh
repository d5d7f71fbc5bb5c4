#!/bin/bash
# File systems as people make them, one variant after the other: made by the real mkfs, aged, captured, and restored over noise with nothing cleared.
# Then the copy has the same files, the same bytes in use, is whole for the checker of its file system, and the image is at most 2 % longer than the
# same bytes in zstd frames of 256 KiB each: the second reader, which shares no code with calco, puts the image on a blank disk, where nothing but the
# used bytes stands then, and each 256 KiB of each region that are not all zero are compressed for themselves (tests/tools/framesize).
# What this kernel cannot mount, Debian's kernel ages or reads in QEMU; NTFS, for which it has no driver, is left to ntfs-3g.
#
# One line for each variant: name, used bytes, bytes of those frames, bytes of the image, ratio of the last two, ratio of the image and of frames that
# are filled with the used bytes of all the disk one after the other (a stream that cannot be read at any place), seconds, verdict.
# MATRIX: a regular expression of the names to take (all); KERNEL_PACKAGES: see tests/boot/guestlib.sh

# In memory where there is enough of it: half of the time would go into waiting for a disk.
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 6000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/../e2e/matrixlib.sh"

# NAME, table, sector size, MiB, kind, and then options of mkfs; before them may stand devices=N, mount=OPTIONS, and guest where another kernel fills it
variants() {
	cat <<-'TABLE'
		ext2-1k none 512 150 ext2 -b 1024
		ext2-2k mbr 512 150 ext2 -b 2048
		ext2-4k logical 512 150 ext2 -b 4096
		ext3-1k gpt 512 170 ext3 -b 1024
		ext3-2k none 512 170 ext3 -b 2048 -J size=4
		ext3-4k hybrid 512 170 ext3 -b 4096
		ext4-1k mbr 512 170 ext4 -b 1024
		ext4-2k none 512 170 ext4 -b 2048 -g 4096
		ext4-4k gpt 512 170 ext4 -b 4096
		ext4-sectors-4k gpt 4096 170 ext4 -b 4096
		ext4-bigalloc-8k gpt 512 190 ext4 -b 1024 -O bigalloc -C 8192
		ext4-bigalloc-16k none 512 250 ext4 -b 4096 -O bigalloc -C 16384
		ext4-bigalloc-64k mbr 512 400 ext4 -b 4096 -O bigalloc -C 65536
		ext4-meta_bg gpt 512 170 ext4 -b 1024 -O meta_bg,^resize_inode
		ext4-no-flex_bg none 512 170 ext4 -b 1024 -O ^flex_bg,^uninit_bg,^metadata_csum
		ext4-32bit mbr 512 170 ext4 -O ^64bit,^metadata_csum
		ext4-gdt_csum gpt 512 170 ext4 -O ^metadata_csum,uninit_bg
		ext4-no-journal logical 512 150 ext4 -O ^has_journal
		ext4-no-extents gpt 512 170 ext4 -O ^extents,^64bit
		ext4-inline_data gpt 512 170 ext4 -O inline_data,metadata_csum_seed -I 512
		ext4-inode-128 none 512 170 ext4 -I 128
		ext4-inode-1k none 512 170 ext4 -I 1024
		ext4-ea_inode gpt 512 170 ext4 -O ea_inode
		ext4-encrypt-verity mbr 512 170 ext4 -O encrypt,verity
		ext4-large_dir-orphan_file gpt 512 170 ext4 -O large_dir,orphan_file
		ext4-fast_commit gpt 512 170 ext4 -O fast_commit
		ext4-journal-data none 512 190 mount=data=journal ext4 -J size=16
		ext4-sparse_super2 gpt 512 170 ext4 -O sparse_super2
		ext4-all-supers gpt 512 170 ext4 -b 1024 -O ^sparse_super,^resize_inode
		ext4-packed-stripe gpt 512 170 ext4 -E packed_meta_blocks=1,stride=16,stripe-width=64
		ext4-eager none 512 170 ext4 -E lazy_itable_init=0,lazy_journal_init=0
		ext4-quota gpt 512 120 guest ext4 -O quota,project -I 256
		ext4-casefold none 512 120 guest ext4 -O casefold
		xfs gpt 512 330 xfs
		xfs-sectors-4k gpt 4096 330 xfs
		xfs-log-sectors-4k none 512 330 xfs -s size=4096
		xfs-no-reflink mbr 512 330 xfs -m reflink=0
		xfs-rmapbt gpt 512 330 xfs -m rmapbt=1
		xfs-no-finobt hybrid 512 330 xfs -m finobt=0,inobtcount=0
		xfs-old none 512 330 xfs -m bigtime=0,inobtcount=0,finobt=0,reflink=0 -i sparse=0
		xfs-no-bigtime none 512 330 xfs -m bigtime=0
		xfs-1k gpt 512 330 xfs -b size=1024 -m rmapbt=1
		xfs-2k logical 512 330 xfs -b size=2048
		xfs-64k none 512 400 xfs -b size=65536
		xfs-dirs-64k gpt 512 330 xfs -n size=65536
		xfs-dirs-8k-inodes-2k gpt 512 330 xfs -n size=8192 -i size=2048
		xfs-small-ags none 512 400 xfs -d agcount=6 -l size=64m
		xfs-large-ags none 512 400 xfs -d agcount=2
		xfs-nrext64 mbr 512 330 xfs -i nrext64=1
		xfs-stripes none 512 360 xfs -d su=64k,sw=4,agcount=2 -l size=64m
		xfs-v4 gpt 512 310 guest xfs -m crc=0
		xfs-v4-512 none 512 310 guest xfs -m crc=0,finobt=0 -b size=512
		xfs-ci none 512 310 guest xfs -n version=ci
		btrfs gpt 512 300 btrfs
		btrfs-sectors-4k gpt 4096 300 btrfs
		btrfs-single none 512 250 btrfs -d single -m single
		btrfs-dup mbr 512 350 btrfs -d dup -m dup
		btrfs-mixed gpt 512 250 btrfs -M
		btrfs-mixed-dup none 512 350 btrfs -M -d dup -m dup
		btrfs-raid0 none 512 200 devices=2 btrfs -d raid0 -m raid0
		btrfs-raid1 gpt 512 200 devices=2 btrfs -d raid1 -m raid1
		btrfs-raid10 none 512 160 devices=4 btrfs -d raid10 -m raid10
		btrfs-raid1c3 none 512 200 devices=3 btrfs -d raid1c3 -m raid1c3
		btrfs-raid1c4 mbr 512 200 devices=4 btrfs -d raid1c4 -m raid1c4
		btrfs-raid5 none 512 200 devices=3 btrfs -d raid5 -m raid1
		btrfs-raid6 none 512 180 devices=4 btrfs -d raid6 -m raid1c3
		btrfs-span none 512 200 devices=2 btrfs -d single -m raid1
		btrfs-xxhash none 512 250 btrfs --csum xxhash
		btrfs-sha256 gpt 512 250 btrfs --csum sha256
		btrfs-blake2 none 512 250 btrfs --csum blake2
		btrfs-space-cache-v1 gpt 512 250 mount=space_cache=v1 btrfs -R ^free-space-tree
		btrfs-nodes-4k none 512 250 btrfs -n 4096
		btrfs-nodes-32k none 512 300 btrfs -n 32768
		btrfs-nodes-64k logical 512 300 btrfs -n 65536
		btrfs-old none 512 250 btrfs -O ^no-holes,^skinny-metadata,^extref
		btrfs-quota gpt 512 250 btrfs -R quota
		btrfs-zstd none 512 250 mount=compress-force=zstd btrfs
		btrfs-lzo gpt 512 250 mount=compress=lzo btrfs
		btrfs-zlib none 512 250 mount=compress-force=zlib btrfs
		btrfs-nodatacow none 512 250 mount=nodatacow btrfs
		btrfs-autodefrag hybrid 512 250 mount=autodefrag,max_inline=0 btrfs
		f2fs gpt 512 120 guest f2fs
		f2fs-checksums none 512 120 guest f2fs -O extra_attr,inode_checksum,sb_checksum,inode_crtime,compression
		f2fs-inline mbr 512 120 guest f2fs -i
		f2fs-sections none 512 140 guest f2fs -s 2
		f2fs-features gpt 512 120 guest f2fs -O encrypt,verity,lost_found,extra_attr,project_quota
		fat12 none 512 30 fat12 -s 16
		fat16 mbr 512 60 fat16
		fat16-sectors-4k gpt 4096 60 fat16 -S 4096 -s 1
		fat32 gpt 512 70 fat32 -s 1
		fat32-one-fat none 512 90 fat32 -s 2 -f 1
		exfat gpt 512 70 exfat
		exfat-clusters-512 mbr 512 70 exfat -c 512 -b 512
		exfat-clusters-32k none 512 120 exfat -c 32K -b 32K
		ntfs gpt 512 120 ntfs -L Windows
		ntfs-clusters-512 none 512 120 ntfs -c 512
		ntfs-clusters-64k mbr 512 200 ntfs -c 65536
		ntfs-sectors-4k gpt 4096 120 ntfs -s 4096
		swap gpt 512 20 swap
		disk-pc none 512 1 several pc
		disk-old none 512 1 several old
		disk-mac none 512 1 several mac
	TABLE
}

# set_variant LINE: what matrixlib.sh wants to know
set_variant() {
	local words word
	read -r -a words <<<"$1"
	name=${words[0]} table=${words[1]} SECTOR=${words[2]} size=${words[3]}
	disk=src/$name.img devices=1 mount=rw guest=no number=0
	words=("${words[@]:4}")
	while :; do
		word=${words[0]}
		words=("${words[@]:1}")
		case $word in
		devices=* | mount=*) declare -g "$word" ;;
		guest) guest=yes ;;
		*) break ;;
		esac
	done
	kind=$word family=${word%[0-9]} options="${words[*]}"
	case $kind in
	fat1? | fat32) family=fat ;;
	f2fs | several) family=$kind ;;
	esac
	[ "$table" = none ] || number=1
	[ "$table" != logical ] || number=5
}

# ---- Debian's kernel

guest_script() {
	cat <<-'SCRIPT'
		many() {
			i=$1
			while [ $i -lt $2 ]; do
				folder="/mnt/folder $((i % 13))/inner $((i % 5))"
				mkdir -p "$folder"
				seq $i $((i * 7)) >"$folder/a file, number $i"
				i=$((i + 1))
			done
		}
		age() {
			many 0 300
			for i in 1 2 3; do seq $i 150000 >"/mnt/in pieces $i" & done
			wait
			sync
			rm -r /mnt/*/inner\ 3
			umount /mnt
			mount -t $2 -o $3 /dev/$1 /mnt || return
			rm /mnt/*/*/*number\ *5
			for i in 1 2 3; do
				for n in 1 2 3; do
					dd if=/dev/urandom of="/mnt/in pieces $n" bs=4096 count=$((i * 13)) seek=$((i * n * 5)) conv=notrunc 2>/dev/null
				done
				sync
			done
			truncate -s 200000 "/mnt/in pieces 2"
			truncate -s 1G /mnt/sparse
			dd if=/dev/urandom of=/mnt/sparse bs=4096 count=3 seek=200000 conv=notrunc 2>/dev/null
			many 300 400
			ln "/mnt/in pieces 1" /mnt/link
			ln -s "in pieces 1" /mnt/symlink
		}
		list() {
			cd /mnt
			find . -type f | wc -l
			{ find . -type f -size -100000k -print0 | xargs -0 sha256sum; find . -type d; find . -mindepth 1 -print0 | xargs -0 stat -c '%n %s %b %h %Y'; } | sha256sum
			cd /
		}
		for volume in $(echo $volumes | tr / ' '); do
			IFS=: read -r device type options <<-END
				$volume
			END
			mount -t $type -o $options /dev/$device /mnt || continue
			echo "$device $($do $device $type $options | tr '\n' ' ')" >>/tmp/said
			umount /mnt && echo "$device $do done" >>/tmp/said
		done
		cat /tmp/said >/dev/$said
		dmesg | grep -iE 'f2fs|xfs|ext4|exfat|ntfs|fat'
		sync
		poweroff -f
	SCRIPT
}

# guest_mount: type and options for the guest
guest_mount() {
	case $family in
	fat) echo vfat:ro,iocharset=utf8 ;;
	exfat) echo exfat:ro ;;
	*) echo "$kind:$1" ;;
	esac
}

# run_guest age|list FOLDER NAME...: mount the disks of these variants in the folder; what the guest says of them is in $T/said.FOLDER
run_guest() {
	local verb=$1 folder=$2 how=ro snapshot=on volumes="" letters=abcdefghijklmnopqrstuvwxyz i=0 drives=() one
	shift 2
	[ "$verb" = list ] || how=rw snapshot=off # a list is only read, and what a kernel likes to write for it is forgotten
	for one in "$@"; do
		set_variant "$(variants | grep "^$one ")"
		[ "$number" != 0 ] || number=
		volumes=$volumes/vd${letters:i:1}$number:$(guest_mount $how)
		drives+=(-drive "if=virtio,format=raw,file=$folder/$one.img,snapshot=$snapshot")
		i=$((i + 1))
	done
	GUEST_SECONDS=1800 guest "do=$verb said=vd${letters:i:1} volumes=${volumes#/}" "${drives[@]}"
	expect_no_text "$T/console" '\(vd.*([Ee]rror|[Cc]orrupt|[Ii]nvalid)|([Ee]rror|[Cc]orrupt).*vd'
	[ "$(grep -c "$verb done" "$T/said")" -eq $# ] || { cat "$T/said" "$T/console" >&2; fail "Debian's kernel cannot $verb all of: $*"; }
	mv "$T/said" "$T/said.$folder"
}

# same_for_guest NAME...: Debian's kernel finds the same in the disks and in their copies
same_for_guest() {
	run_guest list src "$@"
	run_guest list copy "$@"
	diff "$T/said.src" "$T/said.copy" >&2 || fail "Debian's kernel finds other files on the copies"
	awk 'NF == 4 { n += $2 } END { exit n < 300 * NR / 2 }' "$T/said.copy" || { cat "$T/said.copy" >&2; fail "there are too few files"; }
	echo "# Debian's kernel reads the same from both of: $*"
}

# ---- the matrix

# masked_places: the image on blank disks, by the second reader; FILE, START and LENGTH of each region, one in a line
masked_places() {
	python3 "$READER" restore image.calco "${disks[@]/#src/masked}"
	run_calco info image.calco --json
	python3 - "$T/out" "${disks[@]/#src/masked}" <<-'PYTHON'
		import json, sys
		for r in json.load(open(sys.argv[1], encoding="utf-8"))["result"]["regions"]:
		    print(sys.argv[2 + r["disk"]], r["start"], r["length"], sep="\n")
	PYTHON
}

# copied: from $disks over noise to $copies
copied() {
	local confirm=() was one
	rm -f image.calco
	was=$(cat "${disks[@]}" | hash_of -)
	run_calco capture "${disks[@]}" image.calco --sector-size "$SECTOR"
	[ "$kind" = several ] || expect_no_text err 'raw'
	[ "$(cat "${disks[@]}" | hash_of -)" = "$was" ] || fail "the capture changed its source"
	for one in "${copies[@]}"; do
		garbage "$one" "$(stat -c %s "$disk")"
		confirm+=(--confirm "$(confirm_of "$one")")
	done
	run_calco restore image.calco "${copies[@]}" "${confirm[@]}" --scrub none
	run_calco verify image.calco "${copies[@]/#/--against=}"
	! has_table "$source" || same_tables "${copies[0]}"
}

# same_used: the copies say of the same bytes that they are in use, and they are the same; they are in the file "used" then
same_used() {
	"$TOOLS/usedbytes" --zero --where "${disks[@]}" >where
	"$TOOLS/usedbytes" --zero --where "${copies[@]}" | cmp - where || fail "other bytes of the copy are in use"
	"$TOOLS/usedbytes" "${disks[@]}" >used
	"$TOOLS/usedbytes" "${copies[@]}" | cmp - used || fail "used bytes differ"
}

# measure: print the line of the variant
measure() {
	local places used stream packed image verdict=ok
	read -r used stream < <("$TOOLS/framesize" <used)
	mapfile -t places < <(masked_places)
	read -r _ packed < <("$TOOLS/framesize" "${places[@]}")
	rm masked/*
	image=$(stat -c %s image.calco)
	# 2 KiB is what a disk costs on which next to nothing is, as swap: names, tables, places.
	[ "$image" -le $((packed + packed / 50 + 2048)) ] || verdict=LONG
	awk -v n="$name" -v u="$used" -v p="$packed" -v t="$stream" -v i="$image" -v s="$SECONDS" -v v="$verdict" \
		'BEGIN { printf "%-26s %10d %10d %10d %7.4f %7.4f %4d %s\n", n, u, p, i, i / p, i / t, s, v }' | tee -a lines
}

# judge: the round of the variant that is set and made
judge() {
	local disks copies
	mapfile -t disks < <(disk_names)
	copies=("${disks[@]/#src/copy}")
	source=$disk
	! declare -F "${family}_note" >/dev/null || "${family}_note"
	copied
	same_used
	disk=${copies[0]}
	"${family}_check"
	measure
}

# one_variant prepare|judge|both LINE: in a process of its own, so that the others are looked at when it fails
one_variant() (
	SECONDS=0
	set_variant "$2"
	if [ "$1" != judge ]; then
		make_disks "$table" "$size"
		"${family}_make"
	fi
	if [ "$1" != prepare ]; then judge; fi
)

# attempt NAME COMMAND...: note the name when it fails; sets $passed. Never in a condition: there bash would go on behind what failed.
attempt() {
	local name=$1 loop
	shift
	passed=yes
	"$@" &
	wait $! || passed=no
	[ $passed = no ] || return 0
	echo "$name FAILED" | tee -a lines
	while umount mnt 2>/dev/null; do :; done
	for loop in loops/loop*; do
		[ ! -e "$loop" ] || detach "/dev/$(basename "$loop")"
	done
}

# forget_disks NAME...
forget_disks() {
	local one
	for one in "$@"; do rm -rf src/"$one".img* copy/"$one".img*; done
}

# aged_elsewhere: the variants that Debian's kernel fills
aged_elsewhere() {
	local line names=() good=()
	while read -r line; do
		attempt "${line%% *}" one_variant prepare "$line"
		[ $passed = no ] || names+=("${line%% *}")
	done < <(variants | grep ' guest ' | chosen)
	[ ${#names[@]} -gt 0 ] || return 0
	run_guest age src "${names[@]}"
	for line in "${names[@]}"; do
		attempt "$line" one_variant judge "$(variants | grep "^$line ")"
		[ $passed = no ] || good+=("$line")
	done
	[ ${#good[@]} -eq 0 ] || attempt "${good[*]}" same_for_guest "${good[@]}"
	forget_disks "${names[@]}"
}

# aged_here: all others; some of them only Debian's kernel can mount
aged_here() {
	local line seen=()
	while read -r line; do
		attempt "${line%% *}" one_variant both "$line"
		if [ $passed = yes ] && [[ $line =~ \ 512\ [0-9]+\ (fat|exfat) ]]; then
			seen+=("${line%% *}")
		else
			forget_disks "${line%% *}"
		fi
	done < <(variants | grep -v ' guest ' | chosen)
	[ ${#seen[@]} -eq 0 ] || attempt "${seen[*]}" same_for_guest "${seen[@]}"
}

chosen() {
	grep -E "^(${MATRIX:-.*}) " || true
}

shared_tree
large_files "$tree/large"
mkdir src copy masked
guest_script >script
guest_system "$T/script" crc32c_generic crc32_generic lz4 lz4hc zstd f2fs xfs ext4 quota_v2 vfat exfat nls_cp437 nls_ascii nls_utf8
aged_elsewhere
aged_here
awk '$NF == "ok" { n++; if ($1 != "swap" && $5 > worst) { worst = $5; name = $1 } }
	END { printf "%d of %d variants are right; the longest image has %.4f times the bytes of the frames (%s)\n", n, NR, worst, name; exit n < NR }' lines
