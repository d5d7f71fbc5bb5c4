#!/bin/bash
# A pinned signer holds: what is taken for the newest version of an image is that version and nothing else, whatever is done to its file.
# MUTANTS: how many (10000); SEED
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 500 ] 2>/dev/null && export TMPDIR=/dev/shm
. "$(dirname "$0")/../e2e/functions.sh"
requires mke2fs debugfs
[ -x "$TOOLS/mutants" ] || skip "mutants is not built"
cd "$T"

run_calco key new owner
run_calco key new other
truncate -s 3M disk
mke2fs -q -F -t ext4 -L golden disk
run_calco repo init store
mkdir files
# Three versions by the owner, the last of them pinned; another image of his; the same disk by somebody else, and by nobody.
for n in 1 2 3; do
	head -c 200000 /dev/urandom >"new$n"
	debugfs -w -R "write new$n new$n" disk >/dev/null 2>&1
	cp disk "disk$n"
	run_calco capture disk store::lab --sign owner
	run_calco capture disk "files/lab-$n.calco" --sign owner --version "$n"
done
run_calco capture disk1 store::kiosk --sign owner
run_calco capture disk1 files/kiosk.calco --sign owner --version 3
for who in other nobody; do
	[ $who = nobody ] || signed=(--sign other)
	run_calco capture disk2 "store::$who" "${signed[@]}"
	run_calco capture disk3 "store::$who" "${signed[@]}"
	run_calco capture disk3 "store::$who" "${signed[@]}"
	run_calco capture disk3 "files/$who.calco" --version 3 "${signed[@]}"
	signed=()
done
# It can see: where nobody is asked for, other things are believed.
expect_exit 1 env MUTANTS_TRUST=everybody "$TOOLS/mutants" store lab@3 files/lab-3.calco disk3 owner.pub other 1000 1
expect_text err 'was taken for good'
"$TOOLS/mutants" store lab@3 files/lab-3.calco disk3 owner.pub other "${MUTANTS:-10000}" "${SEED:-1}"
