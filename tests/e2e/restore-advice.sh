#!/bin/bash
# That the same command finishes a restore is said where it does, with what has to be mended before; not of a damaged image.
. "$(dirname "$0")/functions.sh"
FAULTS=${TOOLS:-$ROOT/build/tests/tools}/faults.so
[ -e "$FAULTS" ] || skip "$FAULTS is not built"
cd "$T"

make_gpt_disk golden.img
run_calco capture golden.img golden.calco

# restore [IMAGE]: over an old disk, one thread, so that the n-th write is the same one each time
restore() {
	"$CALCO" restore "${1:-golden.calco}" target.img --confirm target.img --state record --threads 1 --progress none
}
old() {
	rm -rf record target.img
	make_ext4 target.img 160M
}
old
CALCO_FAULT=write:1000000 CALCO_FAULT_COUNT=$T/count LD_PRELOAD=$FAULTS expect_exit 0 restore
middle=$(($(cat count) - 40))

# fails KIND TEXT: the restore fails in the middle of the data and says this; then the same command does finish it
fails() {
	old
	CALCO_FAULT=$1 LD_PRELOAD=$FAULTS expect_exit 1 restore
	expect_text err "^hint: $2" "'calco undo --state record DISK' gives back"
	[ -e record ] || fail "there is no record"
	expect_exit 0 restore
	check_gpt_disk target.img
}
fails "write:$middle" 'the disk or its cable fails \(dmesg tells more\): when it can be read and written again, the same command finishes it'
fails "full:$middle" 'make room there, then the same command finishes it'

# A damaged image: whatever is damaged, that it would end the same way is not told as a cure.
size=$(stat -c %s golden.calco)
old
for place in 30 50 70; do
	cp golden.calco bad.calco
	printf 'XXXX' | dd of=bad.calco bs=1 seek=$((size * place / 100)) conv=notrunc status=none
	expect_exit 3 restore bad.calco
	expect_text err '^hint: .*calco verify'
	expect_no_text err 'same command'
done
# Its end is missing, which a pipe tells last.
head -c $((size - 100)) golden.calco >short.calco
old
# shellcheck disable=SC2002 # a pipe is what this is about
cat short.calco | expect_exit 3 "$CALCO" restore - target.img --confirm target.img --state record
expect_text err '^hint: .*verify'
expect_no_text err 'same command'
# Nothing was saved of a file that is made: there is nothing that undo could give back.
new() {
	rm -f new.img
	"$CALCO" restore golden.calco new.img --state none --threads 1
}
CALCO_FAULT=write:1000000 CALCO_FAULT_COUNT=$T/count LD_PRELOAD=$FAULTS expect_exit 0 new
CALCO_FAULT=write:$(($(cat count) - 40)) LD_PRELOAD=$FAULTS expect_exit 1 new
expect_text err '^hint: .*the same command finishes it'
expect_no_text err 'calco undo'
