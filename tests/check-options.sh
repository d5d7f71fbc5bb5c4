#!/bin/bash
# The option tables, --help, the manual pages and the completion name the same commands and options, and the same words that
# an option takes for something special ("--raw all").
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

# The words in quotes in the help of COMMAND OPTION.
words_of_help() {
	"$calco" _options | awk -F '\t' -v c="$1" -v o="$2" '$1 == c && $2 == o { print $4 }' | grep -oE "'[a-z]+'" | tr -d "'" | sort -u
}

# The words that may stand behind COMMAND OPTION where help lists all: "auto|tty".
choices_of_table() {
	"$calco" _options | awk -F '\t' -v c="$1" -v o="$2" '$1 == c && $2 == o && $3 ~ /[|]/ { print $3 }' | tr '|' '\n' | sort -u
}

# The words that the page explains for an option: ".B all" in its section.
words_of_page() {
	awk -v o="$2" 'last == ".TP" { gsub(/\\-/, "-", $2); is_this = $2 == o; last = $0; next }
		/^\.SH/ { is_this = 0 } is_this && /^\.B [a-z]+$/ { print $2 } { last = $0 }' "$1" | sort -u
}

# compare_words COMMAND PAGE: of each option; choices need not be explained one by one.
compare_words() {
	local option help page choices
	for option in $(options_of_table "$1"); do
		help=$(words_of_help "$1" "$option")
		page=$(words_of_page "$2" "$option")
		choices=$(choices_of_table "$1" "$option")
		compare "$2, words of $option," "$(comm -23 <(echo "$page") <(echo "$choices"))" "$help"
	done
}

# Words that the code compares a value with must be told by the help of some option, or stand among the operands ("new|show FILE").
check_words_of_code() {
	local word told
	told=$("$calco" _options | cut -f 4 | grep -oE "'[a-z]+'" | tr -d "'" | sort -u)
	told+=$'\n'$("$calco" _options | awk -F '\t' '$2 == "-" { print $3 }' | grep -oE '\b[a-z]+\b')
	while read -r word; do
		grep -qx "$word" <<<"$told" || complain "the code knows the word '$word', and no option's help names it"
	done < <(cat cmd/cmd_*.c imager/job/plan_*.c | grep -oE 'str(case)?cmp\([^"]*"[a-z]+"' | grep -v 'reason,' | sed 's/.*"\(.*\)"/\1/' | sort -u)
}

check_words_of_code
commands=$("$calco" _options | cut -f 1 | uniq)
[ -n "$commands" ] || complain "'calco _options' lists nothing"
for c in $commands; do
	page=docs/man/calco-$c.1
	table=$(options_of_table "$c")
	compare "calco $c --help" "$(options_of_help "$c")" "$table"
	compare "completion of calco $c" "$(options_of_completion "$c")" "$table"
	if [ -f "$page" ]; then
		compare "$page" "$(options_of_page "$page")" "$table"
		compare_words "$c" "$page"
	else
		complain "$page is missing"
	fi
	grep -q "calco-$c" docs/man/calco.1 || complain "docs/man/calco.1 does not name calco-$c"
	"$calco" --help | grep -q "^  $c " || complain "calco --help does not name $c"
done
[ "$bad" = 0 ] && echo "  OK   options: help, manual and completion agree for $(echo "$commands" | wc -w) commands"
exit "$bad"
