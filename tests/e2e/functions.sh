# shellcheck shell=bash
# Helpers for tests/e2e/*.sh. A test begins with
#
#	#!/bin/bash
#	. "$(dirname "$0")/functions.sh"
#
# and then has an empty folder $T of its own, which is removed in the end, the program in $CALCO, and the functions below.
# It ends with 0, with 77 and a line "SKIP: why" when something is missing here, or with anything else when it failed.

set -eu
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CALCO=${CALCO:-$ROOT/build/calco}
T=$(mktemp -d "${TMPDIR:-/tmp}/calco-test.XXXXXX")
# Nothing of a test lands in the state folder of the machine.
export XDG_STATE_HOME=$T/state
cleanups=()

# cleanup_fn COMMAND...: run it in the end, last come first
cleanup_fn() {
	cleanups=("$(printf '%q ' "$@")" "${cleanups[@]}")
}

run_cleanups() {
	local status=$? c
	set +e
	for c in "${cleanups[@]}"; do
		bash -c "$c"
	done
	rm -rf "$T"
	exit "$status"
}
trap run_cleanups EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

skip() {
	echo "SKIP: $*"
	exit 77
}

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# requires TOOL...: skip the test when one is not installed
requires() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

requires_root() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
}

# requires_loop: root, and loop devices that can be set up here
requires_loop() {
	requires_root
	requires losetup
	local probe=$T/loop-probe dev
	truncate -s 1M "$probe"
	dev=$(losetup --find --show "$probe" 2>/dev/null) || skip "loop devices do not work here"
	losetup -d "$dev"
	rm "$probe"
}

# expect_exit CODE COMMAND...: run it; what it says is in $T/out and $T/err, and shown when the exit code is another
expect_exit() {
	local want=$1 got=0
	shift
	"$@" >"$T/out" 2>"$T/err" || got=$?
	[ "$got" -eq "$want" ] && return 0
	echo "--- standard output" >&2
	head -c 4000 "$T/out" >&2
	echo "--- standard error" >&2
	head -c 4000 "$T/err" >&2
	fail "exit code $got instead of $want: $*"
}

# run_calco ARGUMENT...: must succeed
run_calco() {
	expect_exit 0 "$CALCO" "$@"
}

# expect_text FILE REGEX...: each extended regular expression matches a line
expect_text() {
	local file=$1 regex
	shift
	for regex in "$@"; do
		grep -qE -- "$regex" "$file" || {
			head -c 4000 "$file" >&2
			fail "'$regex' is not in $(basename "$file")"
		}
	done
}

# expect_no_text FILE REGEX: no line matches
expect_no_text() {
	! grep -E -- "$2" "$1" >&2 || fail "'$2' is in $(basename "$1")"
}

# json_true FILE EXPRESSION: Python finds it true, with d as the document
json_true() {
	python3 - "$1" "$2" <<-'PYTHON' || fail "not true of $1: $2"
		import json, sys
		d = json.load(open(sys.argv[1], encoding="utf-8"))
		if not eval(sys.argv[2]):
		    print(json.dumps(d, indent=2)[:4000], file=sys.stderr)
		    sys.exit(1)
	PYTHON
}

# json_get FILE EXPRESSION: print it
json_get() {
	python3 -c 'import json, sys; d = json.load(open(sys.argv[1], encoding="utf-8")); print(eval(sys.argv[2]))' "$1" "$2"
}

# at_terminal QUESTION ANSWER COMMAND...: run it on a terminal of its own, type ANSWER as soon as QUESTION has appeared; what was
# seen is in $T/seen. Exit code of the command. An empty QUESTION types nothing.
at_terminal() {
	python3 - "$T/seen" "$@" <<-'PYTHON'
		import os, pty, signal, sys
		seen_path, question, answer, *command = sys.argv[1:]
		pid, fd = pty.fork()
		if pid == 0:
		    # A shell that was started with a signal ignored hands that on, and cannot undo it.
		    for number in signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP:
		        signal.signal(number, signal.SIG_DFL)
		    os.execvp(command[0], command)
		seen, typed = b"", not question
		while True:
		    try:
		        data = os.read(fd, 4096)
		    except OSError:
		        break
		    if not data:
		        break
		    seen += data
		    if not typed and question.encode() in seen:
		        os.write(fd, answer.encode())
		        typed = True
		with open(seen_path, "wb") as f:
		    f.write(seen.replace(b"\r\n", b"\n"))
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	PYTHON
}

# ---- disks in plain files

# partition_place DISK NUMBER: "START LENGTH" in bytes
partition_place() {
	partx -g -b -o START,SIZE -n "$2" "$1" | awk '{ printf "%.0f %s\n", $1 * 512, $2 }'
}

