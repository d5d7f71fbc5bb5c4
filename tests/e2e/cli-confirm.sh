#!/bin/bash
# A target that holds data is written only when it is confirmed, by --confirm or by typing; else not a byte of it changes.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img
run_calco capture golden.img lab.calco
make_ext4 precious.img 200M
cp --sparse=always precious.img before.img

# untouched: the target still holds what it held
untouched() {
	cmp precious.img before.img || fail "the target was changed: $1"
}

expect_exit 4 "$CALCO" restore lab.calco precious.img
expect_text err 'holds now +.*ext4' "^hint: .*--confirm '?precious.img"
untouched "without an answer"
expect_exit 4 "$CALCO" restore lab.calco precious.img --yes
untouched "by --yes alone"
expect_exit 4 "$CALCO" restore lab.calco precious.img --confirm wrong.img
untouched "by a wrong --confirm"
expect_exit 2 "$CALCO" restore lab.calco precious.img --confirm precious.img --confirm again
untouched "by a superfluous --confirm"
run_calco restore lab.calco precious.img --dry-run
expect_text out 'holds now +.*ext4' "to confirm +--confirm 'precious.img' \(its file name\)" 'nothing was written'
run_calco restore lab.calco precious.img --dry-run --json
json_true out '[(t["wants"], t["confirm"]) for t in d["result"]["targets"]] == [("confirm", "precious.img")]'
untouched "by --dry-run"

# typed CODE ANSWER: this is typed at the question, and the exit code is CODE
typed() {
	local status=0
	at_terminal 'To go on' "$2" "$CALCO" restore lab.calco precious.img --state state || status=$?
	[ "$status" = "$1" ] || { cat "$T/seen"; fail "exit code $status instead of $1"; }
	expect_text seen 'ALL OF THIS WILL BE LOST' 'To go on, type .*precious.img'
}
typed 4 $'no\n'
untouched "by a wrong answer"
typed 130 $'\003'
expect_text seen 'nothing was written'
untouched "by Ctrl-C"
typed 4 $'\004'
untouched "by the end of the input"
# With --json nobody is asked.
at_terminal '' '' "$CALCO" restore lab.calco precious.img --json && fail "--json asked nobody and wrote"
untouched "by --json"

typed 0 $'precious.img\n'
run_calco verify lab.calco --against precious.img
run_calco restore lab.calco precious.img --confirm precious.img --state state
check_gpt_disk precious.img

# A dry run says what the real one will want, also where that is little, and of an image from a pipe.
truncate -s 160M blank.img
run_calco restore lab.calco blank.img --dry-run
expect_text out 'to confirm +--yes'
cat lab.calco | run_calco restore - blank.img --dry-run --json
json_true out 'd["result"]["targets"][0]["wants"] == "yes" and d["result"]["targets"][0]["confirm"] is None'
run_calco restore lab.calco new.img --dry-run
expect_text out 'to confirm +nothing'
run_calco restore lab.calco new.img --dry-run --json
json_true out 'd["result"]["targets"][0]["wants"] == "nothing" and d["result"]["targets"][0]["confirm"] is None'
rm blank.img

# An empty target needs only a yes. The image may come through a pipe: the terminal is asked all the same.
truncate -s 160M blank.img
at_terminal "Type 'yes'" $'yes\n' "$CALCO" restore lab.calco blank.img || { cat seen; fail "yes was typed"; }
check_gpt_disk blank.img
truncate -s 0 blank.img
truncate -s 160M blank.img
at_terminal "Type 'yes'" $'yes\n' sh -c 'cat lab.calco | "$1" restore - blank.img' sh "$CALCO" || { cat seen; fail "yes was typed"; }
check_gpt_disk blank.img
