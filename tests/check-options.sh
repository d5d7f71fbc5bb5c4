#!/bin/bash
# The option tables, --help, the manual pages and the completion name the same commands and options.
# Usage: check-options.sh CALCO
set -eu
cd "$(dirname "$0")/.."
calco=$(realpath "${1:-build/calco}")
bad=0

complain() {
	echo "check-options: $1" >&2
	bad=1
}

# The options a page documents: ".TP" and then ".B \-\-name" or ".BI \-\-name".
options_of_page() {
	awk 'last == ".TP" && /^\.BI? \\-\\-/ { gsub(/\\-/, "-", $2); print $2 } { last = $0 }' "$1" | sort -u
}

options_of_table() {
	"$calco" _options | awk -F '\t' -v c="$1" '$1 == c && $2 != "-" { print $2 }' | sort -u
}

options_of_help() {
	"$calco" "$1" --help | sed -nE 's/^  (--[a-z-]+).*/\1/p' | sort -u
}

# What bash would offer behind "calco COMMAND --".
options_of_completion() (
	PATH=$(dirname "$calco"):$PATH
	# shellcheck source=cmd/completion.bash
	. cmd/completion.bash
	COMP_WORDS=(calco "$1" --) COMP_CWORD=2 COMPREPLY=()
	_calco
	printf '%s\n' "${COMPREPLY[@]}" | sort -u
)

compare() {
	[ "$2" = "$3" ] || complain "$1 differs from the table of options: $(diff <(echo "$3") <(echo "$2") | grep '^[<>]' | tr '\n' ' ')"
}

commands=$("$calco" _options | cut -f 1 | uniq)
[ -n "$commands" ] || complain "'calco _options' lists nothing"
for c in $commands; do
	page=docs/man/calco-$c.1
	table=$(options_of_table "$c")
	compare "calco $c --help" "$(options_of_help "$c")" "$table"
	compare "completion of calco $c" "$(options_of_completion "$c")" "$table"
	if [ -f "$page" ]; then
		compare "$page" "$(options_of_page "$page")" "$table"
	else
		complain "$page is missing"
	fi
	grep -q "calco-$c" docs/man/calco.1 || complain "docs/man/calco.1 does not name calco-$c"
	"$calco" --help | grep -q "^  $c " || complain "calco --help does not name $c"
done
[ "$bad" = 0 ] && echo "  OK   options: help, manual and completion agree for $(echo "$commands" | wc -w) commands"
exit "$bad"