# put_partition DISK NUMBER FILE: copy the file over the beginning of a partition, keeping holes out of the way
put_partition() {
	local place
	read -r -a place < <(partition_place "$1" "$2")
	dd if="$3" of="$1" bs=1M conv=notrunc,sparse oflag=seek_bytes seek="${place[0]}" status=none
}

# get_partition DISK NUMBER FILE: copy a partition out, sparse
get_partition() {
	local place
	read -r -a place < <(partition_place "$1" "$2")
	dd if="$1" of="$3" bs=1M iflag=skip_bytes,count_bytes skip="${place[0]}" count="${place[1]}" conv=sparse status=none
}

# sample_tree DIRECTORY: a small tree with many kinds of files, the same at every call
sample_tree() {
	mkdir -p "$1/etc" "$1/data/deep/er"
	printf 'lab-golden\n' >"$1/etc/hostname"
	seq 1 200000 >"$1/data/numbers"
	head -c 3000000 /dev/zero >"$1/data/zeros"
	openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 2000000 >"$1/data/random" || true
	ln -s numbers "$1/data/link"
	printf 'x' >"$1/data/deep/er/one byte"
}

# make_ext4 FILE SIZE [MKE2FS-OPTION...]: a file system with the sample tree in it
make_ext4() {
	local file=$1 size=$2
	shift 2
	[ -d "$T/tree" ] || sample_tree "$T/tree"
	truncate -s "$size" "$file"
	mke2fs -q -F -t ext4 -L root -U 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 -d "$T/tree" "$@" "$file"
}

make_fat() {
	truncate -s "$2" "$1"
	mkfs.fat -F 32 -s 1 -n EFI -i C0FFEE01 "$1" >/dev/null
	printf 'not a loader\n' >"$T/loader"
	mmd -i "$1" ::/EFI ::/EFI/BOOT
	mcopy -i "$1" "$T/loader" ::/EFI/BOOT/BOOTX64.EFI
}

make_swap() {
	truncate -s "$2" "$1"
	chmod 600 "$1"
	mkswap -q -L swap -U 11111111-2222-3333-4444-555555555555 "$1" 2>/dev/null
}

# make_gpt_disk FILE [SIZE]: ESP (40M FAT32), ext4 root with the sample tree, swap (8M), boot code in the MBR; SIZE: 160M
make_gpt_disk() {
	local disk=$1 size=${2:-160M} place
	requires sgdisk partx mkfs.fat mmd mcopy mke2fs mkswap openssl
	truncate -s "$size" "$disk"
	sgdisk --disk-guid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE \
		-n 1:0:+40M -t 1:EF00 -c 1:EFI -n 2:0:-9M -t 2:8300 -c 2:root -n 3:0:+8M -t 3:8200 -c 3:swap "$disk" >/dev/null
	printf 'BOOT CODE' | dd of="$disk" conv=notrunc status=none
	make_fat "$T/part" 40M
	put_partition "$disk" 1 "$T/part"
	rm "$T/part"
	read -r -a place < <(partition_place "$disk" 2)
	make_ext4 "$T/part" "${place[1]}"
	put_partition "$disk" 2 "$T/part"
	rm "$T/part"
	make_swap "$T/part" 8M
	put_partition "$disk" 3 "$T/part"
	rm "$T/part"
}

# check_gpt_disk FILE: sgdisk, fsck and the sample tree agree that this is what make_gpt_disk made
check_gpt_disk() {
	local problems
	problems=$(sgdisk -v "$1")
	[[ $problems == *"No problems found"* ]] || fail "sgdisk: $problems"
	get_partition "$1" 1 "$T/part"
	fsck.fat -n "$T/part" >/dev/null || fail "fsck.fat finds errors"
	mtype -i "$T/part" ::/EFI/BOOT/BOOTX64.EFI | grep -q 'not a loader' || fail "the loader is not on the ESP"
	get_partition "$1" 2 "$T/part"
	e2fsck -fn "$T/part" >/dev/null 2>&1 || fail "e2fsck finds errors"
	rm -rf "$T/dump"
	mkdir "$T/dump"
	debugfs -R "rdump / $T/dump" "$T/part" >/dev/null 2>&1
	rm -rf "$T/dump/lost+found"
	diff -r --no-dereference "$T/tree" "$T/dump" || fail "the files differ"
	get_partition "$1" 3 "$T/part"
	[ "$(blkid -p -o value -s UUID "$T/part")" = 11111111-2222-3333-4444-555555555555 ] || fail "the swap space lost its UUID"
	rm -rf "$T/part" "$T/dump"
}

# confirm_of FILE: the text that --confirm wants for a plain file
confirm_of() {
	basename "$1"
}
