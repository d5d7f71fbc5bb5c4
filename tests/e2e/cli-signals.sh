#!/bin/bash
# A signal stops the job at the next batch: exit code 128+n, nothing half-made left behind; a second one ends it at once.
. "$(dirname "$0")/functions.sh"

cd "$T"
# Zeros are hashed one after the other: long enough to be stopped, and they take no room.
truncate -s 64G huge.img

# start NAME: capture in the background, wait until data is flowing
start() {
	mkfifo "$1.events"
	"$CALCO" capture huge.img "$1.calco" --raw gaps --progress json >"$1.out" 2>"$1.events" &
	pid=$!
	exec 9<"$1.events"
	local line
	while read -r line <&9; do
		[[ $line != *'"done":0,'* && $line == *'"phase":"capture"'* ]] && return 0
	done
	fail "the capture ended by itself"
}

# stopped_by NUMBER: the exit code of the background job
stopped_by() {
	local status=0
	cat <&9 >said &
	wait "$pid" || status=$?
	wait
	exec 9<&-
	[ "$status" -eq $((128 + $1)) ] || fail "exit code $status after signal $1"
}

start term
kill -TERM "$pid"
stopped_by 15
[ ! -e term.calco ] || fail "a stopped capture left an image"
[ ! -e term.calco.part ] || fail "a stopped capture left its .part file"
expect_text said '^calco: .*stopped'

start hup
kill -HUP "$pid"
stopped_by 1

# The process and its group get it at once, as from timeout(1): meant once.
start twice
kill -TERM "$pid" "$pid"
kill -TERM "$pid"
stopped_by 15
[ ! -e twice.calco ] && [ ! -e twice.calco.part ] || fail "a signal that came twice at once left something"

# A pipe that gives nothing, or takes nothing, is no reason to be deaf.
truncate -s 64M small.img
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | dd of=small.img bs=1M count=16 iflag=fullblock conv=notrunc status=none
run_calco capture small.img lab.calco --raw gaps
size=$(stat -c %s lab.calco)
mkfifo from to

# catches_term PID: until it has installed its handler (before, a signal ends it as it ends any program) and sleeps
catches_term() {
	until grep -q '^SigCgt:.*[4-7c-f]...$' "/proc/$1/status" && grep -q '^State:.S' "/proc/$1/status"; do :; done
}

# ended SIGNAL NUMBER: $pid ends within a few seconds of the signal, with the usual exit code
ended() {
	local status=0
	catches_term "$pid"
	kill -"$1" "$pid"
	timeout 10 tail -s 0.05 --pid="$pid" -f /dev/null || {
		kill -KILL "$pid"
		fail "still there 10 seconds after SIG$1"
	}
	wait "$pid" || status=$?
	[ "$status" -eq $((128 + $2)) ] || fail "exit code $status after signal $2"
}

# stalled SIGNAL NUMBER: and with the usual words
stalled() {
	ended "$@"
	expect_text err '^calco: .*stopped$'
}

# The writing end is held open by this script; nothing comes, or half of an image and then nothing.
for bytes in 0 $((size / 2)); do
	for command in 'verify -' 'info -' 'restore - new.img --yes' 'verify from'; do
		[ "$bytes" = 0 ] || [ "$command" != 'info -' ] || continue
		rm -f new.img
		truncate -s 64M new.img
		exec 8<>from
		# shellcheck disable=SC2086 # words
		case $command in
		*' -'*) "$CALCO" $command <from >out 2>err 8>&- & ;;
		*) "$CALCO" $command </dev/null >out 2>err 8>&- & ;;
		esac
		pid=$!
		head -c "$bytes" lab.calco >&8
		stalled TERM 15
		exec 8>&-
	done
done

# A named pipe that has no writer at all.
"$CALCO" verify from >out 2>err &
pid=$!
stalled TERM 15

# The reading end is held open by this script.
exec 8<>to
"$CALCO" capture small.img - --raw gaps >to 2>err 8>&- &
pid=$!
head -c 100000 <&8 >/dev/null
stalled TERM 15
exec 8>&-

# A pipe that is full and takes nothing: progress, the error, a report.
exec 8<>to
dd if=/dev/zero of=to bs=4096 count=10000 oflag=nonblock status=none 2>/dev/null && fail "the pipe took everything"
for progress in json none; do
	"$CALCO" capture huge.img progress.calco --raw gaps --progress $progress >out 2>to 8>&- &
	pid=$!
	ended TERM 15
	[ ! -e progress.calco ] && [ ! -e progress.calco.part ] || fail "a stopped capture left something"
done
"$CALCO" capture small.img report.calco --raw gaps >to 2>err 8>&- &
pid=$!
until [ -e report.calco ]; do :; done
stalled TERM 15
expect_text err 'the image is complete, but its report could not be written'
for command in 'info report.calco --json' 'restore --help'; do
	# shellcheck disable=SC2086 # words
	"$CALCO" $command >to 2>err 8>&- &
	pid=$!
	stalled TERM 15
done
exec 8>&-
run_calco verify report.calco
