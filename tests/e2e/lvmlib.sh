# shellcheck shell=bash
# For tests with LVM, after functions.sh: the tools write metadata on loop devices without device-mapper; what is in the volumes is put there by
# tests/tools/lvm_lv.py, which knows nothing of calco.

requires_loop
requires pvcreate vgcreate lvcreate vgcfgbackup vgcfgrestore mke2fs e2fsck debugfs python3
loops=()

# attach FILE [OFFSET LENGTH]: a loop device for it, in $loop
attach() {
	loop=$(losetup --find --show --offset "${2:-0}" --sizelimit "${3:-0}" "$1")
	cleanup_fn sh -c "losetup -nO NAME -j '$(realpath "$1")' | xargs -r losetup -d"
	loops+=("$loop")
}

detach_all() {
	for loop in "${loops[@]}"; do
		losetup -d "$loop"
	done
	loops=()
}

# lvm_run COMMAND ARGUMENT...: one of the tools, which sees the attached devices only
lvm_run() {
	local filter="" tool=$1
	shift
	for loop in "${loops[@]}"; do
		filter="$filter\"a|^$loop\$|\","
	done
	LVM_SUPPRESS_FD_WARNINGS=1 "$tool" --config "global{activation=0} devices{use_devicesfile=0 filter=[$filter\"r|.*|\"]
		obtain_device_list_from_udev=0 external_device_info_source=\"none\" sysfs_scan=0} activation{udev_sync=0 udev_rules=0}
		backup{backup=0 archive=0}" "$@" >"$T/lvm.out" 2>&1 || { cat "$T/lvm.out" >&2; fail "$tool $*"; }
}

# lvm_create NAME SIZE [OPTION...]: an LV in the group vg
lvm_create() {
	local name=$1 size=$2
	shift 2
	lvm_run lvcreate -an -Zn -Wn -L "$size" -n "$name" "$@"
}

# lv_tool ARGUMENT...: tests/tools/lvm_lv.py
lv_tool() {
	python3 "$ROOT/tests/tools/lvm_lv.py" "$@"
}

# pv_uuid DEVICE
pv_uuid() {
	blkid -p -o value -s UUID "$1"
}

# lv_files FILE: what debugfs finds in an ext4 file system, in a folder
lv_files() {
	e2fsck -fn "$1" >"$T/fsck" 2>&1 || { cat "$T/fsck" >&2; fail "$1 is damaged"; }
	rm -rf "$2"
	mkdir "$2"
	debugfs -R "rdump / $2" "$1" >/dev/null 2>&1
	[ -e "$2/data/numbers" ] || fail "$1 holds no files"
}

# same_volume FILE FILE
same_volume() {
	lv_files "$1" "$T/files.a"
	lv_files "$2" "$T/files.b"
	diff -r --no-dereference "$T/files.a" "$T/files.b" || fail "$1 and $2 differ"
}
