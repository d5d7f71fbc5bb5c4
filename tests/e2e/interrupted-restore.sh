#!/bin/bash
# A restore that is killed leaves a target that neither boots nor mounts; the same command finishes it.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((110 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:+150001 -c 2:root -n 3:190001:+30001 $disk >/dev/null
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 fat16
part 2 ext4
FILES=odd GONE=1 part 3 ext2
source=$disk
run_calco capture $disk golden.calco
size=$(stat -c %s golden.calco)

# old_disk FILE: what the target was before: another layout, with file systems in other places
old_disk() {
	local old=$T/old.img
	if [ ! -e "$old" ]; then
		truncate -s "$(stat -c %s $disk)" "$old"
		sfdisk -q "$old" <<<$'start=2048, size=80000, type=83, bootable\nstart=90112, size=100000, type=83\n'
		random_bytes 400 | dd of="$old" conv=notrunc status=none
		for place in "1048576 40960000" "46137344 51200000"; do
			attach "$old" --offset "${place% *}" --sizelimit "${place#* }"
			mke2fs -q -F -t ext4 "$dev"
			detach "$dev"
		done
	fi
	cp --sparse=always "$old" "$1"
}

# nothing_at FILE START LENGTH: no file system is recognised there
nothing_at() {
	attach "$1" --offset "$2" --sizelimit "$3" --read-only
	blkid -p -o export "$dev" >found 2>/dev/null || true
	detach "$dev"
	expect_no_text found '^(TYPE|USAGE)='
}

# dead FILE: by the old layout and by the new one; and the boot code is the old one's no more
dead() {
	local number from len
	nothing_at "$1" 0 "$(stat -c %s "$1")"
	while read -r number from len; do
		nothing_at "$1" "$from" "$len"
	done < <(python3 "$HERE/table_bytes.py" places $disk $SECTOR; python3 "$HERE/table_bytes.py" places old.img $SECTOR)
	! cmp -s -n 400 "$1" old.img && ! cmp -s -n 440 "$1" $disk || fail "the boot code stands"
}

# A shell without job control starts its children deaf to SIGINT.
hearing() {
	exec python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' "$@"
}

# stop_in_pipe SIGNAL SHARE: the image comes through a pipe, of which only so many percent arrive; then the signal. Exit code in $status
stop_in_pipe() {
	local feeder pid
	rm -f feed fed
	mkfifo feed fed
	{
		head -c $((size * $2 / 100)) golden.calco
		echo >fed
		exec sleep 100
	} >feed &
	feeder=$!
	hearing "$CALCO" restore - target.img --confirm target.img <feed >out 2>err &
	pid=$!
	read -r <fed
	kill "-$1" "$pid"
	# The pipe gives nothing more and stays open: a signal is heard all the same.
	status=0
	wait "$pid" 2>/dev/null || status=$?
	kill "$feeder"
	wait "$feeder" 2>/dev/null || true
}

# stop_in_phase SIGNAL PHASE: when it has come to that phase
stop_in_phase() {
	local pid line
	rm -f events
	mkfifo events
	hearing "$CALCO" restore golden.calco target.img --confirm target.img --progress json >out 2>events &
	pid=$!
	exec 9<events
	while read -r line <&9; do
		[[ $line == *"\"phase\":\"$2\""* ]] && break
	done
	[ -n "$line" ] || fail "it ended before the phase $2"
	kill "-$1" "$pid"
	cat <&9 >err &
	status=0
	wait "$pid" 2>/dev/null || status=$?
	wait
	exec 9<&-
}

# stopped_as CODE: that was its exit code, the target is dead, and the same command finishes it
stopped_as() {
	[ "$status" = "$1" ] || { cat err >&2; fail "exit code $status instead of $1"; }
	dead target.img
	run_calco restore golden.calco target.img --confirm target.img
	check_target target.img golden.calco
}

for share in 10 50 90; do
	old_disk target.img
	stop_in_pipe KILL $share
	stopped_as 137
done
old_disk target.img
stop_in_pipe INT 50
stopped_as 130
for phase in flush read-back; do
	old_disk target.img
	stop_in_phase KILL $phase
	stopped_as 137
done
old_disk target.img
stop_in_phase INT read-back
stopped_as 130
