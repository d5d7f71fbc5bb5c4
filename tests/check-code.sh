#!/bin/sh
# What a program can check of the rules: nothing below cmd/ prints or exits, no mutable variables outside functions.
# Usage: check-code.sh BUILD-DIRECTORY (built without sanitizers). Environment: CC.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
: "${CC:=gcc}"
bad=0

complain() {
	echo "check-code: $1" >&2
	bad=1
}

# Comments are removed by the preprocessor, without expanding anything.
for file in $(find base fsdrivers imager preseed netdist -name '*.[ch]' 2>/dev/null | sort); do
	calls=$("$CC" -fpreprocessed -dD -E -P "$file" 2>/dev/null |
		grep -nE '(^|[^A-Za-z0-9_])(printf|vprintf|puts|putchar|perror|exit|_exit|abort|sleep|usleep)[[:space:]]*\(|(stdout|stderr)[^A-Za-z0-9_]' || true)
	[ -z "$calls" ] || complain "$file: prints, sleeps or exits: $calls"
done

# A handler for signals has no other place for what it keeps.
allowed='last_signal|first_ms'
objects=$(find "$build" -name '*.o' 2>/dev/null | grep -E "^$build/(base|fsdrivers|imager|preseed|netdist|cmd)/")
# shellcheck disable=SC2086 # a list of paths without spaces
globals=$(objdump -t $objects | awk -v ok="$allowed" '
	/file format/ { file = $1 }
	NF >= 5 && $(NF - 3) == "O" && $(NF - 2) ~ /^\.(data|bss|tdata|tbss)(\.[^r]|$)/ && $NF !~ "^(" ok ")$" { print file " " $NF }')
[ -z "$globals" ] || complain "mutable variables outside functions: $globals"

[ "$bad" = 0 ] && echo "  OK   code: nothing below cmd/ prints or exits, no mutable globals"
exit "$bad"
