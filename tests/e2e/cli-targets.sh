#!/bin/bash
# Targets: new files are made, a mistyped device is not; the image, its copy by another name, and a disk named twice are refused.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img
run_calco capture golden.img lab.calco

run_calco restore lab.calco new.img
[ "$(stat -c %s new.img)" -eq $((160 << 20)) ] || fail "the new file has another size"
[ "$(stat -c %a new.img)" = 600 ] || fail "the new file can be read by others"
[ "$(du -k new.img | cut -f 1)" -lt 40000 ] || fail "the new file is not sparse"
check_gpt_disk new.img
: >empty.img
run_calco restore lab.calco empty.img
check_gpt_disk empty.img
# What became of unused space is called what it is.
"$CALCO" restore lab.calco empty.img --confirm empty.img --scrub zero >out 2>err || fail "$(cat err)"
expect_text out '^  cleared +[0-9.]+ MiB'
expect_no_text out 'discarded'
"$CALCO" restore lab.calco empty.img --confirm empty.img >out 2>err || fail "$(cat err)"
expect_text out '^  discarded +[0-9.]+ MiB'
expect_no_text out '^  cleared'

expect_exit 2 "$CALCO" restore lab.calco /dev/no-such-disk --yes
[ ! -e /dev/no-such-disk ] || fail "a file was made in /dev"
# What can never become a file is a wrong command line, also for a dry run.
ln -s nowhere dangling
ln -s ring ring
for name in dangling ring new.img/x no-folder/x; do
	for dry in '' --dry-run; do
		expect_exit 2 "$CALCO" restore lab.calco $name --yes ${dry:+"$dry"}
	done
done
[ ! -e nowhere ] || fail "a file was made where a link leads"
expect_exit 2 "$CALCO" restore lab.calco a.img b.img
expect_text err 'holds 1 disk, 2 targets'
[ ! -e a.img ] && [ ! -e b.img ] || fail "a refused restore made its targets"

cp lab.calco copy.calco
expect_exit 4 "$CALCO" restore lab.calco lab.calco --yes --confirm lab.calco
ln -s lab.calco link
expect_exit 4 "$CALCO" restore lab.calco link --yes --confirm link
cmp lab.calco copy.calco || fail "the image was changed"

# Two disks in one image: named twice, too few, in order.
make_ext4 second.img 32M
run_calco capture golden.img second.img both.calco
expect_text out '^      calco restore both.calco /dev/sdX /dev/sdY$'
expect_exit 2 "$CALCO" restore both.calco one.img
expect_text err 'holds 2 disks, 1 target is named' '^hint: .* name new files for the others and delete them afterwards; .*--only DISK:PARTITION$'
truncate -s 32M alone.img
run_calco restore both.calco rest.img alone.img --yes
e2fsck -fn alone.img >/dev/null 2>&1 || fail "one disk alone is not what it was"
rm rest.img alone.img
expect_exit 2 "$CALCO" restore both.calco one.img one.img
run_calco restore both.calco one.img two.img
run_calco verify both.calco --against one.img --against two.img
cp --sparse=always one.img x1.img
expect_exit 4 "$CALCO" restore both.calco one.img two.img --confirm two.img --confirm one.img
expect_text err 'in this order: --confirm one.img --confirm two.img'
cmp one.img x1.img || fail "a target changed although the confirmations did not fit"
run_calco restore both.calco one.img two.img --confirm one.img --confirm two.img --state state
[ -s state ] && [ -s state.2 ] || fail "what was cleared was not saved"

# As many texts as targets need one: they are for these. A new file and a blank one need none.
rm one.img
expect_exit 4 "$CALCO" restore both.calco one.img two.img
expect_text err '^hint: all targets are confirmed by: --confirm two.img$'
run_calco restore both.calco one.img two.img --confirm two.img
rm one.img
truncate -s 160M one.img
cp --sparse=always two.img 'two 2.img'
expect_exit 4 "$CALCO" restore both.calco one.img 'two 2.img' --confirm 'two 2.img'
expect_text err "^hint: all targets are confirmed by: --confirm 'two 2.img' --yes$"
run_calco restore both.calco one.img 'two 2.img' --confirm 'two 2.img' --yes
run_calco verify both.calco --against one.img --against 'two 2.img'
# By place, as it always was, also where one of them needs none.
rm one.img
run_calco restore both.calco one.img two.img --confirm one.img --confirm two.img
expect_exit 4 "$CALCO" restore both.calco one.img two.img --confirm two.img
expect_text err 'in this order: --confirm one.img --confirm two.img$'

# verify names the disk that differs, and tells when the disks are only named in another order; also behind a table that moved.
printf 'XYZ' | dd of='two 2.img' bs=1 seek=5000 conv=notrunc status=none
expect_exit 3 "$CALCO" verify both.calco --against one.img --against 'two 2.img'
expect_text err '^calco: two 2.img: 1 place differs from the image, the first in '
expect_text out '^DIFFERENT: two 2.img is not what both.calco says'
expect_no_text out 'DIFFERENT: one.img'
printf 'XYZ' | dd of=one.img bs=1 seek=446 conv=notrunc status=none
expect_exit 3 "$CALCO" verify both.calco --against one.img --against 'two 2.img'
expect_text out '^DIFFERENT: one.img is not' '^DIFFERENT: two 2.img is not'
expect_text err 'several disks differ from the image, in 2 places, the first on one.img in '
truncate -s 200M large.img
rm two.img
run_calco restore both.calco large.img two.img --yes
run_calco verify both.calco --against large.img --against two.img
for json in '' --json; do
	expect_exit 3 "$CALCO" verify both.calco --against two.img --against large.img ${json:+"$json"}
	expect_text err 'those of the image, but named in another order' '^hint: .* --against large.img --against two.img$'
done
json_true out 'd["error"]["reason"] == "order" and d["result"]["verdict"] == "different"'
# Without a table it is the content that tells; a disk of another image is no matter of order.
make_ext4 third.img 32M -U random
run_calco capture second.img third.img pair.calco
expect_exit 3 "$CALCO" verify pair.calco --against third.img --against second.img
expect_text err '--against second.img --against third.img$'
cp --sparse=always second.img fourth.img
expect_exit 3 "$CALCO" verify pair.calco --against second.img --against fourth.img
expect_text out '^DIFFERENT: fourth.img'
expect_exit 3 "$CALCO" verify pair.calco --against third.img --against large.img --json
json_true out 'd["error"]["reason"] == "different"'
