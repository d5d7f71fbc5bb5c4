#!/bin/bash
# Keys and passphrases may come through a pipe; one that nobody writes to is waited for until a signal comes, not for ever.
. "$(dirname "$0")/functions.sh"
requires mke2fs
cd "$T"

truncate -s 1M disk.img
mke2fs -q -F -t ext2 disk.img
run_calco key new box --kind recipient
run_calco key new signer
printf 'correct horse\n' >phrase

# Written already, written while it is waited for, and by name.
run_calco capture disk.img a.calco --key <(cat box.pub) --passphrase-file <(cat phrase) --sign <(cat signer)
run_calco verify a.calco --key <(sleep 0.5; cat box) --require-signer <(cat signer.pub)
mkfifo pipe
(cat phrase >pipe) &
run_calco verify a.calco --passphrase-file pipe --against disk.img
wait
run_calco verify a.calco --key /dev/stdin <box
expect_exit 2 "$CALCO" verify a.calco --key <(true)
expect_exit 2 "$CALCO" verify a.calco --key .

# stopped WORD...: it waits, and a signal ends it
stopped() {
	local status=0
	"$CALCO" "$@" >out 2>err &
	local pid=$!
	# Its handler is there, and it sleeps.
	until grep -qs '^SigCgt:.*[4-7c-f]...$' "/proc/$pid/status" && grep -qs '^State:.S' "/proc/$pid/status"; do
		[ -d "/proc/$pid" ] || { cat err; fail "it did not wait: $*"; }
	done
	kill -TERM $pid
	timeout 20 tail -s 0.05 --pid=$pid -f /dev/null || { kill -9 $pid; fail "SIGTERM did not end it: $*"; }
	wait $pid || status=$?
	[ $status -eq 143 ] || { cat err; fail "exit code $status: $*"; }
}
stopped verify a.calco --key pipe
stopped verify a.calco --passphrase-file pipe
stopped verify a.calco --key box --require-signer pipe
stopped capture disk.img b.calco --key pipe
stopped capture disk.img b.calco --sign pipe
stopped sign a.calco pipe
stopped key show pipe
stopped restore a.calco new.img --key pipe
[ ! -e b.calco ] && [ ! -e b.calco.part ] && [ ! -e new.img ] || fail "something was made"

command -v cryptsetup >/dev/null || exit 0
uuid=5f3759df-0000-4000-8000-00000000c0de
truncate -s 20M luks.img
cryptsetup luksFormat -q --uuid $uuid --type luks2 --pbkdf pbkdf2 --iter-time 50 --key-file phrase luks.img
run_calco capture luks.img l.calco --unlock $uuid=<(cat phrase) --dry-run
stopped capture luks.img l.calco --unlock $uuid=pipe
