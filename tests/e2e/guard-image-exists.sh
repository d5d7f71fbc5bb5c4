#!/bin/bash
# An image that is there is never overwritten, nor is anything else of that name.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_ext4 golden.img 32M
run_calco capture golden.img lab.calco
cp lab.calco before.calco
expect_exit 4 "$CALCO" capture golden.img lab.calco --json
json_true out 'd["error"]["reason"] == "exists"'
cmp lab.calco before.calco || fail "the image was changed"
[ ! -e lab.calco.part ] || fail "a .part file is left"

echo precious >notes.txt
expect_exit 4 "$CALCO" capture golden.img notes.txt
[ "$(cat notes.txt)" = precious ] || fail "another file was overwritten"
ln -s nowhere dangling.calco
expect_exit 4 "$CALCO" capture golden.img dangling.calco
[ ! -e nowhere ] || fail "a dangling link was followed"
