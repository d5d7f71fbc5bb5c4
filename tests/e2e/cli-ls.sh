#!/bin/bash
# ls tells complete images from unfinished and damaged files, and does not stumble over anything else.
. "$(dirname "$0")/functions.sh"

cd "$T"
mkdir images
make_ext4 disk.img 32M
run_calco capture disk.img images/a.calco --name first
run_calco capture disk.img images/b.calco --name second --version 2
head -c 5000 images/a.calco >images/c.calco.part
head -c 5000 images/a.calco >images/d.calco
: >images/e.calco
mkfifo images/f.calco
mkdir images/g.calco
ln -s nowhere images/h.calco
echo text >images/notes.txt

run_calco ls images
expect_text out 'a\.calco +complete +first +1 ' 'b\.calco +complete +second +2 ' 'c\.calco\.part +unfinished' 'd\.calco +damaged' \
	'e\.calco +damaged'
expect_no_text out 'f\.calco|g\.calco|h\.calco|notes'
run_calco ls images --json
json_true out '[i["file"] for i in d["result"]["images"] if i["complete"]] == ["a.calco", "b.calco"]'
json_true out '[i["state"] for i in d["result"]["images"]] == ["complete", "complete", "unfinished", "damaged", "damaged"]'
json_true out 'd["result"]["images"][0]["disk_bytes"] == 32 << 20'

mkdir none
run_calco ls none
expect_text out 'no images'
(cd images && "$CALCO" ls >"$T/here")
expect_text here 'a\.calco +complete'
expect_exit 2 "$CALCO" ls images/a.calco
expect_text err 'calco info'
