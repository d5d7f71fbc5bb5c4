#!/bin/bash
# An image through a pipe: what is said goes to standard error, a closed pipe is an ordinary error, a terminal is refused.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img

"$CALCO" capture golden.img - >piped.calco 2>said
expect_text said "^captured 'stdout'|^captured '" '  root '
run_calco verify piped.calco

"$CALCO" capture golden.img - --json >piped2.calco 2>said
json_true said 'd["result"]["image"] == "-" and d["command"] == "capture"'
run_calco verify piped2.calco
"$CALCO" verify - <piped2.calco >out
expect_text out '^whole:'
mkfifo pipe
cat piped2.calco >pipe &
"$CALCO" info - --json <pipe >out
json_true out 'd["result"]["disks"][0]["size"] == 160 << 20'

# The reader goes away: exit code 1 and the reason, not death by SIGPIPE.
{ "$CALCO" capture golden.img - 2>said && echo 0 >status || echo $? >status; } | head -c 1000 >/dev/null
[ "$(cat status)" = 1 ] || fail "a closed pipe gives exit code $(cat status)"
expect_text said '^calco: .*[Bb]roken pipe'

# On a terminal neither direction makes sense.
at_terminal '' '' "$CALCO" capture golden.img - && fail "an image was written to a terminal"
expect_text seen 'which is a terminal'
at_terminal '' '' "$CALCO" restore - clone.img && fail "an image was read from a terminal"
expect_text seen 'which is a terminal'

# A pipe restores to a target that is there, but cannot say how large a new file must be.
expect_exit 2 sh -c 'cat piped.calco | "$1" restore - new.img' sh "$CALCO"
expect_text err 'truncate -s'
[ ! -e new.img ] || fail "a refused restore made its target"
truncate -s 160M clone.img
cat piped.calco >pipe &
"$CALCO" restore - clone.img --yes <pipe >out 2>err
run_calco verify piped.calco --against clone.img
check_gpt_disk clone.img

# By name it would be read twice: refused, and nothing is taken out of it.
cp --sparse=always clone.img before.img
cat piped.calco >pipe &
expect_exit 2 "$CALCO" restore pipe clone.img --confirm clone.img
expect_text err '^hint: calco restore - '
cmp clone.img before.img || fail "a refused restore wrote"
"$CALCO" restore - clone.img --confirm clone.img <pipe >out 2>err
