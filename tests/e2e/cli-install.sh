#!/bin/bash
# "make install" puts everything below DESTDIR, the manual pages can be read, and "make uninstall" leaves nothing.
. "$(dirname "$0")/functions.sh"
requires make

cd "$ROOT"
make --no-print-directory install DESTDIR="$T/stage" PREFIX=/usr >"$T/log" 2>&1 || { cat "$T/log"; fail "make install"; }
for f in bin/calco share/bash-completion/completions/calco share/man/man1/calco.1 share/man/man1/calco-capture.1 \
	share/man/man5/calco-format.5 share/doc/calco/format.md share/doc/calco/README.md; do
	[ -f "$T/stage/usr/$f" ] || fail "$f is not installed"
done
"$T/stage/usr/bin/calco" --version >"$T/out"
make --no-print-directory uninstall DESTDIR="$T/stage" PREFIX=/usr >"$T/log" 2>&1 || fail "make uninstall"
[ -z "$(find "$T/stage" -type f)" ] || fail "left behind: $(find "$T/stage" -type f)"
