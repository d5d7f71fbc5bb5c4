#!/bin/bash
# A repository from end to end: versions that share what they have in common, tags, removal, reading wherever an image is read.
. "$(dirname "$0")/functions.sh"
requires sgdisk mke2fs debugfs python3
cd "$T"

used() { du -s --block-size=1 store | cut -f 1; }

truncate -s 80M disk.img
sgdisk -n 1:2048:+70M disk.img >/dev/null
mkdir files
for n in $(seq 60); do openssl enc -aes-128-ctr -K "0$n" -iv 00 -in /dev/zero 2>/dev/null | head -c $((n * 10000)) >"files/$n" || true; done
truncate -s 70M part
mke2fs -q -F -t ext4 -d files part
put_partition disk.img 1 part
cp disk.img v1.img

expect_exit 2 "$CALCO" capture disk.img store::lab
expect_text err "calco repo init"
run_calco repo init store
expect_exit 4 "$CALCO" repo init store
expect_exit 2 "$CALCO" info store::lab
run_calco capture disk.img store::lab
first=$(used)

# The same again costs next to nothing; some changed blocks cost little more than themselves.
run_calco capture disk.img store::lab
[ $(($(used) - first)) -lt 100000 ] || fail "an equal version cost $(($(used) - first)) bytes"
head -c 30000 /dev/urandom >new
debugfs -w -R "write new new" part 2>/dev/null >/dev/null
debugfs -w -R "rm 7" part 2>/dev/null >/dev/null
put_partition disk.img 1 part
cp disk.img v3.img
second=$(used)
run_calco capture disk.img store::lab
[ $(($(used) - second)) -lt 250000 ] || fail "30,000 new bytes cost $(($(used) - second))"
run_calco repo list store --json
json_true out '[(v["name"], v["version"], v["complete"]) for v in d["result"]["versions"]] == [("lab", n, True) for n in (1, 2, 3)]'

# Every version is what it was, wherever an image is read.
for n in 1 2 3; do
	run_calco verify "store::lab@$n"
	rm -f out.img
	run_calco restore "store::lab@$n" out.img
	whole=v1.img
	[ "$n" != 3 ] || whole=v3.img
	run_calco verify "store::lab@$n" --against $whole
	run_calco verify "store::lab@$n" --against out.img
	get_partition out.img 1 got
	e2fsck -fn got >/dev/null 2>&1 || fail "version $n is not clean"
done
expect_exit 3 "$CALCO" verify store::lab@1 --against v3.img
run_calco info store::lab@3
run_calco capture v1.img file.calco
rm -f out.img
run_calco restore file.calco out.img
run_calco verify store::lab@1 --against out.img

run_calco repo show store lab@2 --json
json_true out 'd["result"]["image_version"] == 2 and d["result"]["record_bytes"] > 0 and d["result"]["packs"] == 1'
run_calco repo stats store --json
json_true out 'd["result"]["versions"] == 3 and d["result"]["content_bytes"] > 2 * d["result"]["total_bytes"] and d["result"]["composed_records"] > 0'

# Tags and removal; a number is never used twice.
run_calco repo tag store lab@1 stable
run_calco verify store::lab@stable
expect_exit 4 "$CALCO" repo rm store lab@1
expect_exit 4 "$CALCO" repo rm store lab@2 lab@stable
run_calco verify store::lab@2
run_calco repo rm store lab@3 lab@2
expect_exit 2 "$CALCO" verify store::lab@3
run_calco verify store::lab
run_calco capture v3.img store::lab
run_calco verify store::lab@4 --against v3.img
run_calco repo tag store lab stable
run_calco repo rm store lab@1
run_calco verify store::lab@stable --against v3.img
run_calco repo tag --delete store lab stable
expect_exit 2 "$CALCO" verify store::lab@stable
expect_exit 2 "$CALCO" repo tag store lab 7
expect_exit 2 "$CALCO" repo tag store lab@9 x
expect_exit 2 "$CALCO" capture disk.img store::lab@2
expect_exit 2 "$CALCO" capture disk.img store::../x
expect_exit 2 "$CALCO" repo list nowhere
[ -z "$(find store/leases store/new -type f)" ] || fail "something stayed behind: $(find store/leases store/new -type f)"
