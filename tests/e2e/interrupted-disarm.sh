#!/bin/bash
# A signal that comes with any write or flush of a restore: as long as only the superblocks were cleared, undo brings the old disk back to the
# byte; later the same command completes it. A second signal ends it at once, whatever it waits for.
. "$(dirname "$0")/functions.sh"
[ -f "$TOOLS/faults.so" ] || skip "faults.so is not built"
requires sgdisk mkfs.fat mke2fs partx
cd "$T"

truncate -s 20M old.img disk.img
sgdisk -a 1 -n 1:34:+3M -n 2:0:+6M -n 3:0:0 old.img >/dev/null
printf 'BOOT CODE' | dd of=old.img conv=notrunc status=none
truncate -s 3M part && mkfs.fat -F 12 part >/dev/null && put_partition old.img 1 part && rm part
truncate -s 6M part && mke2fs -q -F -t ext4 part && put_partition old.img 2 part && rm part
truncate -s 8M part && mke2fs -q -F -t ext4 part && put_partition old.img 3 part && rm part
sample_tree tree
rm tree/data/random
mke2fs -q -F -t ext4 -b 1024 -d tree disk.img
run_calco capture disk.img image.calco
head_len=$(LC_ALL=C grep -abom 1 CHNK image.calco | head -n 1 | cut -d : -f 1)

# fresh: the target is the old disk, of no restore
fresh() {
	cp --sparse=always old.img target.img
	rm -f record count
}

# restore_at KIND:N [IMAGE]: with that fault; exit code in $status
restore_at() {
	status=0
	CALCO_FAULT=$1 CALCO_FAULT_COUNT=count LD_PRELOAD=$TOOLS/faults.so "$CALCO" restore "${2:-image.calco}" target.img --state record \
		--confirm target.img --threads 2 >out 2>err || status=$?
}

# is_undone: by undo, or nothing was done
is_undone() {
	if [ -e record ]; then
		"$CALCO" undo target.img --state record >undo.out 2>undo.err && [ ! -e record ] || return 1
	fi
	cmp -s old.img target.img
}

# some FIRST LAST: numbers from one to the other, all of them at the ends
some() {
	seq "$1" "$2" | awk -v nr=$(($2 - $1 + 1)) 'NR <= 5 || NR > nr - 8 || NR % int(nr / 12 + 1) == 0'
}

for kind in write fsync; do
	# With an image of which only the head comes there is nothing but disarming.
	fresh
	head -c $((head_len + 40)) image.calco >cut.calco
	restore_at signal-$kind:0 - < <(cat cut.calco)
	[ "$status" = 3 ] || fail "exit code $status of a restore that was cut short"
	before=$(cat count)
	fresh
	restore_at signal-$kind:0
	[ "$status" = 0 ] || fail "exit code $status of a restore"
	all=$(cat count)
	[ "$before" -ge 3 ] && [ "$all" -gt "$((before + 2))" ] || fail "$before calls of $all"
	for n in $(some 1 "$before"); do
		fresh
		restore_at signal-$kind:"$n"
		[ "$status" = 143 ] || fail "$kind $n: exit code $status"
		expect_text err '^calco: .*stopped$' "^hint: (nothing was written|no data was written yet.*'calco undo[^']*' gives back all)"
		is_undone || { cat undo.out undo.err >&2; fail "$kind $n of $before: the old disk is not back"; }
	done
	undone=0
	for n in $(some $((before + 1)) "$all"); do
		fresh
		restore_at signal-$kind:"$n"
		[ "$status" = 143 ] || [ "$status" = 0 ] || fail "$kind $n: exit code $status"
		if [ "$status" = 143 ] && is_undone; then
			undone=$((undone + 1))
		fi
		run_calco restore image.calco target.img --state record --confirm target.img
		run_calco verify image.calco --against target.img
	done
	echo "$kind: $before of $all were before data was written, and $undone more could be undone"
done

# deaf N: a restore whose N-th flush is of a disk that does not answer; a shell without job control starts its children deaf to SIGINT
deaf() {
	fresh
	rm -f hit
	CALCO_FAULT=deaf-fsync:$1 CALCO_FAULT_HIT=hit LD_PRELOAD=$TOOLS/faults.so env --default-signal=INT \
		"$CALCO" restore image.calco target.img --state record --confirm target.img >out 2>err &
	pid=$!
	until [ -e hit ]; do
		kill -0 "$pid" || fail "it ended before the flush"
	done
}

# ended CODE: at once, as a second signal wants it; and undo brings the old disk back
ended() {
	timeout 10 tail -s 0.05 --pid="$pid" -f /dev/null || {
		kill -KILL "$pid"
		fail "still there 10 seconds after the second signal"
	}
	status=0
	wait "$pid" 2>/dev/null || status=$?
	[ "$status" = "$1" ] || fail "exit code $status instead of $1"
	is_undone || { cat undo.out undo.err >&2; fail "the old disk is not back"; }
}

# Each flush up to the one behind the disarming: a second signal a second later.
for n in $(seq "$before"); do
	deaf "$n"
	kill -INT "$pid"
	sleep 1
	kill -INT "$pid"
	ended 130
done
# Two different ones are two, however close; the same twice, and SIGHUP with another, is one.
deaf "$before"
kill -INT "$pid"
kill -TERM "$pid"
ended 143
for pair in 'TERM TERM' 'TERM HUP' 'HUP INT'; do
	deaf "$before"
	for signal in $pair; do
		kill -"$signal" "$pid"
	done
	sleep 1
	kill -0 "$pid" || fail "$pair at once ended it"
	kill -INT "$pid"
	ended 130
done
