#!/bin/bash
# A target that is removed or replaced while it is written: exit code 1 and a sentence, not a success that nobody can find.
. "$(dirname "$0")/rounds.sh"

random_bytes 16000000 >golden.img
truncate -s 32M golden.img
run_calco capture golden.img lab.calco --raw gaps
half=$(($(stat -c %s lab.calco) / 2))
mkfifo from

# while_written TARGET CODE COMMAND...: the command runs when half of the image is written to the target
while_written() {
	local status=0 target=$1 code=$2
	shift 2
	exec 8<>from
	"$CALCO" restore - "$target" --confirm "$(confirm_of "$(realpath "$target")")" --state state <from >out 2>err 8>&- &
	local pid=$!
	# What was put into the pipe and taken out again lies behind the opening of the target.
	head -c $half lab.calco >&8
	"$@"
	tail -c +$((half + 1)) lab.calco >&8
	exec 8>&-
	wait "$pid" || status=$?
	[ "$status" -eq "$code" ] || { cat err >&2; fail "exit code $status instead of $code: $*"; }
	if [ "$code" != 0 ]; then
		[ "$(grep -c '^calco: ' err)" = 1 ] || fail "not one sentence"
		[ ! -s out ] || fail "a success was claimed"
	fi
}

echo x >disk.img
truncate -s 32M disk.img
while_written disk.img 0 true
run_calco verify lab.calco --against disk.img
while_written disk.img 1 rm disk.img
expect_text err "^calco: 'disk.img' .*removed"

echo x >disk.img
truncate -s 32M disk.img
cp disk.img other.img
while_written disk.img 1 mv other.img disk.img
expect_text err "^calco: 'disk.img' .*replaced"
expect_no_text err 'not complete'
# The other file is nobody's unfinished restore.
expect_exit 4 "$CALCO" restore lab.calco disk.img --yes --state state

# A link that leads elsewhere; the same file under the same name again is fine.
ln -s disk.img link
cp disk.img other.img
while_written link 1 ln -sfn other.img link
while_written disk.img 0 sh -c 'mv disk.img x && mv x disk.img'

# A device node: its number counts.
confirm_of() {
	blockdev --getsize64 "$1"
}
truncate -s 32M medium.img
echo x | dd of=medium.img conv=notrunc status=none
cp medium.img medium2.img
attach medium2.img
second=$dev
attach medium.img
mknod node b "$((0x$(stat -c %t "$dev")))" "$((0x$(stat -c %T "$dev")))"
[ -b node ] && head -c 1 node >/dev/null 2>&1 || skip "device nodes do not work in $T"
while_written node 0 sh -c 'rm node && mknod node b "$1" "$2"' sh "$((0x$(stat -c %t "$dev")))" "$((0x$(stat -c %T "$dev")))"
while_written node 1 sh -c 'rm node && mknod node b "$1" "$2"' sh "$((0x$(stat -c %t "$second")))" "$((0x$(stat -c %T "$second")))"
expect_text err "^calco: .*replaced"
