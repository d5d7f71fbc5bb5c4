#!/bin/bash
# Progress: JSON lines on standard error, a bar only on a terminal, colours only without NO_COLOR.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img
unset NO_COLOR
export TERM=xterm

# Nothing but JSON lines: no plan in between, and nobody is asked.
run_calco capture golden.img r.calco
run_calco restore r.calco clone.img --progress json
python3 -c 'import json, sys; assert {json.loads(line)["event"] for line in open(sys.argv[1])} <= {"progress", "notice"}' err || fail "$(cat err)"
at_terminal '' '' "$CALCO" restore r.calco clone.img --progress json && fail "--progress json asked nobody and wrote"
expect_text seen 'was not confirmed'

run_calco capture golden.img a.calco --progress json
python3 - err <<'PYTHON'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert events and all(e["event"] in ("progress", "notice") for e in events), events
steps = [e for e in events if e["event"] == "progress" and e["phase"] == "capture"]
assert steps, "no progress of the phase 'capture'"
assert steps[-1]["done"] == steps[-1]["total"], "the end of the phase is not shown"
assert all(a["done"] <= b["done"] for a, b in zip(steps, steps[1:])), "progress goes backwards"
PYTHON

run_calco capture golden.img b.calco
[ ! -s err ] || fail "progress is shown although standard error is not a terminal"

at_terminal '' '' "$CALCO" capture golden.img c.calco
expect_text seen 'capture +\[?.*%' "$(printf '\033')\[36m"
NO_COLOR=1 at_terminal '' '' "$CALCO" capture golden.img d.calco
expect_text seen 'capture +\[?.*%'
expect_no_text seen "$(printf '\033')\[3"
at_terminal '' '' "$CALCO" capture golden.img e.calco --progress none
expect_no_text seen '%'

# A phase without bytes is only named.
at_terminal '' '' "$CALCO" capture golden.img f.calco
expect_text seen 'flush'
expect_no_text seen ' 0 bytes'
at_terminal '' '' "$CALCO" restore f.calco new.img
expect_text seen 'disarm' 'flush' 'arm'
expect_no_text seen ' 0 bytes'

# What a capture notices is said once, when it is noticed; the plan of a restore and info say it once, too.
requires mkfs.minix
truncate -s 16M odd.img
mkfs.minix odd.img >/dev/null
# said_once COMMAND...
said_once() {
	"$@" >said 2>&1 || fail "exit code $?: $*"
	[ "$(grep -c 'note: .*minix taken raw' said)" = 1 ] || { cat said; fail "not said once: $*"; }
}
said_once "$CALCO" capture odd.img odd.calco
said_once "$CALCO" capture odd.img --dry-run
said_once "$CALCO" info odd.calco
said_once "$CALCO" restore odd.calco odd2.img
said_once "$CALCO" restore odd.calco odd3.img --dry-run
"$CALCO" capture odd.img - 2>said >/dev/null
[ "$(grep -c 'note: .*minix taken raw' said)" = 1 ] || fail "not said once beside an image on standard output"
