#!/bin/bash
# Progress: JSON lines on standard error, a bar only on a terminal, colours only without NO_COLOR.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img
unset NO_COLOR
export TERM=xterm

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
