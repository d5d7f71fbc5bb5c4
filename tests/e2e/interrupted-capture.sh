#!/bin/bash
# A capture that is killed leaves no image and can be repeated; one that is interrupted leaves nothing at all.
. "$(dirname "$0")/functions.sh"

cd "$T"
openssl enc -aes-128-ctr -K 77 -iv 00 -in /dev/zero 2>/dev/null | head -c 150000000 >golden.img

# start IMAGE: capture in the background, wait until data is flowing
start() {
	rm -f events
	mkfifo events
	# A shell without job control starts its children deaf to SIGINT.
	python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
		"$CALCO" capture golden.img "$1" --level 12 --threads 1 --progress json >out 2>events &
	pid=$!
	exec 9<events
	local line
	while read -r line <&9; do
		[[ $line == *'"phase":"capture"'* && $line != *'"done":0,'* ]] && return 0
	done
	fail "the capture ended by itself"
}

# ended: its exit code, in $status
ended() {
	status=0
	cat <&9 >said &
	wait "$pid" 2>/dev/null || status=$?
	wait
	exec 9<&-
}

start lab.calco
kill -KILL "$pid"
ended
[ "$status" = 137 ] || fail "exit code $status after SIGKILL"
[ ! -e lab.calco ] || fail "a killed capture left an image"
run_calco ls --json
json_true out 'not [i for i in d["result"]["images"] if i.get("state", "image") in ("image", "whole", "complete")]'
[ ! -e lab.calco.part ] || expect_exit 3 "$CALCO" verify lab.calco.part
run_calco capture golden.img lab.calco
run_calco verify lab.calco --against golden.img
[ ! -e lab.calco.part ] || fail "the .part file of the killed capture is left"

start other.calco
kill -INT "$pid"
ended
[ "$status" = 130 ] || fail "exit code $status after SIGINT"
[ ! -e other.calco ] && [ ! -e other.calco.part ] || fail "an interrupted capture left something"
expect_text said '^calco: .*stopped'
