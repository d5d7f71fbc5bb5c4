#!/bin/sh
# Every manual page given formats without a warning, and has the sections that readers look for.
set -eu
cd "$(dirname "$0")/.."
bad=0

complain() {
	echo "check-man: $1" >&2
	bad=1
}

sections_of() {
	case $1 in
	*.1) echo NAME SYNOPSIS DESCRIPTION EXAMPLES EXIT "SEE" ;;
	*) echo NAME DESCRIPTION "SEE" ;;
	esac
}

command -v man >/dev/null || { echo "  SKIP man: man is not installed"; exit 0; }
for page in "$@"; do
	warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
	[ -z "$warnings" ] || complain "$page: $warnings"
	for section in $(sections_of "$page"); do
		grep -qE "^\.SH \"?$section" "$page" || complain "$page: has no section $section"
	done
done
[ "$bad" = 0 ] && echo "  OK   man: $# pages"
exit "$bad"
