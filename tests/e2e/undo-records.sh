#!/bin/bash
# The records of restores that were cut short: listed, told of when such a disk is captured, and removed only when that is confirmed.
. "$(dirname "$0")/functions.sh"
cd "$T"

make_gpt_disk golden.img
run_calco capture golden.img lab.calco
make_ext4 old.img 160M -L old
# An image with damage in its last chunk
cp lab.calco bad.calco
printf '\377\377' | dd of=bad.calco bs=1 seek=$(($(LC_ALL=C grep -abo CHNK lab.calco | tail -n 1 | cut -d : -f 1) + 300)) conv=notrunc status=none

# Only what is ours in the list: as root the folder is the machine's.
mine() {
	run_calco undo --list --json
	json_get out '[(r["target"].rsplit("/", 1)[1], r["state"]) for r in d["result"]["records"] if (r["target"] or "").startswith("'"$T"'/")]'
}
forget_all() {
	"$CALCO" undo --list --json | python3 -c 'import json, os, sys
for r in json.load(sys.stdin)["result"]["records"]:
    if (r["target"] or "").startswith(sys.argv[1] + "/"):
        os.unlink(r["file"])' "$T"
}
cleanup_fn bash -c "$(declare -f forget_all); CALCO='$CALCO' T='$T' forget_all"
cut_short() {
	cp --sparse=always old.img target.img
	expect_exit 3 "$CALCO" restore bad.calco target.img --confirm target.img
}

[ "$(mine)" = '[]' ] || fail "there are records already"
cut_short
[ "$(mine)" = "[('target.img', 'unfinished')]" ] || fail "$(mine)"
json_true out 'any(r["saved_bytes"] > 0 and r["target_size"] == 160 << 20 and r["file"].endswith(".state") for r in d["result"]["records"])'
run_calco undo --list
expect_text out 'TARGET .*STATE .*RECORD' "$T/target.img .*unfinished.*[.]state"

# A disk with half of a restore on it is captured, but that is said.
run_calco capture target.img half.calco
expect_text err "^note: a restore to 'target.img' was cut short.*calco undo target.img"
expect_text out 'note: a restore to this disk was cut short'
run_calco capture target.img --dry-run
expect_text out 'note: a restore to this disk was cut short'
run_calco capture target.img --dry-run --json
json_true out 'd["result"]["unfinished_restore"].endswith(".state")'
run_calco capture golden.img --dry-run --json
json_true out 'd["result"]["unfinished_restore"] is None'
# Not of one that was completed, nor of one that was used anew.
run_calco restore lab.calco target.img --confirm target.img
run_calco capture target.img --dry-run --json
json_true out 'd["result"]["unfinished_restore"] is None'
[ "$(mine)" = "[('target.img', 'finished')]" ] || fail "$(mine)"
cut_short
cp --sparse=always golden.img target.img
run_calco capture target.img --dry-run --json
json_true out 'd["result"]["unfinished_restore"] is None'

# Set aside, it is in the list under its own name; and each goes only when that is confirmed.
expect_exit 3 "$CALCO" restore bad.calco target.img --confirm target.img
expect_text err 'was set aside as'
[ "$(mine)" = "[('target.img', 'unfinished'), ('target.img', 'set-aside')]" ] || fail "$(mine)"
aside=$(json_get out '[r["file"] for r in d["result"]["records"] if r["state"] == "set-aside" and r["target"] == "'"$T"'/target.img"][0]')
expect_exit 4 "$CALCO" undo --forget target.img
expect_text err 'removing the record of an unfinished restore to .*target.img.* was not confirmed' '^hint: add --yes'
expect_exit 4 "$CALCO" undo --forget target.img --json
json_true out 'd["error"]["reason"] == "not-confirmed"'
at_terminal "Type 'yes'" $'no\n' "$CALCO" undo --forget target.img && fail "'no' was typed"
expect_text seen 'REMOVED FOR EVER'
[ "$(mine)" = "[('target.img', 'unfinished'), ('target.img', 'set-aside')]" ] || fail "$(mine)"
at_terminal "Type 'yes'" $'yes\n' "$CALCO" undo --forget target.img || { cat seen; fail "'yes' was typed"; }
[ "$(mine)" = "[('target.img', 'set-aside')]" ] || fail "$(mine)"
expect_exit 2 "$CALCO" undo --forget target.img --yes
expect_text err '^hint: .*named by its file: calco undo --forget .*[.]old-'
run_calco undo --forget "$aside" --yes --json
json_true out 'd["result"]["file"] == "'"$aside"'" and d["result"]["saved_bytes"] > 0'
[ "$(mine)" = '[]' ] || fail "$(mine)"

# Its disk may be gone; the name is the same.
cut_short
rm target.img
mkdir elsewhere
(cd elsewhere && run_calco undo --forget ../target.img --yes)
[ "$(mine)" = '[]' ] || fail "$(mine)"
expect_exit 2 "$CALCO" undo --forget target.img --yes
expect_text err "no record of a restore to 'target.img'"

# A record in a place that was named; nothing but a record is removed, nor one in use.
cp --sparse=always old.img target.img
expect_exit 3 "$CALCO" restore bad.calco target.img --confirm target.img --state record
ln -s lab.calco link
for f in lab.calco link old.img elsewhere; do
	"$CALCO" undo --forget --state "$f" --yes >out 2>err && fail "$f was removed"
	[ -e "$f" ] || fail "$f is gone"
done
flock record "$CALCO" undo --forget --state record --yes >out 2>err && fail "a record in use was removed"
expect_text err 'in use'
cp record damaged
printf 'x' | dd of=damaged bs=1 seek=30 conv=notrunc status=none
run_calco undo --forget --state damaged --yes
run_calco undo --forget --state record --yes
[ ! -e damaged ] && [ ! -e record ] || fail "they are still there"

for words in "--list target.img" "--list --forget" "--forget" "--forget target.img --state x" "--forget target.img --dry-run" "target.img --yes" ""; do
	# shellcheck disable=SC2086 # words
	expect_exit 2 "$CALCO" undo $words
done
