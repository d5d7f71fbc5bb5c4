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
