#!/bin/bash
# A tour in less than a minute: make a small disk in a plain file, capture it, look at the image, restore it to a larger disk,
# prove that both are equal, and show what happens when a byte of the image changes. Nothing outside a temporary folder is touched; root is not needed.
# Usage: demo.sh [CALCO]
set -eEu
cd "$(dirname "$0")/.."
CALCO=$(realpath "${1:-build/calco}")
export CALCO
# shellcheck source=tests/e2e/functions.sh
. tests/e2e/functions.sh
trap 'echo "The demo stopped because the last step failed." >&2' ERR

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$'\033[1m' plain=$'\033[0m'
fi

say() {
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# Show a command as the user would type it, and run it.
run() {
	printf '\n$ %s\n' "$*"
	"$@"
}

calco() {
	"$CALCO" "$@"
}

golden_disk() {
	say "1. A golden disk of 160 MiB in a plain file: a boot partition, a Linux root with some files, swap."
	make_gpt_disk golden.img 160M
	sgdisk -p golden.img | tail -n 4
	echo "It takes $(du -h golden.img | cut -f 1) on this machine's disk."
}

capture_it() {
	say "2. Capture: only the blocks that the file systems use are read and stored, each with its hash."
	run calco capture golden.img lab.calco --note 'made by the demo'
	say "   The image is complete in itself. What is in it can be told without reading the content:"
	run calco info lab.calco
	say "   Is every byte of it what it was?"
	run calco verify lab.calco
}

restore_it() {
	say "3. Restore to a larger disk: written, flushed, read back; the partition table is moved to the new end."
	truncate -s 200M clone.img
	run calco restore lab.calco clone.img --yes
	run calco verify lab.calco --against clone.img
	say "   What other programs say about the clone:"
	sgdisk -v clone.img | grep 'No problems'
	get_partition clone.img 1 p1
	fsck.fat -n p1 | tail -n 1
	get_partition clone.img 2 p2
	e2fsck -fn p2 2>&1 | tail -n 1
	check_gpt_disk clone.img
	echo "and all files of the root file system are equal to the original ones."
}

refuse_it() {
	say "4. The clone now holds data: a second restore is refused until it is confirmed (exit code 4)."
	local status=0
	run calco restore lab.calco clone.img --yes </dev/null || status=$?
	[ "$status" = 4 ] || fail "exit code $status instead of 4"
}

damage_it() {
	say "5. One byte of the image changes: it is found and named (exit code 3). A restore would stop there, before it wrote any of that piece."
	local status=0 middle
	cp lab.calco damaged.calco
	middle=$(($(stat -c %s damaged.calco) / 2))
	dd if=lab.calco bs=1 skip="$middle" count=1 status=none | tr '\000-\377' '\001-\377\000' |
		dd of=damaged.calco bs=1 seek="$middle" conv=notrunc status=none
	run calco verify damaged.calco || status=$?
	[ "$status" = 3 ] || fail "exit code $status instead of 3"
}

cd "$T"
golden_disk
capture_it
restore_it
refuse_it
damage_it
say "Done. The folder of this demo is removed now. Next: 'man docs/man/calco.1', or README.md."
