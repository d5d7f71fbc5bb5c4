#!/bin/bash
# Every field that a manual page promises for --json is there, and every field that is there is in the manual page.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"
requires sgdisk partx

cd "$T"
n=0
# document EXIT COMMAND ARGUMENT...: its document becomes doc.COMMAND.NUMBER
document() {
	local code=$1
	shift
	expect_exit "$code" "$CALCO" "$@" --json
	n=$((n + 1))
	cp out "doc.$1.$n"
}

# fields COMMAND [FIELD-LEFT-OUT...]: of all documents of the command; some show those of calco-info(1), too, but for what is left out
fields() {
	local command=$1 man=$ROOT/docs/man
	shift
	python3 "$ROOT/tests/e2e/json_fields.py" "$man/calco-$command.1" ${1:+"$man/calco-info.1"} "$@" , "$T/doc.$command".* || fail "calco $command --json and its manual page differ"
}

make_gpt_disk golden.img
truncate -s 128M pv.img
attach pv.img
lvm_run pvcreate -ff -y "$loop"
lvm_run vgcreate -s 1M vg "$loop"
lvm_create root 40M vg
detach_all

document 0 capture golden.img pv.img both.calco
document 0 capture golden.img lab.calco
document 0 capture golden.img --dry-run
run_calco key new sign.key
run_calco key new open.key --kind symmetric
document 0 capture golden.img locked.calco --sign sign.key --key open.key
fields capture extents core_bytes

document 0 info both.calco
document 0 info lab.calco --extents
document 0 info locked.calco
document 0 info locked.calco --key open.key
fields info

head -c 5000 lab.calco >short.calco
document 0 ls
fields ls

cp lab.calco bad.calco
printf '\377\377' | dd of=bad.calco bs=1 seek=$(($(stat -c %s bad.calco) / 2)) conv=notrunc status=none
document 0 verify lab.calco
document 3 verify bad.calco
document 0 verify lab.calco --against golden.img
fields verify

truncate -s 200M larger.img
document 0 restore lab.calco larger.img --dry-run
document 0 restore lab.calco larger.img --yes
document 0 restore lab.calco larger.img --only root --dry-run
document 0 restore lab.calco new.img --only root --sector-size 4096 --as-is root --dry-run
fields restore image_bytes stored_bytes disks regions volumes bad_ranges extents core_bytes key_slots encrypted locked signers

cp --sparse=always larger.img target.img
expect_exit 3 "$CALCO" restore bad.calco target.img --state record --confirm target.img
document 4 undo target.img --state record --dry-run
cp --sparse=always larger.img unfinished.img
expect_exit 3 "$CALCO" restore bad.calco unfinished.img --confirm unfinished.img
document 0 undo --list
document 0 undo --forget unfinished.img --yes
fields undo

attach golden.img
document 0 disks
fields disks
