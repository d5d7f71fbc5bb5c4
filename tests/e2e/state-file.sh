#!/bin/bash
# --state names a record and nothing else: no other file is removed or replaced, whatever its name; devices and pipes are refused.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img
run_calco capture golden.img lab.calco
cp lab.calco record.part
run_calco restore record.part new.img --state record
cmp lab.calco record.part
run_calco restore lab.calco other.part --state other
[ -s other.part ] || fail "the target is gone"
run_calco verify lab.calco --against other.part
mkfifo pipe
ln -s new.img link
for f in pipe link lab.calco .; do
	truncate -s "$(stat -c %s golden.img)" "target-${f#.}.img"
	expect_exit 4 "$CALCO" restore lab.calco "target-${f#.}.img" --yes --state "$f"
done
[ -p pipe ] && [ -L link ] && cmp lab.calco record.part
