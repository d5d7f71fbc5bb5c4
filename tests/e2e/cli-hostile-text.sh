#!/bin/bash
# Labels and notes come from strangers: no escape sequence, no extra line and no broken character of theirs reaches a terminal.
. "$(dirname "$0")/functions.sh"

cd "$T"
label=$(printf 'A\033[2JB\nC\x9f\xff')
truncate -s 8M disk.img
mke2fs -q -F -t ext4 -L "$label" disk.img
run_calco capture disk.img lab.calco --note "$(printf 'one\033]0;title\007\ncalco: all is lost')"
cat out err >said
run_calco info lab.calco
cat out err >>said
run_calco ls
cat out err >>said
expect_exit 4 "$CALCO" restore lab.calco disk.img
cat out err >>said
iconv -f UTF-8 -t UTF-8 said >/dev/null || fail "what is said is not UTF-8"
! LC_ALL=C grep -n '[[:cntrl:]]' said | LC_ALL=C grep -v '^[0-9]*:[^[:cntrl:]]*$' >&2 || fail "a control character comes through"
expect_no_text said '^calco: all is lost'

run_calco info lab.calco --json
json_true out 'd["result"]["note"] == "one\x1b]0;title\x07\ncalco: all is lost"'
json_true out '"\x1b[2J" in d["result"]["volumes"][0]["label"] and "\ufffd" in d["result"]["volumes"][0]["label"]'
