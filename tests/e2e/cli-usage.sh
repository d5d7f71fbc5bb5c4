#!/bin/bash
# Wrong usage: exit code 2, one line on standard error, a hint with what was meant, nothing on standard output.
. "$(dirname "$0")/functions.sh"

# usage REGEX ARGUMENT...: wrong usage whose report matches
usage() {
	local regex=$1
	shift
	expect_exit 2 "$CALCO" "$@"
	expect_text "$T/err" "^calco: " "$regex"
	[ ! -s "$T/out" ] || fail "a usage error writes to standard output: $*"
	expect_exit 2 "$CALCO" "$@" --json
	json_true "$T/out" 'd["version"] == 1 and d["error"]["code"] == "usage" and d["error"]["exit"] == 2 and "result" not in d'
}

mkdir "$T/here"
cd "$T/here"
truncate -s 4M disk.img
usage "did you mean 'calco capture'" captrue disk.img lab.calco
usage "did you mean 'calco disks'" disk
usage "'calco --help' lists" frobnicate
usage 'did you mean --level' capture --levle=3 disk.img lab.calco
usage 'did you mean --no-verify' restore --no-ver lab.calco disk.img
usage 'has no option' capture -z disk.img lab.calco
usage 'needs a value \(N\)' capture disk.img lab.calco --level
usage 'takes no value' capture disk.img lab.calco --dry-run=yes
usage 'is not a whole number' capture disk.img lab.calco --level three
usage 'is not a whole number' capture disk.img lab.calco --threads -1
usage 'is outside 1 to 19' capture disk.img lab.calco --level 20
usage 'is not a power of two' capture disk.img lab.calco --sector-size 1000
usage 'outside 512 to 4096' capture disk.img lab.calco --sector-size 8192
usage 'takes discard\|zero\|none' restore lab.calco disk.img --scrub nothing
usage "'calco capture' needs DISK" capture
usage 'needs DISK... and IMAGE' capture disk.img
usage 'characters A-Z' capture disk.img lab.calco --name ../x
usage 'comes last' capture disk.img "$T"
usage 'one too many' info a.calco b.calco
usage "takes no 'x'" disks x
missing="there is no disk or file '(/dev/)?no-such"
usage "$missing" capture no-such.img lab.calco
usage "$missing" capture /dev/no-such lab.calco
usage "$missing" undo no-such.img
usage "$missing" undo /dev/no-such
run_calco capture disk.img "$T/lab.calco"
usage "$missing" restore "$T/lab.calco" /dev/no-such
usage "$missing" verify "$T/lab.calco" --against no-such.img
usage "$missing" verify "$T/lab.calco" --against /dev/no-such
usage '--only needs --against' verify "$T/lab.calco" --only 1
usage 'not for a disk' capture - lab.calco
usage 'not for a disk' restore "$T/lab.calco" -
usage 'no disk matches' capture serial=no-such-serial lab.calco
usage 'selectors are' capture modle=X lab.calco
usage 'no-such.calco' info no-such.calco
usage 'no-such' ls no-such-folder
[ "$(echo *)" = disk.img ] || fail "a usage error made a file: $(echo *)"

# Behind "--" everything is an operand.
expect_exit 2 "$CALCO" info -- a.calco --json
expect_text "$T/err" "'--json' is one too many"
