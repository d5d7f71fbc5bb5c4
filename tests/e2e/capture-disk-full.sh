#!/bin/bash
# No room for the image: exit code 1, one sentence that says so, and no .part file.
. "$(dirname "$0")/rounds.sh"

random_bytes 30000000 >golden.img
mount -t tmpfs -o size=10m tmpfs mnt
expect_exit 1 "$CALCO" capture golden.img mnt/lab.calco
[ "$(grep -c '^calco: ' err)" = 1 ] || fail "not one sentence"
expect_text err '^calco: .*lab.calco.*[Nn]o space left'
[ "$(wc -l <err)" -le 2 ] || fail "more than a sentence and a hint"
[ -z "$(ls -A mnt)" ] || fail "something is left: $(ls -A mnt)"
expect_exit 1 "$CALCO" capture golden.img mnt/lab.calco --json
json_true out 'd["error"]["exit"] == 1 and d["error"]["reason"] == "no-space" and "o space left" in d["error"]["message"]'
run_calco repo init mnt/repo
expect_exit 1 "$CALCO" capture golden.img mnt/repo::lab --json
json_true out 'd["error"]["exit"] == 1 and d["error"]["reason"] == "no-space"'
rm -r mnt/repo
# The same where a file is full that is no image: a record of what a restore clears, a target with holes.
head -c 100000 golden.img >small.img
run_calco capture small.img small.calco
head -c 100000 /dev/urandom >target.img
fill() {
	head -c 11000000 /dev/zero >mnt/full 2>/dev/null || true
}
truncate -s 100000 mnt/holes.img
fill
expect_exit 1 "$CALCO" restore small.calco target.img --confirm target.img --state mnt/state --json
json_true out 'd["error"]["exit"] == 1 and d["error"]["reason"] == "no-space"'
rm -f mnt/*

# Not even for the first byte.
head -c 11000000 /dev/zero >mnt/full 2>/dev/null || true
expect_exit 1 "$CALCO" capture golden.img mnt/lab.calco
rm mnt/full
[ -z "$(ls -A mnt)" ] || fail "something is left: $(ls -A mnt)"
umount mnt

# A limit of the shell instead of the disk.
expect_exit 1 bash -c 'ulimit -f 5000; "$1" capture golden.img limit.calco' - "$CALCO"
expect_text err '^calco: .*limit.calco.*[Ff]ile too large'
[ ! -e limit.calco ] && [ ! -e limit.calco.part ] || fail "something is left"
run_calco capture golden.img lab.calco
