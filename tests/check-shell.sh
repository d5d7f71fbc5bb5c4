#!/bin/sh
# All shell scripts pass ShellCheck, where it is installed, and are executable.
set -eu
cd "$(dirname "$0")/.."

scripts=$(find tests -name '*.sh' | sort)
[ -f .ci/run ] && scripts="$scripts .ci/run"
for s in $scripts; do
	case $s in
	*/functions.sh | */rounds.sh | *lib.sh) ;; # read by others
	*) [ -x "$s" ] || { echo "check-shell: $s is not executable" >&2; exit 1; } ;;
	esac
done
# mawk prints what it computed in six digits: 5.12e+09 for an offset.
# shellcheck disable=SC2086 # a list of paths without spaces
if grep -nE '(^|[{;(] *)print (int\(|[^"}]*[*] *[0-9])' $scripts /dev/null >&2; then
	echo "check-shell: awk prints a number that it computed; use printf \"%.0f\"" >&2
	exit 1
fi
if ! command -v shellcheck >/dev/null; then
	echo "  SKIP shell: shellcheck is not installed"
	exit 0
fi
# SC2002: "cat file |" makes a pipe, which cannot seek; that is what those tests want.
# shellcheck disable=SC2086 # a list of paths without spaces
shellcheck -e SC2002 -x -P SCRIPTDIR $scripts cmd/completion.bash
echo "  OK   shell: $(echo "$scripts" | wc -w) scripts"
