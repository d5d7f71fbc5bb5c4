#!/bin/bash
# The kernel mounts no ext4, and fsck.fat and mtools accept no FAT, of the old or of the new layout from the disarming to the arming.
# CRASH_MOUNTS: places for each pair (50)
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 2000 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/../e2e/functions.sh"
. "$ROOT/tests/e2e/crashlib.sh"
requires_loop
requires unshare mount fsck.fat mdir

prefixes=0 attempts=0 alive=0
mkdir "$T/mnt"

# volumes DISK: "START LENGTH TYPE" of the file systems in its partitions, from libblkid
volumes() {
	local start length type
	while read -r start length; do
		type=$(blkid -p -o value -s TYPE -O "$start" -S "$length" "$1" || true)
		case $type in
		ext4 | vfat) echo "$start $length $type" ;;
		esac
	done < <(echo "0 $(stat -c %s "$1")"; partx -g -b -o START,SIZE "$1" 2>/dev/null | awk '{ printf "%.0f %s\n", $1 * 512, $2 }')
}

# mounts DISK START LENGTH TYPE: can it be used?
mounts() {
	if [ "$4" = ext4 ]; then
		# shellcheck disable=SC2016 # $1.. are for the inner shell
		unshare -m sh -c 'mount -t ext4 -o "ro,loop,offset=$2,sizelimit=$3" "$1" "$4" && umount "$4"' sh "$1" "$2" "$3" "$T/mnt" >/dev/null 2>&1
	else
		dd if="$1" of="$T/part" bs=1M iflag=skip_bytes,count_bytes skip="$2" count="$3" conv=sparse status=none
		fsck.fat -n "$T/part" >/dev/null 2>&1 || mdir -i "$T/part" :: >/dev/null 2>&1
	fi
}

# check_mounts IMAGE OLD
check_mounts() {
	local volume step last=0
	log_restore "$T/$1.calco" "$T/$2"
	volumes "$T/$2" >"$T/volumes"
	volumes "$T/final" >>"$T/volumes"
	# The test can see: they can be used where they are whole.
	while read -r -a volume; do
		mounts "$T/$2" "${volume[@]}" || mounts "$T/final" "${volume[@]}" || fail "${volume[*]} is not usable at all"
		alive=$((alive + 1))
	done <"$T/volumes"
	cp --sparse=always "$T/$2" "$T/target"
	for step in $(sample "${CRASH_MOUNTS:-50}" "$DISARMED" "$ARM"); do
		"$TOOLS/replay" apply "$T/log" "$T/target" "$last" "$step"
		last=$step
		prefixes=$((prefixes + 1))
		while read -r -a volume; do
			attempts=$((attempts + 1))
			! mounts "$T/target" "${volume[@]}" || fail "$1 over $2, step $step: ${volume[*]} can be used"
		done < <(sort -u "$T/volumes")
	done
	echo "$1 over $2: so far $prefixes prefixes, $attempts refused mounts, $alive mounts of whole volumes"
}

make_mbr "$T/mbr" one
make_gpt "$T/gpt" two
make_gpt "$T/gpt-older" three
make_fatdisk "$T/fat" four
make_extdisk "$T/ext" five
for name in mbr gpt fat ext; do
	run_calco capture "$T/$name" "$T/$name.calco"
done
check_mounts gpt mbr
check_mounts mbr gpt
check_mounts gpt gpt-older
check_mounts fat gpt
check_mounts mbr ext
check_mounts ext fat
