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
if ! command -v shellcheck >/dev/null; then
	echo "  SKIP shell: shellcheck is not installed"
	exit 0
fi
# SC2002: "cat file |" makes a pipe, which cannot seek; that is what those tests want.
# shellcheck disable=SC2086 # a list of paths without spaces
shellcheck -e SC2002 -x -P SCRIPTDIR $scripts cmd/completion.bash
echo "  OK   shell: $(echo "$scripts" | wc -w) scripts"
