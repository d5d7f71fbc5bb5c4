#!/bin/sh
# The direction of the house (docs/architecture.md): includes are written from the root and point downward only, and every header
# compiles alone. Environment: CC, CPPFLAGS.
set -eu
cd "$(dirname "$0")/.."
: "${CC:=gcc}" "${CPPFLAGS:=-I. -D_GNU_SOURCE}"
bad=0

rank() {
	case $1 in
	base/*) echo 0 ;;
	fsdrivers/*) echo 1 ;;
	imager/*) echo 2 ;;
	preseed/*) echo 3 ;;
	netdist/*) echo 4 ;;
	cmd/*) echo 5 ;;
	*) echo 9 ;;
	esac
}

complain() {
	echo "check-includes: $1" >&2
	bad=1
}

sources=$(find base fsdrivers imager preseed netdist cmd -name '*.[ch]' 2>/dev/null | sort)

for file in $sources; do
	# shellcheck disable=SC2013 # names of headers are words
	for inc in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
		[ -f "$inc" ] || complain "$file: \"$inc\" is not written from the root"
		[ "$(rank "$inc")" -le "$(rank "$file")" ] || complain "$file: \"$inc\" points upward"
	done
done

for header in $(echo "$sources" | grep '\.h$'); do
	# shellcheck disable=SC2086 # flags are meant to split
	echo "#include \"$header\"" | eval "$CC $CPPFLAGS -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -x c -" ||
		complain "$header: does not compile alone"
done

[ "$bad" = 0 ] && echo "  OK   includes: $(echo "$sources" | wc -l) files"
exit "$bad"
