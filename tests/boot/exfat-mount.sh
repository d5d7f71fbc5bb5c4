#!/bin/bash
# Debian's kernel fills an exFAT partition, and later reads it and its restored copy: the same files, and the same as an independent
# reader finds. In QEMU, because few build machines have an exfat module.
. "$(dirname "$0")/../e2e/functions.sh"
. "$(dirname "$0")/guestlib.sh"
requires mkfs.exfat fsck.exfat sgdisk partx python3

EXFAT=$ROOT/tests/tools/exfat.py

guest_script() {
	cat <<-'SCRIPT'
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
	SCRIPT
}

# exfat_guest WHAT DISK: do it, what it said is in $T/said
exfat_guest() {
	guest "do=$1 marker=$MARKER" -drive "if=virtio,format=raw,file=$2"
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
	exfat_guest list "$1"
	[ "$(grep -cx listed "$T/said")" -eq 2 ] || { cat "$T/said" "$T/console" >&2; fail "$1 cannot be mounted"; }
	grep -vx listed "$T/said" | sort >"$T/kernel.list"
	{ reader_list "$1" 1; reader_list "$1" 2; } | sort >"$T/reader.list"
	[ "$(wc -l <"$T/reader.list")" -gt 1000 ] || fail "there are too few files"
	cmp "$T/kernel.list" "$T/reader.list" || { diff "$T/kernel.list" "$T/reader.list" | head >&2; fail "$1: kernel and reader see different files"; }
}

MARKER='Calco-test:-deleted-''before-the-capture'
guest_script >"$T/script"
guest_system "$T/script" exfat nls_utf8
truncate -s 100M "$T/disk"
sgdisk -n 1:2048:+60M -t 1:0700 -n 2:0:+30M -t 2:0700 "$T/disk" >/dev/null
read -r -a at < <(partition_place "$T/disk" 1)
truncate -s "${at[1]}" "$T/part"
mkfs.exfat -L first "$T/part" >/dev/null
put_partition "$T/disk" 1 "$T/part"
python3 "$EXFAT" make "$T/part" $((30 << 20)) files=700 dirs=60 deleted=40 bad=5
put_partition "$T/disk" 2 "$T/part"
exfat_guest fill "$T/disk"
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
