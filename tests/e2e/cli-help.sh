#!/bin/bash
# Help goes to standard output with exit code 0, and every command has it in three spellings.
. "$(dirname "$0")/functions.sh"

run_calco --help
expect_text "$T/out" '^Usage: calco COMMAND' '^  capture ' '^  restore '
[ ! -s "$T/err" ] || fail "--help writes to standard error"
run_calco --version
expect_text "$T/out" '^calco [0-9]+\.[0-9]+\.[0-9]+$'

for c in disks capture restore verify info ls; do
	run_calco help $c
	cp "$T/out" "$T/help"
	run_calco $c --help
	cmp "$T/out" "$T/help"
	run_calco $c -h
	cmp "$T/out" "$T/help"
	expect_text "$T/out" "^Usage: calco $c" '^  --json'
	run_calco $c --help --json
	cmp "$T/out" "$T/help"
	[ ! -s "$T/err" ] || fail "$c --help writes to standard error"
done

expect_exit 2 "$CALCO"
[ ! -s "$T/out" ] || fail "without a command the usage goes to standard output"
expect_text "$T/err" '^Usage: calco COMMAND'
expect_exit 2 "$CALCO" help nothing
expect_exit 2 "$CALCO" help capture restore
expect_exit 1 sh -c '"$1" --help >/dev/full' sh "$CALCO"
